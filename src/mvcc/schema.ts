/** What the tree is told about the state machine's rows. */
import type { Schema } from "../lsm/tree.ts";
import { sieve, summary, wantsMajor } from "./compact.ts";
import { prefixLength } from "./keys.ts";

/** The schema; `keptFrom` gives the lowest revision that may still be read, at the moment. */
export function schemaOf(keptFrom: () => number): Schema {
  return {
    prefixLength,
    summary,
    sieve: (bottom) => sieve(keptFrom(), bottom),
    wantsMajor: (tables) => wantsMajor(tables, keptFrom()),
  };
}
