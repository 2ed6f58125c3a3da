/** Leaders for tests of the bucket's log: a fence put, and what follows it. */
import { origin, type Position, termOf } from "../../src/model/revision.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { Archive, emptyLog, findEnd, putFence } from "../../src/replication/archive.ts";
import { cluster, noMeters, seeded } from "./rig.ts";

/** A leader of `term` on `store`, its fence put; on an empty one the log begins at `base`. */
export async function lead(
  store: ObjectStore,
  term: number,
  base: Position = origin,
): Promise<Archive> {
  const reign = { store, cluster, term: termOf(term), writer: BigInt(term) };
  const end = await findEnd(store, cluster, { empty: emptyLog(base, base.index + 1) });
  const fence = await putFence(reign, end, seeded(term));
  return new Archive({ ...reign, end: fence, ...seeded(term), meters: noMeters });
}
