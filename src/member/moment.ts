/**
 * The database as it was at a moment, from what a bucket has: the newest checkpoint that is whole
 * and not after it, and the log from there up to it. Where a time is meant, it is the leader's
 * clock when a batch was closed; where a revision is, everything up to the next one belongs to it.
 *
 *   checkpoint            checkpoint                       moment
 *   |                     |------ entries of the log ------|
 *   ----------------------|--------------------------------|------------> revision, time
 */
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Batch, decodeBatch, encodedEntries, type Placed } from "../model/batch.ts";
import { origin, type Position } from "../model/revision.ts";
import { logKey } from "../object/keys.ts";
import type { ObjectStore } from "../object/store.ts";
import { emptyLog, findEnd, type LogEnd } from "../replication/archive.ts";
import { readBoundary } from "../replication/boundary.ts";
import { readHead } from "../replication/lock.ts";
import { keyOf, type Manifest } from "../replication/manifest.ts";
import { decodeLogObject } from "../replication/record.ts";
import { replayLog } from "../replication/replay.ts";
import { findCheckpoint, type StoreAt, wholeCheckpoints } from "../replication/restore.ts";

/** A state of a database: the one at a revision, or at a time in milliseconds since 1970. */
export type Moment = { readonly revision: number } | { readonly wallMs: number };

/** A bucket that is only read. */
export interface Source {
  /** Below the prefix of the database. */
  readonly store: ObjectStore;
  readonly storeAt: StoreAt;
}

/** The newest state that a bucket has. */
export interface Newest {
  readonly cluster: bigint;
  /** Of the log; before its first entry when there is none. */
  readonly end: LogEnd;
  /** Of the store. */
  readonly revision: number;
  /** The leader's clock then, in milliseconds since 1970. */
  readonly wallMs: number;
  /** Whether it is everything that was acknowledged; false too when nobody can tell. */
  readonly isEverything: boolean;
}

/** How a state is made. */
export interface Course {
  readonly cluster: bigint;
  /** What it begins with; undefined for nothing: the log reaches back to the first entry. */
  readonly checkpoint: Manifest | undefined;
  readonly end: LogEnd;
  /** How much of the log belongs to it. */
  readonly until: Moment | "checkpoint" | "end";
}

/** What a bucket has now; undefined when it has no database. CorruptionError, ForeignError, ObjectError. */
export async function newestIn({ store, storeAt }: Source): Promise<Newest | undefined> {
  const head = (await readHead(store))?.head;
  const { manifest } = await findCheckpoint(store, { storeAt });
  const cluster = head?.cluster ?? manifest?.cluster;
  if (cluster === undefined) return undefined;
  const { seq } = await readBoundary(store);
  const end = await findEnd(store, cluster, { atLeast: seq - 1 });
  const isAhead = manifest !== undefined && manifest.position.index > end.position.index;
  const { revision, wallMs } = isAhead ? manifest : end;
  const isEverything = head?.s3 ?? false;
  return { cluster, end, revision, wallMs, isEverything };
}

/**
 * The courses that lead to `moment`, the one with the newest checkpoint first; none when it is
 * before everything the bucket still has. `skip` is told of checkpoints that cannot be used. As
 * `newestIn`.
 */
export async function* coursesTo(
  { store, storeAt }: Source,
  { cluster, end }: Pick<Newest, "cluster" | "end">,
  moment: Moment | "end",
  skip: (checkpoint: { readonly key: string; readonly why: string }) => void,
): AsyncGenerator<Course> {
  for await (const found of wholeCheckpoints(store, { storeAt, cluster })) {
    if (!("manifest" in found)) skip(found);
    else if (!isAfter(found.manifest, moment)) {
      yield { cluster, checkpoint: found.manifest, end, until: moment };
    }
  }
  if (await reachesBack(store, cluster)) {
    yield { cluster, checkpoint: undefined, end, until: moment };
  }
}

/** Whether the log still has everything from the first entry on. */
async function reachesBack(store: ObjectStore, cluster: bigint): Promise<boolean> {
  const { index } = await readBoundary(store);
  const first = index === 0 ? await store.get(logKey(1)) : undefined;
  return first !== undefined && decodeLogObject(1, first.bytes, cluster).base.index === 0;
}

function isAfter({ revision, wallMs }: Manifest, moment: Moment | "end"): boolean {
  if (moment === "end") return false;
  return "revision" in moment ? revision > moment.revision : wallMs > moment.wallMs;
}

/** Where the log stands before the first entry that is replayed. */
export function startOf({ checkpoint }: Course): Position {
  return checkpoint?.position ?? origin;
}

export interface ReplayToOptions {
  readonly clock: Clock;
  /** Takes the batches in order, and their entries; the last may be the beginning of one. */
  readonly take: (batch: Batch, placed: readonly Placed[]) => void | Promise<void>;
  /** Told how many log objects have been read, of how many there are. */
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Hands on what of the log belongs to the course, after its checkpoint. CorruptionError when it is
 * damaged or a part of it is missing; ForeignError; ObjectError.
 */
export async function replayTo(
  store: ObjectStore,
  course: Course,
  { clock, progress, take }: ReplayToOptions,
): Promise<void> {
  const { checkpoint, cluster, end, until } = course;
  const from = startOf(course);
  if (until === "checkpoint" || end.position.index <= from.index) return;
  const reached = new Error("the moment is reached");
  const onBatch = async (batch: Batch, seq: number) => {
    if (until !== "end" && "wallMs" in until && batch.wallMs > until.wallMs) throw reached;
    const placed = decoded(batch, `${store.address}${logKey(seq)}`);
    const count =
      until !== "end" && "revision" in until
        ? placed.filter(({ entry }) => entry.revision <= until.revision).length
        : placed.length;
    if (count > 0) await take(headOf(batch, placed, count), placed.slice(0, count));
    if (count < placed.length) throw reached;
  };
  try {
    await replayLog(store, {
      cluster,
      from,
      fromSeq: (checkpoint?.lastSeq ?? 0) + 1,
      to: end.seq + 1,
      end: end.position,
      clock,
      onBatch,
      ...(progress && { progress }),
    });
  } catch (error) {
    if (error !== reached) throw error;
  }
}

function decoded(batch: Batch, path: string): Placed[] {
  try {
    return decodeBatch(batch);
  } catch (error) {
    throw new CorruptionError(path, 0, (error as Error).message);
  }
}

/** The first `count` entries of a batch, as one. */
function headOf(batch: Batch, placed: readonly Placed[], count: number): Batch {
  const last = placed[count - 1];
  if (count === placed.length || last === undefined) return batch;
  let [bytes, taken] = [0, 0];
  for (const entry of encodedEntries(batch.entries, batch.count)) {
    if (taken++ === count) break;
    bytes += 4 + entry.length;
  }
  return {
    ...batch,
    count,
    end: last.position,
    lastRevision: last.entry.revision,
    entries: batch.entries.subarray(0, bytes),
  };
}

/** The course to a checkpoint, and no further. */
export function courseOf(checkpoint: Manifest): Course {
  const end = emptyLog(checkpoint.position, checkpoint.revision);
  return { cluster: checkpoint.cluster, checkpoint, end, until: "checkpoint" };
}

/** For messages: what a course begins with. */
export function startText({ checkpoint }: Course): string {
  return checkpoint === undefined ? "the beginning of the log" : keyOf(checkpoint);
}
