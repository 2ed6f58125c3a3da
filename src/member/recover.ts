/**
 * Start-up of one member on its own disk, in this order; each step stands on the one before:
 *
 *   1 directory   locked, ours, not newer
 *   2 tables      what the manifest names is there and whole, up to its checkpoint
 *   3 log         entries after the checkpoint are replayed into the store; the log is then whole,
 *                 durable, and continues in a new segment
 *
 * Whatever is damaged stops it with file and offset; nothing is skipped.
 */
import type { Clock } from "../lib/clock.ts";
import type { Disk } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { Registry } from "../lib/registry.ts";
import { Tree } from "../lsm/tree.ts";
import { metrics } from "../model/metrics.ts";
import { indexOf, origin, type Position, termOf } from "../model/revision.ts";
import { schemaOf } from "../mvcc/schema.ts";
import { emptyState, Store } from "../mvcc/store.ts";
import { Log } from "../wal/log.ts";
import { type Checkpoint, checkpointOf } from "./commit.ts";
import { type DataDirectory, openDirectory } from "./directory.ts";
import type { Limits } from "./limits.ts";

/** What a member is doing while it opens; counts are bytes where there is something to count. */
export interface StartStep {
  readonly name: "directory" | "tables" | "log" | "term";
  readonly done: number;
  readonly total: number;
}

export interface Rooms {
  readonly directory: DataDirectory;
  readonly tree: Tree<Checkpoint>;
  readonly store: Store;
  readonly log: Log;
}

export interface RecoverOptions {
  readonly dataDirectory: string;
  readonly limits: Limits;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly onStep: (step: StartStep) => void;
  readonly wakeWatchers: () => void;
  readonly leaseChanged: (lease: bigint, ttlSeconds: number | undefined) => void;
  /** Called when a flush has moved the tables' checkpoint. */
  readonly checkpointed: (checkpoint: Checkpoint) => void;
  readonly fatal: (error: unknown) => void;
}

/** Opens the rooms of a member. On an error everything opened is closed again. */
export async function recover(options: RecoverOptions): Promise<Rooms> {
  const { dataDirectory, disk, onStep, random } = options;
  onStep({ name: "directory", done: 0, total: 0 });
  const directory = await openDirectory(disk, dataDirectory, random);
  let tree: Tree<Checkpoint> | undefined;
  try {
    onStep({ name: "tables", done: 0, total: 0 });
    let store: Store | undefined;
    tree = await openTree(options, directory, () => store);
    store = new Store({
      tree,
      state: tree.durable ?? emptyState,
      watchLimits: {
        watcherBytesMax: options.limits.watcherBytesMax,
        totalBytesMax: options.limits.watchersBytesMax,
        sliceRowsMax: options.limits.watchSliceRowsMax,
      },
      wakeWatchers: options.wakeWatchers,
      leaseChanged: options.leaseChanged,
    });
    const log = await openLog(options, directory, tree, store);
    return { directory, tree, store, log };
  } catch (error) {
    await tree?.close();
    directory.lock.release();
    throw error;
  }
}

function openTree(
  options: RecoverOptions,
  directory: DataDirectory,
  store: () => Store | undefined,
): Promise<Tree<Checkpoint>> {
  const { checkpointed, clock, disk, fatal, limits, logger, random, registry } = options;
  return Tree.open<Checkpoint>({
    disk,
    directory: directory.tablesPath,
    clock,
    random,
    logger: logger.with({ component: "tables" }),
    limits: {
      memtableBytesMax: limits.memtableBytesMax,
      sealedMax: limits.sealedMemtablesMax,
      cacheBytesMax: limits.cacheBytesMax,
      blockBytes: limits.blockBytes,
      tableBytesMax: limits.tableBytesMax,
      sliceMsMax: limits.sliceMsMax,
      fanout: limits.runFanout,
    },
    meters: {
      flushSeconds: registry.histogram(metrics.flushSeconds, {}),
      mergeSeconds: registry.histogram(metrics.compactionSeconds, {}),
    },
    schema: schemaOf(() => store()?.keptFrom ?? -1),
    fatal,
    onDurable: checkpointed,
  });
}

function openLog(
  options: RecoverOptions,
  directory: DataDirectory,
  tree: Tree<Checkpoint>,
  store: Store,
): Promise<Log> {
  const { clock, disk, limits, logger, onStep, random, registry } = options;
  onStep({ name: "log", done: 0, total: 0 });
  return Log.open({
    disk,
    directory: directory.logPath,
    cluster: directory.identity.clusterId,
    clock,
    random,
    logger: logger.with({ component: "log" }),
    limits: {
      segmentBytesMax: limits.segmentBytesMax,
      segmentAgeMsMax: limits.segmentAgeMsMax,
    },
    meters: {
      fsyncSeconds: registry.histogram(metrics.logSyncSeconds, {}),
      bytes: registry.counter(metrics.logBytes, {}),
    },
    applied: positionOf(tree.durable),
    replay: (entry, position) => {
      store.apply(entry);
      if (tree.isFull) tree.seal(checkpointOf(position, store.state));
    },
    progress: (done, total) => onStep({ name: "log", done, total }),
  });
}

function positionOf(checkpoint: Checkpoint | undefined): Position {
  if (checkpoint === undefined) return origin;
  const { chain, index, term } = checkpoint;
  return { index: indexOf(index), term: termOf(term), chain: BigInt(`0x${chain}`) };
}
