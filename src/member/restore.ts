/** The tables of the newest whole checkpoint, put into the directory. */
import { CorruptionError } from "../lib/corruption.ts";
import { Installation } from "../lsm/install.ts";
import { readPosition } from "../lsm/manifest.ts";
import { origin, type Position } from "../model/revision.ts";
import { checkpointPrefix, logKey } from "../object/keys.ts";
import type { ObjectStore } from "../object/store.ts";
import { readBoundary } from "../replication/boundary.ts";
import { keyOf, keyOfTable, type Manifest } from "../replication/manifest.ts";
import { decodeLogObject } from "../replication/record.ts";
import { download, restoreNewest, type Skipped } from "../replication/restore.ts";
import type { DataDirectory } from "./directory.ts";
import type { Checkpoint } from "./durable.ts";
import { type BucketOptions, positionOf, type RecoverOptions } from "./rooms.ts";

const parallel = 8;

type RestoreOptions = Pick<RecoverOptions, "disk" | "logger" | "onStep">;

/**
 * Puts the newest checkpoint that is whole into the directory, in place of the tables there; those it
 * shares with them are not fetched. Undefined, and nothing is changed, where the bucket has none and
 * its log reaches back to the beginning. CorruptionError when the checkpoints that are there are
 * damaged and the log does not reach back; ForeignError; DiskError; ObjectError.
 */
export async function restoreTables(
  options: RestoreOptions,
  { store, storeAt }: BucketOptions,
  directory: DataDirectory,
): Promise<Manifest | undefined> {
  const { disk, logger } = options;
  const installation = await Installation.begin(disk, directory.tablesPath);
  const { manifest, skipped } = await restoreNewest(store, {
    ...taking(options, installation, store.address),
    storeAt,
    cluster: directory.identity.clusterId,
    skip: ({ key, why }) => logger.warn("a checkpoint cannot be used", { checkpoint: key, why }),
  });
  if (manifest !== undefined) {
    await finish(installation, manifest, store.address);
    logger.info("restored a checkpoint", {
      checkpoint: keyOf(manifest),
      revision: manifest.revision,
    });
    return manifest;
  }
  const { index } = await readBoundary(store);
  const before = index > 0 || skipped.length === 0 ? index : await entryBefore(store, directory);
  if (before === 0) return undefined;
  throw noneIsWhole(store, skipped, `the log up to entry ${before} is not there`);
}

/** After which entry the first log object goes on: not 0 where a database began with a checkpoint. */
async function entryBefore(store: ObjectStore, { identity }: DataDirectory): Promise<number> {
  const found = await store.get(logKey(1));
  if (found === undefined) return 0;
  return decodeLogObject(1, found.bytes, identity.clusterId).base.index;
}

/** What is said where a database needs a checkpoint, for the reason `because`, and none is whole. */
export function noneIsWhole(
  { address }: ObjectStore,
  skipped: readonly Skipped[],
  because: string,
): CorruptionError {
  const reasons = skipped.map(({ key, why }) => `${key}: ${why}`).join("; ") || "there is none";
  const what = `${because}, and no checkpoint is whole (${reasons})`;
  return new CorruptionError(`${address}${checkpointPrefix}`, 0, what);
}

/** Puts the tables of one checkpoint into the directory. As `restoreTables`. */
export async function restoreCheckpoint(
  options: RestoreOptions,
  { store, storeAt }: Pick<BucketOptions, "store" | "storeAt">,
  directory: Pick<DataDirectory, "tablesPath">,
  manifest: Manifest,
): Promise<void> {
  const installation = await Installation.begin(options.disk, directory.tablesPath);
  await download(store, manifest, { ...taking(options, installation, store.address), storeAt });
  await finish(installation, manifest, store.address);
}

function taking({ onStep }: RestoreOptions, installation: Installation, address: string) {
  return {
    parallel,
    has: (hash: string) => installation.has(hash),
    put: (table: Parameters<typeof keyOfTable>[0], bytes: Buffer) =>
      installation.add(table.hash, bytes, `${address}${keyOfTable(table)}`),
    progress: (done: number, total: number) => onStep({ name: "restore", done, total }),
  };
}

async function finish(
  installation: Installation,
  manifest: Manifest,
  address: string,
): Promise<void> {
  await installation.finish(Buffer.from(manifest.tree), `${address}${keyOf(manifest)}`);
}

/** Where the directory's tables end; the origin where there are none, undefined where damaged. */
export function tablesEnd(
  { disk }: Pick<RecoverOptions, "disk">,
  { tablesPath }: Pick<DataDirectory, "tablesPath">,
): Position | undefined {
  try {
    const checkpoint = readPosition<Checkpoint>(disk, tablesPath);
    return checkpoint === undefined ? origin : positionOf(checkpoint);
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}
