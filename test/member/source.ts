/** A bucket with a history, for tests of those who read it; and what a directory or snapshot holds. */
import { must } from "../../src/lib/assert.ts";
import { silent } from "../../src/lib/logger.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Source } from "../../src/member/moment.ts";
import type { RewindOptions } from "../../src/member/rewind.ts";
import { openDirectory, type Snapshot } from "../../src/member/snapshot.ts";
import { openEnd } from "../../src/model/range.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { noCauses, openWithBucket } from "./bucket.ts";
import { gist, putOf, type Rig, whilePassing } from "./rig.ts";

export const cacheBytesMax = 2 ** 20;

/** The database as it was at a revision, and the clock when it was written. */
export interface Known {
  readonly pairs: readonly string[];
  readonly wallMs: number;
}

export interface Told extends Source {
  readonly bucket: MemoryStore;
  readonly rig: Rig;
  /** By revision, from 2 on. */
  readonly known: ReadonlyMap<number, Known>;
}

/** Ten keys that are put again and again, and a checkpoint after each `each` puts. */
export async function makeHistory(puts: number, each: number): Promise<Told> {
  const clock = new SimClock();
  const bucket = new MemoryStore({ clock });
  const options = { causes: { ...noCauses, intervalMs: 100_000 } };
  const rig = await openWithBucket({ bucket, clock, disk: new SimDisk(), options });
  const now = new Map<string, string>();
  const known = new Map<number, Known>();
  for (let at = 0; at < puts; at++) {
    const [key, value] = [`k${at % 10}`, `${at}`];
    await rig.clock.advance(1000);
    const revision = gist(await whilePassing(rig.clock, rig.member.propose(putOf(key, value))));
    now.set(key, value);
    const pairs = [...now].map(([name, text]) => `${name}=${text}`).sort();
    known.set(Number(revision), { pairs, wallMs: rig.clock.wall() });
    if (at % each === each - 1) await checkpointed(rig);
  }
  const storeAt = (prefix: string) => withPrefix(bucket, prefix);
  return { bucket, rig, known, store: storeAt("db"), storeAt };
}

/** Lets the background make a checkpoint. */
export async function checkpointed({ clock, member }: Rig): Promise<void> {
  const { index } = member.applied;
  for (let steps = 0; (member.vitals().bucket?.checkpointIndex ?? 0) < index; steps++) {
    if (steps === 10_000) throw new Error("no checkpoint is made");
    await clock.advance(100);
    await clock.yield();
  }
}

/** What a restore into `disk` is given. */
export function rewindOptions(source: Source, disk: SimDisk, seed = 1): RewindOptions {
  const { store, storeAt } = source;
  const clock = new SimClock(Date.UTC(2026, 0, 2));
  const random = new SeededRandom(seed);
  return { store, storeAt, disk, clock, random, logger: silent, onStep: () => undefined };
}

/** Every pair of a snapshot, as "key=value". */
export function pairsIn({ store }: Snapshot): string[] {
  const cursor = store.cursor({ key: "\0", end: openEnd }, store.revision);
  const pairs: string[] = [];
  while (cursor.next()) {
    const { key, value } = cursor.pair();
    pairs.push(`${key}=${Buffer.from(value)}`);
  }
  return pairs;
}

/** Every pair of the database in a directory, and its revision. */
export async function databaseIn(disk: SimDisk, path: string) {
  const clock = new SimClock();
  const snapshot = await openDirectory(path, { disk, clock, cacheBytesMax });
  try {
    const { identity, store } = snapshot;
    return { pairs: pairsIn(snapshot), revision: store.revision as number, identity };
  } finally {
    snapshot.close();
  }
}

/** What is known of a revision. */
export function knownAt({ known }: Told, revision: number): Known {
  return must(known.get(revision), `revision ${revision} was written`);
}
