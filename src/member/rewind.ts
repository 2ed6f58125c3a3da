/**
 * Puts a state of a database that is in a bucket into a directory, as a database of its own: with a
 * new cluster id, so that it cannot be taken for the one it comes from.
 *
 *   1 RESTORING   noted, durably: until it is gone, nothing in the directory is of use
 *   2 BUCKET      removed: what the directory will hold is not in a bucket yet
 *   3 tables      those of the checkpoint, each held against its hash, in place of what was there
 *   4 log         begun after them, with the entries up to the moment, each batch checked
 *   5 MEMBER      written, with the new ids
 *   6 verified    everything is read back (verify.ts)
 *   7 RESTORING   removed
 *
 * What an interruption leaves is replaced by the next restore, which fetches no table again. The
 * checkpoint is pinned in the bucket meanwhile, so that no gc takes it away (replication/pin.ts).
 */
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Disk, ensureDirectory, replaceWhole } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import { noCounter, noHistogram } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import { ObjectError } from "../object/store.ts";
import { keyOf, type Manifest } from "../replication/manifest.ts";
import { holdCheckpoint } from "../replication/pin.ts";
import { isDamage } from "../replication/restore.ts";
import { Log } from "../wal/log.ts";
import type { LogOptions } from "../wal/options.ts";
import { removeBond } from "./bond.ts";
import {
  type Claimed,
  type DataDirectory,
  formatDirectory,
  restoringName,
  someId,
} from "./directory.ts";
import { type Course, replayTo, type Source, startOf, startText } from "./moment.ts";
import { restoreCheckpoint } from "./restore.ts";
import type { StartStep } from "./rooms.ts";
import { verifyDirectory } from "./verify.ts";

/** Batches of this many bytes are synced together. */
const syncBytes = 2 ** 20;
const segmentBytesMax = 50 * 2 ** 20;
const cacheBytesMax = 2 ** 26;
/** How long the checkpoint is pinned, should nobody release it. */
const holdMs = 24 * 3_600_000;

export interface RewindOptions extends Source {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly onStep: (step: StartStep) => void;
}

/** The database that a directory holds then. */
export interface Rewound {
  readonly clusterId: bigint;
  readonly checkpoint: Manifest | undefined;
  readonly revision: number;
  readonly index: number;
  /** Of the last entry. */
  readonly term: number;
  /** The leader's clock at the last entry, in milliseconds since 1970; 0 when it has none. */
  readonly wallMs: number;
}

/**
 * Takes the first course whose tables are whole, and makes the directory what it says. Undefined,
 * and nothing is changed, when there is none. CorruptionError when only damaged ones are, or the log
 * is; ForeignError; DiskError; ObjectError.
 */
export async function rewind(
  claimed: Claimed,
  courses: AsyncIterable<Course> | Iterable<Course>,
  options: RewindOptions,
): Promise<Rewound | undefined> {
  let damage: Error | undefined;
  for await (const course of courses) {
    const hold = await holdOn(course, options);
    if (typeof hold === "string") {
      options.logger.warn("a checkpoint cannot be used", {
        checkpoint: startText(course),
        why: hold,
      });
      continue;
    }
    try {
      await begin(claimed, options.disk);
      const isTaken = await takeTables(claimed, course, options);
      if (isTaken === true) return await complete(claimed, course, options);
      damage = isTaken;
    } finally {
      await hold.release();
    }
  }
  if (damage !== undefined) throw damage;
  return undefined;
}

/** Steps 1 and 2. */
async function begin({ path }: Claimed, disk: Disk): Promise<void> {
  await replaceWhole(disk, `${path}/${restoringName}`, Buffer.from("see t4 restore --help\n"));
  await removeBond(disk, path);
}

/** Step 3; the error when they are damaged in the bucket. */
async function takeTables(
  { path, tablesPath }: Claimed,
  course: Course,
  options: RewindOptions,
): Promise<true | Error> {
  const { disk, logger } = options;
  const { checkpoint } = course;
  try {
    if (checkpoint === undefined) await clear(disk, tablesPath);
    else await restoreCheckpoint(options, options, { tablesPath }, checkpoint);
    return true;
  } catch (error) {
    const isOurs = error instanceof CorruptionError && error.path.startsWith(`${path}/`);
    if (!isDamage(error) || isOurs) throw error;
    logger.warn("a checkpoint cannot be used", {
      checkpoint: startText(course),
      why: error.message,
    });
    return error;
  }
}

async function clear(disk: Disk, directory: string): Promise<void> {
  await ensureDirectory(disk, directory);
  for (const name of disk.list(directory)) disk.remove(`${directory}/${name}`);
  await disk.syncDirectory(directory);
}

/** Steps 4 to 7. */
async function complete(
  claimed: Claimed,
  course: Course,
  options: RewindOptions,
): Promise<Rewound> {
  const { clock, disk, onStep, random } = options;
  const clusterId = someId(random);
  const rewound = await takeLog(claimed, course, clusterId, options);
  const directory: DataDirectory = await formatDirectory(
    disk,
    { ...claimed, identity: undefined },
    random,
    clusterId,
  );
  onStep({ name: "tables", done: 0, total: 0 });
  const { damages } = await verifyDirectory(directory.path, {
    disk,
    clock,
    cacheBytesMax,
    mayBeHalf: true,
  });
  const [first] = damages;
  if (first !== undefined) throw new CorruptionError(first.path, first.offset ?? 0, first.what);
  disk.remove(`${directory.path}/${restoringName}`);
  await disk.syncDirectory(directory.path);
  return rewound;
}

/** Step 4. */
async function takeLog(
  { logPath }: Claimed,
  course: Course,
  clusterId: bigint,
  options: RewindOptions,
): Promise<Rewound> {
  const { clock, onStep, store } = options;
  const { checkpoint } = course;
  const start = startOf(course);
  let last: Omit<Rewound, "clusterId" | "checkpoint"> = {
    revision: checkpoint?.revision ?? 1,
    index: start.index,
    term: start.term,
    wallMs: checkpoint?.wallMs ?? 0,
  };
  const log = await Log.begin(logOptions(logPath, clusterId, course, options), start);
  try {
    await replayTo(store, course, {
      clock,
      progress: (done, total) => onStep({ name: "log", done, total }),
      take: async (batch) => {
        log.stageBatch(batch);
        const { end, lastRevision: revision, wallMs } = batch;
        last = { revision, index: end.index, term: end.term, wallMs };
        if (log.stagedBytes >= syncBytes) await log.sync();
      },
    });
    await log.sync();
  } finally {
    await log.close();
  }
  return { clusterId, checkpoint, ...last };
}

function logOptions(
  directory: string,
  cluster: bigint,
  course: Course,
  { clock, disk, logger, random }: RewindOptions,
): LogOptions {
  return {
    disk,
    directory,
    cluster,
    clock,
    random,
    logger,
    limits: { segmentBytesMax, segmentAgeMsMax: Number.POSITIVE_INFINITY },
    meters: { fsyncSeconds: noHistogram, bytes: noCounter },
    applied: startOf(course),
    replay: () => undefined,
  };
}

/** Keeps the course's checkpoint from gc; what speaks against it. Whoever may only read goes without. */
async function holdOn(
  { checkpoint, cluster }: Course,
  { clock, random, store, storeAt }: RewindOptions,
): Promise<{ release(): Promise<void> } | string> {
  const nothing = { release: () => Promise.resolve() };
  if (checkpoint === undefined) return nothing;
  const nowMs = clock.wall();
  const how = { random, nowMs, expiresMs: nowMs + holdMs, storeAt, cluster };
  try {
    const hold = await holdCheckpoint(store, keyOf(checkpoint), how);
    if ("release" in hold) return hold;
    return hold.outcome === "unusable" ? hold.why : "it is gone";
  } catch (error) {
    if (error instanceof ObjectError && ["denied", "invalid"].includes(error.kind)) return nothing;
    throw error;
  }
}
