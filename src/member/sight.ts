/** What a start finds before it changes anything: the columns of plan.ts, and what goes with them. */
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk } from "../lib/disk.ts";
import { readPosition } from "../lsm/manifest.ts";
import { checkpointPrefix, logPrefix } from "../object/keys.ts";
import type { ObjectStore } from "../object/store.ts";
import type { Observed } from "../replication/lock.ts";
import { readHead } from "../replication/lock.ts";
import type { Manifest } from "../replication/manifest.ts";
import { findCheckpoint, type StoreAt } from "../replication/restore.ts";
import { framesAt } from "../wal/segment.ts";
import { type Bond, readBond } from "./bond.ts";
import type { Checkpoint } from "./commit.ts";
import type { LockedDirectory } from "./directory.ts";
import type { Facts } from "./plan.ts";

export interface Sight {
  readonly facts: Facts;
  readonly bond: Bond | undefined;
  /** The lock, where there is one. */
  readonly observed: Observed | undefined;
  /** What a first start that was cut short has left. */
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

/** Looks at directory and bucket. As `lookAlone`, ObjectError. */
export async function look(
  disk: Disk,
  locked: LockedDirectory,
  bucket: { readonly store: ObjectStore; readonly storeAt: StoreAt; readonly branch: boolean },
): Promise<Sight> {
  const alone = lookAlone(disk, locked);
  const { storeAt, store } = bucket;
  const observed = await readHead(store);
  const hasLog = observed === undefined && (await isUsed(store, logPrefix));
  const isBegun = observed === undefined && !hasLog && (await isUsed(store, checkpointPrefix));
  const begun = isBegun ? (await findCheckpoint(store, { storeAt })).manifest : undefined;
  const cluster = observed?.head.cluster ?? begun?.cluster;
  const { identity } = locked;
  const same = identity !== undefined && identity.clusterId === cluster;
  const facts: Facts = {
    ...alone.facts,
    bucket: observed !== undefined ? "led" : hasLog ? "lost" : begun ? "begun" : "blank",
    same,
    s3: observed?.head.s3 ?? false,
    listed: same && (observed?.head.iss.includes(identity.memberId) ?? false),
    branch: bucket.branch,
  };
  return { ...alone, facts, observed, begun };
}

async function isUsed(store: ObjectStore, prefix: string): Promise<boolean> {
  const { objects } = await store.list(prefix);
  return objects.length > 0;
}

/** What is in the directory; damage counts as data, for whoever opens it to tell. */
function contentOf(disk: Disk, { identity, logPath, path, tablesPath }: LockedDirectory) {
  if (identity === undefined) return "new";
  const names = disk.list(path);
  const hasTables = names.some((name) => tablesPath === `${path}/${name}`);
  if (hasTables && hasFlushed(disk, tablesPath)) return "data";
  const hasLog = names.some((name) => logPath === `${path}/${name}`);
  return hasLog && hasFrames(disk, logPath) ? "data" : "empty";
}

function hasFlushed(disk: Disk, tablesPath: string): boolean {
  try {
    return readPosition<Checkpoint>(disk, tablesPath) !== undefined;
  } catch (error) {
    if (error instanceof CorruptionError) return true;
    throw error;
  }
}

function hasFrames(disk: Disk, logPath: string): boolean {
  return disk.list(logPath).some((name) => {
    const file = disk.open(`${logPath}/${name}`);
    try {
      return file.size() > framesAt;
    } finally {
      file.close();
    }
  });
}
