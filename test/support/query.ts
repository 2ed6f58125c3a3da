/** Reads, as the member takes them. */
import type { RangeQuery } from "../../src/model/command.ts";
import type { KeyRange } from "../../src/model/range.ts";

/** A linearizable read of all there is of a range, at a revision, or at the latest one (0). */
export function wholeQuery(range: KeyRange, revision = 0): RangeQuery {
  return {
    kind: "range",
    range,
    limit: 0,
    revision,
    sortOrder: "none",
    sortTarget: "key",
    serializable: false,
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}
