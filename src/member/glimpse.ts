/**
 * The database in a bucket, to be read without starting a member: the newest checkpoint that is
 * whole goes into a scratch directory, the log after it into memory. Nothing is written to the bucket.
 */

import { ensureDirectory } from "../lib/disk.ts";
import { silent } from "../lib/logger.ts";
import { HeldTables } from "../lsm/hold.ts";
import { isDamage } from "../replication/restore.ts";
import type { Checkpoint } from "./durable.ts";
import { type Course, coursesTo, newestIn, replayTo, type Source } from "./moment.ts";
import { restoreCheckpoint } from "./restore.ts";
import {
  type EntrySource,
  openSnapshot,
  partsOf,
  type Snapshot,
  type SnapshotOptions,
} from "./snapshot.ts";

/** Times a checkpoint may be deleted while its tables are fetched. */
const looksMax = 3;

export interface GlimpseOptions extends SnapshotOptions {
  /** A directory that is there, for the tables; whoever made it removes it. */
  readonly scratch: string;
}

/** A database read from a bucket. */
export interface Glimpse extends Snapshot {
  readonly cluster: bigint;
  /** What it was read from. */
  readonly course: Course;
}

/**
 * Opens the database in a bucket; undefined when there is none. CorruptionError when what is there
 * is not whole; ForeignError; ObjectError; DiskError.
 */
export async function glimpse(
  source: Source,
  options: GlimpseOptions,
): Promise<Glimpse | undefined> {
  for (let look = 1; ; look++) {
    const newest = await newestIn(source);
    if (newest === undefined) return undefined;
    let damage: unknown;
    for await (const course of coursesTo(source, newest, "end", () => undefined)) {
      try {
        return await open(source, course, options);
      } catch (error) {
        if (!isDamage(error)) throw error;
        damage ??= error;
      }
    }
    if (damage === undefined) return undefined;
    // gc may have taken away what was being read: then there is newer now.
    if (look === looksMax) throw damage;
  }
}

async function open(
  source: Source,
  course: Course,
  { cacheBytesMax, clock, disk, scratch }: GlimpseOptions,
): Promise<Glimpse> {
  const { tablesPath } = partsOf(scratch);
  const quiet = { disk, logger: silent, onStep: () => undefined };
  const { checkpoint, cluster } = course;
  if (checkpoint === undefined) await ensureDirectory(disk, tablesPath);
  else await restoreCheckpoint(quiet, source, { tablesPath }, checkpoint);
  const tables = HeldTables.open<Checkpoint>(disk, tablesPath);
  try {
    const entries: EntrySource = {
      replay: (_, take) =>
        replayTo(source.store, course, {
          clock,
          take: (__, placed) => {
            for (const { entry, position } of placed) take(entry, position);
          },
        }),
    };
    return { ...(await openSnapshot(tables, entries, { cacheBytesMax })), cluster, course };
  } catch (error) {
    tables.close();
    throw error;
  }
}
