/**
 * What a directory acknowledged by itself, before it comes to a bucket that holds everything: its log
 * must be a part of the bucket's. A directory that waited for the bucket may have a tail that nobody
 * was promised; one that did not wait, or waited for another bucket, was the only place of what the
 * bucket lacks, and its start is refused by name rather than that dropped; so it is when damage hides
 * how far it goes.
 */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { logKey } from "../object/keys.ts";
import type { ObjectStore } from "../object/store.ts";
import { findEnd } from "../replication/archive.ts";
import { readBoundary } from "../replication/boundary.ts";
import { decodeLogObject } from "../replication/record.ts";
import { findSlot } from "../replication/replay.ts";
import { type Cut, findLogEnd } from "../wal/survey.ts";
import type { Bond } from "./bond.ts";
import type { DataDirectory } from "./directory.ts";
import type { RecoverOptions } from "./rooms.ts";

/** Whether the directory acknowledged only what the bucket at `address` has. */
export function hasWaited(bond: Bond | undefined, address: string): boolean {
  return bond?.member === true && bond.address === address;
}

/**
 * Throws a ForeignError unless the bucket's log has everything that the directory's has, and a
 * CorruptionError where damage hides how far that goes. What has no log has never served: its tables
 * are the bucket's. DiskError, ObjectError.
 */
export async function refuseUnlessKept(
  options: Pick<RecoverOptions, "clock" | "disk" | "logger">,
  store: ObjectStore,
  directory: DataDirectory,
): Promise<void> {
  const { identity, path } = directory;
  const own = await ownEnd(options, store, directory);
  if (own === undefined || own.index === 0) return;
  const cluster = identity.clusterId;
  const boundary = await readBoundary(store);
  const end = await findEnd(store, cluster, { atLeast: boundary.seq - 1 });
  const hint = `to read them, start it without a bucket, best on a copy; ${giveUpHint}`;
  if (own.index > end.position.index) {
    const from = end.position.index + 1;
    const what = `acknowledged entries ${from} to ${own.index} by itself, and ${store.address} goes on without them`;
    throw new ForeignError(path, what, hint);
  }
  const slots = { cluster, fromSeq: Math.max(1, boundary.seq), to: end.seq + 1 };
  if (await passesBy(store, slots, own)) return;
  const what = `has entries up to ${own.index}, and ${store.address} others in their place, or no longer any`;
  throw new ForeignError(path, what, hint);
}

const giveUpHint = "to go on without them, give this prefix a new --data-dir";

/** Where the directory's log ends; undefined where it has none. */
async function ownEnd(
  { clock, disk, logger }: Pick<RecoverOptions, "clock" | "disk" | "logger">,
  { address }: ObjectStore,
  { identity, logPath }: DataDirectory,
): Promise<Cut | undefined> {
  const cluster = identity.clusterId;
  try {
    return await findLogEnd({ clock, cluster, directory: logPath, disk, logger });
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    const what = `${error.what}; it hides whether ${address} has all writes that this directory acknowledged by itself`;
    const hint = `restore it from a copy; ${giveUpHint}`;
    throw new CorruptionError(error.path, error.offset, what, hint);
  }
}

/** Whether the log in these slots comes by this point, where some batch of it ends. */
async function passesBy(
  store: ObjectStore,
  slots: { readonly cluster: bigint; readonly fromSeq: number; readonly to: number },
  { chain, index }: Cut,
): Promise<boolean> {
  // The object that holds entry `index`, or an end of the log that stands there already.
  for (let seq = await findSlot(store, { ...slots, index: index - 1 }); seq < slots.to; seq++) {
    const found = await store.get(logKey(seq));
    if (found === undefined) continue;
    const object = decodeLogObject(seq, found.bytes, slots.cluster);
    const points = [object.base, ...object.batches.map(({ end }) => end)];
    const point = points.find((each) => each.index === index);
    if (point !== undefined) return point.chain === chain;
    if (object.base.index > index) return false;
  }
  return false;
}
