/** What a start finds before it changes anything: the columns of plan.ts, and what goes with them. */
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk } from "../lib/disk.ts";
import { readPosition } from "../lsm/manifest.ts";
import { checkpointPrefix, logPrefix } from "../object/keys.ts";
import { normalPrefix } from "../object/prefixed.ts";
import type { ObjectStore } from "../object/store.ts";
import type { Head, Observed } from "../replication/lock.ts";
import { readHead } from "../replication/lock.ts";
import type { Manifest } from "../replication/manifest.ts";
import { type FindOptions, findCheckpoint, type StoreAt } from "../replication/restore.ts";
import { framesAt } from "../wal/segment.ts";
import { type Bond, readBond } from "./bond.ts";
import type { LockedDirectory } from "./directory.ts";
import type { Checkpoint } from "./durable.ts";
import type { Facts } from "./plan.ts";
import { noneIsWhole, tablesEnd } from "./restore.ts";
import type { BranchPoint } from "./rooms.ts";

export interface Sight {
  readonly facts: Facts;
  readonly bond: Bond | undefined;
  /** The lock, where there is one. */
  readonly observed: Observed | undefined;
  /** The checkpoint from which the log is to begin, where a first start was cut short before that. */
  readonly begun: Manifest | undefined;
}

/** Looks at the directory alone. CorruptionError, ForeignError, DiskError. */
export function lookAlone(disk: Disk, locked: LockedDirectory): Sight {
  const bond = readBond(disk, locked.path);
  const none = { same: false, s3: false, listed: false, branch: false };
  const facts: Facts = {
    ...none,
    directory: contentOf(disk, locked),
    bound: bond?.member ?? false,
    bucket: "none",
  };
  return { facts, bond, observed: undefined, begun: undefined };
}

/** Looks at directory and bucket. As `lookAlone`, for the bucket's objects too; ObjectError. */
export async function look(
  disk: Disk,
  locked: LockedDirectory,
  bucket: {
    readonly store: ObjectStore;
    readonly storeAt: StoreAt;
    readonly branch: BranchPoint | undefined;
  },
): Promise<Sight> {
  const alone = lookAlone(disk, locked);
  const { branch, storeAt, store } = bucket;
  const { begun, hasLog, observed } = await lookAtBucket(store, storeAt);
  const cluster = observed?.head.cluster ?? begun?.cluster;
  const { bond } = alone;
  const { identity } = locked;
  const same = identity !== undefined && identity.clusterId === cluster;
  const isRestored = begun !== undefined && same && hasOnly(disk, locked, begun);
  const without = hasLog ? "lost" : begun ? "begun" : "blank";
  const facts: Facts = {
    ...alone.facts,
    directory: isRestored ? "empty" : alone.facts.directory,
    bound: bond !== undefined && (bond.member || bond.address !== store.address),
    bucket: observed === undefined ? without : hasLog ? "led" : "claimed",
    same,
    s3: observed?.head.s3 ?? false,
    listed: same && (observed?.head.iss.includes(identity.memberId) ?? false),
    branch: branch !== undefined && !comesFrom(observed?.head, branch),
  };
  return { ...alone, facts, observed, begun };
}

/** What the lock of a branch notes of where it comes from. */
export function originOf(branch: BranchPoint | undefined): Head["restored"] {
  if (branch === undefined) return undefined;
  const { checkpointKey, sourcePrefix } = branch;
  return { branch_of: normalPrefix(sourcePrefix), checkpoint_key: checkpointKey };
}

/** Whether the database with this lock began as that branch: its flags say nothing new then. */
function comesFrom(head: Head | undefined, branch: BranchPoint): boolean {
  return (
    head?.restored !== undefined &&
    JSON.stringify(head.restored) === JSON.stringify(originOf(branch))
  );
}

/** The lock is read last: where there is none then, there was none when there was a log. */
async function lookAtBucket(store: ObjectStore, storeAt: StoreAt) {
  const hasLog = await isUsed(store, logPrefix);
  const isBegun = !hasLog && (await isUsed(store, checkpointPrefix));
  const observed = await readHead(store);
  const cluster = observed?.head.cluster;
  const begun = isBegun ? await firstCheckpoint(store, { storeAt, cluster }) : undefined;
  return { begun, hasLog, observed };
}

/**
 * The checkpoint with which a database without a log begins; undefined where an attempt to make one
 * was cut short. CorruptionError when there is one that is not whole: it is not taken for none.
 */
async function firstCheckpoint(store: ObjectStore, options: FindOptions) {
  const { manifest, skipped } = await findCheckpoint(store, options);
  if (manifest !== undefined || skipped.length === 0) return manifest;
  throw noneIsWhole(store, skipped, "the database begins with a checkpoint");
}

async function isUsed(store: ObjectStore, prefix: string): Promise<boolean> {
  const { objects } = await store.list(prefix);
  return objects.length > 0;
}

/** What is in the directory; damage counts as data, for whoever opens it to tell. */
function contentOf(disk: Disk, { identity, logPath, path, tablesPath }: LockedDirectory) {
  if (identity === undefined) return "new";
  if (namesIn(disk, path, tablesPath).length > 0 && hasFlushed(disk, tablesPath)) return "data";
  return hasFrames(disk, logPath, namesIn(disk, path, logPath)) ? "data" : "empty";
}

/** Whether the tables are those of a checkpoint, as they were put there, and no log was begun. */
function hasOnly(disk: Disk, locked: LockedDirectory, { position }: Manifest): boolean {
  const { index, chain } = tablesEnd({ disk }, locked) ?? {};
  if (index !== position.index || chain !== position.chain) return false;
  return namesIn(disk, locked.path, locked.logPath).length === 0;
}

function hasFlushed(disk: Disk, tablesPath: string): boolean {
  try {
    return readPosition<Checkpoint>(disk, tablesPath) !== undefined;
  } catch (error) {
    if (error instanceof CorruptionError) return true;
    throw error;
  }
}

/** Names in a directory below `path`; none where it is not there. */
function namesIn(disk: Disk, path: string, directory: string): string[] {
  const isThere = disk.list(path).some((name) => directory === `${path}/${name}`);
  return isThere ? disk.list(directory) : [];
}

function hasFrames(disk: Disk, logPath: string, names: readonly string[]): boolean {
  return names.some((name) => {
    const file = disk.open(`${logPath}/${name}`);
    try {
      return file.size() > framesAt;
    } finally {
      file.close();
    }
  });
}
