/** Starts that the table refuses (plan.ts), in words: what was found, and what can be done. */

import { unreachable } from "../lib/assert.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import type { Position } from "../model/revision.ts";
import { lockKey, logKey } from "../object/keys.ts";
import type { ObjectStore } from "../object/store.ts";
import { findEnd, type LogEnd } from "../replication/archive.ts";
import type { DataDirectory, LockedDirectory } from "./directory.ts";
import { type Plan, type RefusalReason, rowOf } from "./plan.ts";
import type { Sight } from "./sight.ts";

/** What is to be done about what was found. ForeignError when it is nothing, with what can be. */
export async function planFor(
  sight: Sight,
  locked: LockedDirectory,
  store: ObjectStore | undefined,
): Promise<Plan> {
  const { plan } = rowOf(sight.facts);
  if (typeof plan === "string") return plan;
  const end = store && (await lastInBucket(sight, store));
  throw refusalOf(plan.refuse, sight, locked, store?.address ?? "", end);
}

function refusalOf(
  reason: RefusalReason,
  { begun, bond, observed }: Sight,
  { identity, path }: LockedDirectory,
  address: string,
  end: LogEnd | undefined,
): ForeignError {
  const theirs = (observed?.head.cluster ?? begun?.cluster ?? 0n).toString(16);
  const ours = identity?.clusterId.toString(16) ?? "none";
  switch (reason) {
    case "bound elsewhere":
      if (bond?.member === false) {
        return new ForeignError(
          path,
          `belongs to the database in ${bond.address}`,
          "start it with that --object-store (and --s3-prefix), or without a bucket; if that bucket is gone for good, remove the file BUCKET in it",
        );
      }
      return new ForeignError(
        path,
        `is a cache: what it acknowledged is in ${bond?.address}`,
        "start it with that --object-store (and --s3-prefix); a copy of the database under another prefix is made by `t4 branch fork` or `t4 restore checkpoint`",
      );
    case "lock is gone":
      return new ForeignError(
        `${address}${lockKey}`,
        "is missing, while there is a log: nobody can tell who may lead",
        "put it back from a copy of the bucket; or restore the newest checkpoint (`t4 restore`) and start it on a new prefix",
      );
    case "another cluster":
      return new ForeignError(
        path,
        `is of cluster ${ours}, ${address} of cluster ${theirs}`,
        "start it without a bucket, or on a new prefix; or give this prefix a new --data-dir",
      );
    case "acknowledged elsewhere":
      return new ForeignError(
        address,
        `has not everything: writes were acknowledged by the disk of ${holders(observed)} alone. ${lastText(end)}`,
        `start the member that has this disk; if it is lost for good: t4 recover --accept-loss --yes with the same bucket options gives up what came after`,
      );
    case "branch into data":
      return new ForeignError(
        path,
        "holds a database; a branch begins in an empty directory",
        "choose a new --data-dir, or start without --branch-prefix and --branch-checkpoint",
      );
    case "not that branch":
      return new ForeignError(
        address,
        "holds a database that is not the branch of that checkpoint",
        "choose a new --s3-prefix for the branch, or start without --branch-prefix and --branch-checkpoint",
      );
    default:
      return unreachable(reason);
  }
}

function holders(observed: Sight["observed"]): string {
  if (observed === undefined) return "another member";
  const { iss, leader } = observed.head;
  const ids = iss.map((incarnation) => incarnation.toString(16)).join(", ");
  return `${leader.name} (${ids})`;
}

function lastText(end: LogEnd | undefined): string {
  if (end === undefined || end.seq === 0) return "The bucket has no log";
  const time = end.wallMs === 0 ? "" : `, written at ${new Date(end.wallMs).toISOString()}`;
  return `The last revision in the bucket is ${end.revision} (entry ${end.position.index}${time})`;
}

async function lastInBucket(
  { begun, observed }: Sight,
  store: ObjectStore,
): Promise<LogEnd | undefined> {
  const cluster = observed?.head.cluster ?? begun?.cluster;
  return cluster === undefined ? undefined : await findEnd(store, cluster);
}

/** The directory's tables hold more than the bucket's log, which has everything. */
export function beyond({ path }: DataDirectory, applied: Position, fence: LogEnd): ForeignError {
  const { index } = fence.position;
  return new ForeignError(
    path,
    `holds entries up to ${applied.index}, and the bucket's log ends with entry ${index}: they are not of one history`,
    "check that nobody has removed objects below wal/; else give this prefix a new --data-dir",
  );
}

/** The bucket has what the directory that should hold everything has not. */
export function lacking({ path }: DataDirectory, own: Position, fence: LogEnd): ForeignError {
  const { index } = fence.position;
  return new ForeignError(
    path,
    `ends with entry ${own.index} and should hold everything, but the bucket's log, which follows it, has entry ${index} of another history or more`,
    "it is an old copy or has lost writes: start the member whose disk is whole, or give up what the bucket lacks with t4 recover --accept-loss --yes",
  );
}

/** The directory's log has gone on without the bucket, and no longer reaches back to the bucket's. */
export function apart({ path }: DataDirectory, fence: LogEnd): ForeignError {
  const { index } = fence.position;
  return new ForeignError(
    path,
    `has been used without its bucket, and its log no longer reaches back to entry ${index}, with which the bucket's ends`,
    "start it on a new prefix, where its data is brought, or without a bucket",
  );
}

/** The bucket's log ends before entries that were acknowledged because they were in it. */
export function cutShort({ address }: ObjectStore, fence: LogEnd, index: number): CorruptionError {
  return new CorruptionError(
    `${address}${logKey(fence.seq)}`,
    0,
    `the log before it ends with entry ${fence.position.index}, and this directory, which waited for the bucket, goes on to entry ${index}: objects have been removed`,
    "put them back from a copy of the bucket; or start with a new --data-dir, which gives up what is missing",
  );
}
