/** What `t4 run` is told about the bucket, as a member wants it. */
import fs from "node:fs";
import os from "node:os";
import type { MemberOptions } from "../member/member.ts";
import { normalPrefix } from "../object/prefixed.ts";
import type { RunOptions } from "./options.ts";
import type { OpenBucket } from "./store.ts";
import { UsageError } from "./usage.ts";
import { addressText } from "./value.ts";

const mebibyte = 2 ** 20;
const localBytesMax = 1024 * mebibyte;
const localShareMax = 1 / 4;
/** A start reads what came after the last checkpoint: not more than this, by bytes and by objects. */
const checkpointLogBytes = 64 * mebibyte;
const checkpointObjects = 2000;

/** Options that mean nothing without others. UsageError, one line. */
export function checkBucketOptions(options: RunOptions, bucket: OpenBucket | undefined): void {
  const { branchCheckpoint, branchPrefix } = options;
  if ((branchPrefix === undefined) !== (branchCheckpoint === undefined)) {
    throw new UsageError("--branch-prefix and --branch-checkpoint belong together: give both");
  }
  if (branchPrefix !== undefined && normalPrefix(branchPrefix) === bucket?.prefix) {
    throw new UsageError(
      "--branch-prefix names the source of a branch, --s3-prefix its own place: they must differ",
    );
  }
  if (branchPrefix !== undefined && bucket === undefined) {
    throw new UsageError(
      "--branch-prefix needs the bucket of its source: give --object-store or --s3-bucket",
    );
  }
}

/** How a member uses an open bucket. */
export function bucketSettings(
  options: RunOptions,
  { prefix, store, storeAt }: OpenBucket,
): NonNullable<MemberOptions["bucket"]> {
  const { branchCheckpoint, branchPrefix, listen } = options;
  return {
    store,
    storeAt,
    syncUpload: options.syncUpload,
    strictReads: options.strictReads,
    address: options.advertiseUrls?.[0] ?? addressText(listen),
    place: () => placeOf(options.dataDirectory),
    branch:
      branchPrefix === undefined || branchCheckpoint === undefined
        ? undefined
        : { sourcePrefix: branchPrefix, checkpointKey: branchCheckpoint, prefix },
    batchDelayMs: options.batchDelayMs,
    causes: {
      intervalMs: options.checkpointMinutes * 60_000,
      entries: options.checkpointEntries,
      logBytes: checkpointLogBytes,
      objects: checkpointObjects,
    },
    lookEveryMs: options.leaderWatchSeconds * 1000,
    localBytesMax: localBound(options),
  };
}

function localBound({ dataDirectory, localLogMib }: RunOptions): number {
  if (localLogMib !== undefined) return localLogMib * mebibyte;
  try {
    const { blocks, bsize } = fs.statfsSync(existing(dataDirectory));
    return Math.min(localBytesMax, blocks * bsize * localShareMax);
  } catch {
    // Whatever is wrong with the directory is told when it is opened.
    return localBytesMax;
  }
}

/** The nearest directory above `path` that is there. */
function existing(path: string): string {
  let at = path;
  while (!fs.existsSync(at) && at.includes("/")) at = at.slice(0, at.lastIndexOf("/"));
  return at === "" ? "/" : at;
}

/**
 * Tells this directory on this machine from a copy of it: a machine keeps its id through restarts, a
 * copy of a directory has another inode.
 */
export function placeOf(dataDirectory: string): string {
  return `${machineId()}:${inodeOf(dataDirectory)}`;
}

function machineId(): string {
  try {
    return fs.readFileSync("/etc/machine-id", "utf8").trim() || os.hostname();
  } catch {
    // macOS has none, some containers neither: then a machine is its name.
    return os.hostname();
  }
}

function inodeOf(path: string): string {
  try {
    const { dev, ino } = fs.statSync(path);
    return `${dev}:${ino}`;
  } catch {
    // Whoever asks has locked it; what is wrong with it now is told by whoever uses it next.
    return "gone";
  }
}
