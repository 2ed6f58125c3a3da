/**
 * The rooms of a member and how they are opened: tables first, then the log over them. Damage stops
 * it with file and offset; nothing is skipped.
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
import type { ObjectStore } from "../object/store.ts";
import type { StoreAt } from "../replication/restore.ts";
import { Log } from "../wal/log.ts";
import type { LogOptions } from "../wal/options.ts";
import type { DataDirectory } from "./directory.ts";
import { type Checkpoint, checkpointOf } from "./durable.ts";
import type { Leadership } from "./leadership.ts";
import type { Limits } from "./limits.ts";

/** What a member is doing while it opens; counts are bytes or objects, where there is something to count. */
export interface StartStep {
  readonly name: "directory" | "bucket" | "restore" | "lock" | "tables" | "log" | "upload" | "term";
  readonly done: number;
  readonly total: number;
}

export interface Rooms {
  readonly directory: DataDirectory;
  readonly tree: Tree<Checkpoint>;
  readonly store: Store;
  readonly log: Log;
  /** With a bucket: what this member has and owes there. */
  readonly leadership?: Leadership | undefined;
}

/** The bucket that is to survive the directory. */
export interface BucketOptions {
  /** Below the prefix of this database. */
  readonly store: ObjectStore;
  /** Other prefixes of the same bucket, for tables of a branch. */
  readonly storeAt: StoreAt;
  /** Whether a write is acknowledged only when the bucket has it. */
  readonly syncUpload: boolean;
  /** Whether reads always ask the bucket who leads. */
  readonly strictReads: boolean;
  /** Where clients reach this member; the lock shows it. */
  readonly address: string;
  /** Which directory of which machine this is: one that was copied is in another. Asked once it is there. */
  readonly place: () => string;
  /** What a first start begins from. */
  readonly branch: BranchPoint | undefined;
}

/** A checkpoint of another database in the same bucket. */
export interface BranchPoint {
  readonly sourcePrefix: string;
  readonly checkpointKey: string;
  /** This database's own prefix, as the pin is to name it. */
  readonly prefix: string;
}

export interface RecoverOptions {
  readonly dataDirectory: string;
  /** The bucket that is to survive the directory; undefined for none. */
  readonly bucket?: BucketOptions | undefined;
  /** How people call this member. */
  readonly name: string;
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

/** Opens tables and log as the directory has them. On an error they are closed again. */
export async function openRooms(
  options: RecoverOptions,
  directory: DataDirectory,
  openLog: (tables: Tables) => Promise<Log> = (tables) =>
    Log.open(logOptions(options, directory, tables)),
): Promise<Rooms> {
  const tables = await openTables(options, directory);
  try {
    return { directory, ...tables, log: await openLog(tables) };
  } catch (error) {
    await tables.tree.close();
    throw error;
  }
}

/** The tables and the state machine on them. */
export interface Tables {
  readonly tree: Tree<Checkpoint>;
  readonly store: Store;
}

/** Opens the tables, and the store as they have it. CorruptionError, ForeignError, DiskError. */
async function openTables(options: RecoverOptions, directory: DataDirectory): Promise<Tables> {
  options.onStep({ name: "tables", done: 0, total: 0 });
  let store: Store | undefined;
  const tree = await openTree(options, directory, () => store);
  try {
    store = new Store({
      tree,
      state: tree.durable ?? emptyState,
      tabledRevision: () => tree.durable?.revision ?? 0,
      watchLimits: {
        watcherBytesMax: options.limits.watcherBytesMax,
        totalBytesMax: options.limits.watchersBytesMax,
        sliceRowsMax: options.limits.watchSliceRowsMax,
      },
      wakeWatchers: options.wakeWatchers,
      leaseChanged: options.leaseChanged,
    });
    return { tree, store };
  } catch (error) {
    await tree.close();
    throw error;
  }
}

function openTree(
  options: RecoverOptions,
  directory: DataDirectory,
  store: () => Store | undefined,
): Promise<Tree<Checkpoint>> {
  const { checkpointed, clock, disk, fatal, limits, logger, onStep, random, registry } = options;
  return Tree.open<Checkpoint>({
    disk,
    directory: directory.tablesPath,
    onOpening: (done, total) => onStep({ name: "tables", done, total }),
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

/** How the log of a directory is opened over its tables; what it adds is stamped `wallMsMin` at least. */
export function logOptions(
  options: RecoverOptions,
  directory: DataDirectory,
  { store, tree }: Tables,
  wallMsMin = 0,
): LogOptions {
  const { clock, disk, limits, logger, onStep, random, registry } = options;
  onStep({ name: "log", done: 0, total: 0 });
  return {
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
    wallMsMin: Math.max(wallMsMin, tree.durable?.wallMs ?? 0),
    replay: (entry, position, wallMs) => {
      store.apply(entry);
      if (tree.isFull) tree.seal(checkpointOf(position, store.state, wallMs));
    },
    progress: (done, total) => onStep({ name: "log", done, total }),
  };
}

/** Where the log stands after the last entry that the tables hold. */
export function positionOf(checkpoint: Checkpoint | undefined): Position {
  if (checkpoint === undefined) return origin;
  const { chain, index, term } = checkpoint;
  return { index: indexOf(index), term: termOf(term), chain: BigInt(`0x${chain}`) };
}
