/**
 * The data directory: whose it is, and that only one process uses it.
 *
 *   <data-dir>/
 *     MEMBER   identity, written once; two lines of text:
 *              {"format_version":1,"cluster_id":"hex","member_id":"hex"}
 *              SHA-256 of the first line without its end, lower-case hex
 *     LOCK     empty; the process that uses the directory holds a kernel lock on it
 *     BUCKET   where the acknowledged writes are, if a bucket has them (bond.ts)
 *     RESTORING   there while a database is put into the directory (rewind.ts): what else is there
 *              is of no use then
 *     wal/     the log      (wal/log.ts)
 *     db/      the tables   (lsm/tree.ts)
 *
 * MEMBER is the first thing made and is made whole: a directory without it holds nothing yet, or
 * is not ours. Its checksum stays in every format to come, so that damage is not taken for a newer
 * format or another member.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import {
  type Disk,
  DiskError,
  type DiskLock,
  ensureDirectory,
  InUseError,
  readWhole,
  replaceWhole,
  temporarySuffix,
} from "../lib/disk.ts";
import type { Random } from "../lib/random.ts";

export interface Identity {
  /** Which database this is; the same on all its members. Never 0. */
  readonly clusterId: bigint;
  /** Which data directory of it; chosen when the directory was formatted. Never 0. */
  readonly memberId: bigint;
}

export interface DataDirectory {
  readonly path: string;
  readonly identity: Identity;
  readonly logPath: string;
  readonly tablesPath: string;
  readonly lock: DiskLock;
}

const formatVersion = 1;
const identityName = "MEMBER";
const lockName = "LOCK";
export const restoringName = "RESTORING";
/** Names that may be in a directory that is to become ours. */
const harmlessNames = [
  lockName,
  `${identityName}${temporarySuffix}`,
  `${restoringName}${temporarySuffix}`,
  "lost+found",
];

/** A directory that only this process uses, and what it says of itself so far. */
export interface LockedDirectory extends Omit<DataDirectory, "identity"> {
  /** Undefined in one that is new or empty. */
  readonly identity: Identity | undefined;
}

/**
 * Locks the directory and reads its identity, or gives it one when it is new or empty. Errors:
 * InUseError; ForeignError when it is not ours or newer; CorruptionError when MEMBER is
 * damaged; DiskError.
 */
export async function openDirectory(
  disk: Disk,
  path: string,
  random: Random,
): Promise<DataDirectory> {
  const locked = await lockDirectory(disk, path);
  try {
    if (locked.identity !== undefined) return await ready(disk, locked, locked.identity);
    return await formatDirectory(disk, locked, random, someId(random));
  } catch (error) {
    locked.lock.release();
    throw error;
  }
}

/** The first half of `openDirectory`: nothing is made but the directory and its lock. */
export async function lockDirectory(disk: Disk, path: string): Promise<LockedDirectory> {
  await ensureDirectory(disk, path);
  refuseHalf(disk, path);
  refuseForeign(disk, path);
  const lock = disk.lock(`${path}/${lockName}`);
  if (lock === undefined) {
    throw new InUseError(
      `${path} is in use by another t4 process; stop that one or choose another --data-dir`,
    );
  }
  try {
    const identity = readIdentity(disk, path);
    // Whoever wrote MEMBER may have died before its name was durable, and it comes before all else.
    if (identity !== undefined) await disk.syncDirectory(path);
    return { path, identity, logPath: `${path}/wal`, tablesPath: `${path}/db`, lock };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** A directory into which a database is to be put, and what is in the way. */
export interface Claimed extends Omit<LockedDirectory, "identity"> {
  /** "database": whoever puts one in replaces it. "half": what an interrupted restore left. */
  readonly holds: "nothing" | "database" | "half";
}

/**
 * Locks a directory that is to be replaced, whatever state its database is in; it is made when
 * absent. InUseError; ForeignError when it holds something that is not T4's; DiskError.
 */
export async function claimDirectory(disk: Disk, path: string): Promise<Claimed> {
  await ensureDirectory(disk, path);
  const names = disk.list(path);
  const isHalf = names.includes(restoringName);
  if (!isHalf) refuseForeign(disk, path);
  const lock = disk.lock(`${path}/${lockName}`);
  if (lock === undefined) {
    throw new InUseError(
      `${path} is in use by another t4 process; stop that one or choose another --data-dir`,
    );
  }
  const holds = isHalf ? "half" : names.includes(identityName) ? "database" : "nothing";
  return { path, logPath: `${path}/wal`, tablesPath: `${path}/db`, lock, holds };
}

/** The second half for a directory without entries: a new member of the cluster `clusterId`. */
export async function formatDirectory(
  disk: Disk,
  locked: LockedDirectory,
  random: Random,
  clusterId: bigint,
): Promise<DataDirectory> {
  return await ready(disk, locked, await format(disk, locked.path, random, clusterId));
}

/** The second half for a directory that has an identity already. */
export async function ready(
  disk: Disk,
  locked: LockedDirectory,
  identity: Identity,
): Promise<DataDirectory> {
  await ensureDirectory(disk, locked.logPath);
  await ensureDirectory(disk, locked.tablesPath);
  return { ...locked, identity };
}

function refuseHalf(disk: Disk, path: string): void {
  if (!disk.list(path).includes(restoringName)) return;
  throw new ForeignError(
    path,
    "holds a half of a database: a restore into it was interrupted",
    "repeat the t4 restore, or choose another --data-dir",
  );
}

function refuseForeign(disk: Disk, path: string): void {
  const names = disk.list(path);
  if (names.includes(identityName)) return;
  const other = names.find((name) => !harmlessNames.includes(name));
  if (other === undefined) return;
  throw new ForeignError(
    path,
    `is not a T4 data directory: it has no ${identityName} file but holds "${other}"`,
    "choose an empty or new --data-dir",
  );
}

async function format(
  disk: Disk,
  path: string,
  random: Random,
  clusterId: bigint,
): Promise<Identity> {
  const identity = { clusterId, memberId: someId(random) };
  const line = JSON.stringify({
    format_version: formatVersion,
    cluster_id: identity.clusterId.toString(16),
    member_id: identity.memberId.toString(16),
  });
  const bytes = Buffer.from(`${line}\n${sha256(line)}\n`);
  await replaceWhole(disk, `${path}/${identityName}`, bytes);
  return identity;
}

function readIdentity(disk: Disk, path: string): Identity | undefined {
  const file = `${path}/${identityName}`;
  const bytes = readWhole(disk, file);
  if (bytes === undefined) return undefined;
  const json = parse(file, bytes);
  const version = json.format_version;
  if (typeof version === "number" && version > formatVersion) {
    throw new ForeignError(
      file,
      `was written by a newer T4 (format ${version}, this one knows ${formatVersion})`,
      "run the newer T4",
    );
  }
  const clusterId = idOf(json.cluster_id);
  const memberId = idOf(json.member_id);
  if (version !== formatVersion || clusterId === undefined || memberId === undefined) {
    throw damaged(file);
  }
  return { clusterId, memberId };
}

function parse(file: string, bytes: Buffer): Record<string, unknown> {
  const [line = "", ...rest] = bytes.toString("latin1").split("\n");
  if (rest.join("\n") !== `${sha256(line)}\n`) throw damaged(file);
  return JSON.parse(line) as Record<string, unknown>;
}

function idOf(value: unknown): bigint | undefined {
  if (typeof value !== "string" || !/^[1-9a-f][0-9a-f]{0,15}$/.test(value)) return undefined;
  return BigInt(`0x${value}`);
}

function damaged(file: string): CorruptionError {
  return new CorruptionError(
    file,
    0,
    "it does not hold a member's identity",
    "restore the file from a copy of this directory",
  );
}

/** A random id of a cluster or a member; never 0. */
export function someId(random: Random): bigint {
  for (;;) {
    const id = random.u64();
    if (id !== 0n) return id;
  }
}

/**
 * Whose directory this is, for somebody who only looks at it: nothing is made, nothing locked.
 * ForeignError when it is absent, not ours, newer, or half restored unless that is meant;
 * CorruptionError when MEMBER is damaged; DiskError.
 */
export function identityIn(disk: Disk, path: string, mayBeHalf = false): Identity {
  let isHalf = false;
  try {
    isHalf = disk.list(path).includes(restoringName);
    if (!isHalf) refuseForeign(disk, path);
  } catch (error) {
    const what = error instanceof ForeignError ? error.what : absence(error);
    if (what === undefined) throw error;
    throw new ForeignError(path, what, "choose another --data-dir");
  }
  if (isHalf && !mayBeHalf) refuseHalf(disk, path);
  const identity = readIdentity(disk, path);
  if (identity !== undefined) return identity;
  throw new ForeignError(path, "is empty: no member has begun in it", "choose another --data-dir");
}

function absence(error: unknown): string | undefined {
  const code = error instanceof DiskError ? error.code : undefined;
  if (code === "ENOENT") return "does not exist";
  return code === "ENOTDIR" ? "is no directory" : undefined;
}
