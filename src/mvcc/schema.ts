/** What the tree is told about the state machine's rows. */
import type { Schema } from "../lsm/tree.ts";
import { sieve, summary, wantsMajor } from "./compact.ts";
import { isDataKey, prefixLength } from "./keys.ts";

/** The schema; `keptFrom` gives the lowest revision that may still be read, at the moment. */
export function schemaOf(keptFrom: () => number): Schema {
  return {
    prefixLength,
    // Versions are never deleted: a sieve drops them, and a tombstone is one of them.
    splits: isDataKey,
    summary,
    sieve: (bottom) => sieve(keptFrom(), bottom),
    wantsMajor: (tables) => wantsMajor(tables, keptFrom()),
  };
}
