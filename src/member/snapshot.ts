/**
 * A database as it is at one moment, to be read by somebody who is not its member and changes
 * nothing, not even what a start would tidy up. From a data directory, in this order:
 *
 *   1 tables   what MANIFEST names is opened
 *   2 log      its segments are opened
 *   3 again    from 1, while MANIFEST is not the one that was read: its owner runs, and may have
 *              removed tables before they were opened, or segments that newer tables make needless
 *   4 replay   the entries after the tables go into memory, over them
 *
 * So it is what a start would find at that moment: with entries that are on the disk and not
 * acknowledged yet, without the end of an append that is being written.
 */
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk } from "../lib/disk.ts";
import { silent } from "../lib/logger.ts";
import { type HeldRows, HeldTables } from "../lsm/hold.ts";
import type { Entry } from "../model/entry.ts";
import type { Position } from "../model/revision.ts";
import { schemaOf } from "../mvcc/schema.ts";
import { emptyState, Store } from "../mvcc/store.ts";
import { HeldLog } from "../wal/hold.ts";
import { missing, Replay } from "../wal/replay.ts";
import { type Identity, identityIn } from "./directory.ts";
import type { Checkpoint } from "./durable.ts";
import { positionOf } from "./rooms.ts";

/** Times MANIFEST may have changed while its tables were opened. */
const holdsMax = 100;
const holdPauseMs = 10;
/** Times damage is looked at again because somebody is writing there. */
const looksMax = 5;

export interface SnapshotOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly cacheBytesMax: number;
}

/** Tables and log of one moment, open. */
export interface Held {
  readonly tables: HeldTables<Checkpoint>;
  readonly log: HeldLog;
}

/** The entries after the tables, wherever they are. */
export interface EntrySource {
  /**
   * Calls `take` with each entry after `applied`, in order, and the position after it.
   * CorruptionError, ForeignError.
   */
  replay(applied: Position, take: (entry: Entry, position: Position) => void): Promise<void>;
}

/** The database, to be read. */
export interface Snapshot {
  readonly store: Store;
  readonly rows: HeldRows;
  /** After the last entry of it. */
  readonly position: Position;
  /** Closes the files. */
  close(): void;
}

/** The parts of a data directory. */
export function partsOf(path: string) {
  return { tablesPath: `${path}/db`, logPath: `${path}/wal` };
}

/**
 * Opens the database in the data directory `path`, whose member may run. ForeignError when there is
 * none or it is newer; CorruptionError; DiskError; Error when it changes too fast to be opened.
 */
export async function openDirectory(
  path: string,
  options: SnapshotOptions,
): Promise<Snapshot & { readonly identity: Identity }> {
  const identity = identityIn(options.disk, path);
  for (let look = 1, before = ""; ; look++) {
    const { log, tables } = await hold(path, options);
    try {
      const source = segmentSource(log, identity.clusterId, options.clock);
      return { ...(await openSnapshot(tables, source, options)), identity };
    } catch (error) {
      tables.close();
      const now = `${tables.manifestHash} ${log.names.map(({ name }) => name)} ${log.bytes}`;
      // What is still there when nothing has changed is no passing sight of a write.
      if (!(error instanceof CorruptionError) || now === before || look === looksMax) throw error;
      before = now;
      await options.clock.sleep(holdPauseMs);
    } finally {
      log.close();
    }
  }
}

/** Opens the database that these tables and the entries after them make; closes the tables with it. */
export async function openSnapshot(
  tables: HeldTables<Checkpoint>,
  source: EntrySource,
  { cacheBytesMax }: Pick<SnapshotOptions, "cacheBytesMax">,
): Promise<Snapshot> {
  const rows = tables.rows(
    schemaOf(() => -1),
    cacheBytesMax,
  );
  const store = storeOver(rows, tables.manifest.position);
  let position = positionOf(tables.manifest.position);
  await source.replay(position, (entry, after) => {
    store.apply(entry);
    position = after;
  });
  return { store, rows, position, close: () => tables.close() };
}

/** Steps 1 to 3 of the data directory `path`. */
export async function hold(
  path: string,
  { clock, disk }: Pick<SnapshotOptions, "disk" | "clock">,
): Promise<Held> {
  const { logPath, tablesPath } = partsOf(path);
  let tables: HeldTables<Checkpoint> | undefined;
  for (let times = 0; times < holdsMax; times++) {
    if (times > 0) await clock.sleep(holdPauseMs);
    tables = HeldTables.open(disk, tablesPath, tables);
    const log = HeldLog.open(disk, logPath);
    if (tables.isCurrent) return { tables, log };
    log.close();
  }
  tables?.close();
  throw new Error(`${tablesPath} changes too fast to be read; try again`);
}

/** A store on rows that are those of `checkpoint`. */
export function storeOver(rows: HeldRows, checkpoint: Checkpoint | undefined): Store {
  return new Store({
    tree: rows,
    state: checkpoint ?? emptyState,
    tabledRevision: () => checkpoint?.revision ?? 0,
    watchLimits: { watcherBytesMax: 0, totalBytesMax: 0, sliceRowsMax: 0 },
    wakeWatchers: () => undefined,
    leaseChanged: () => undefined,
  });
}

function segmentSource(log: HeldLog, cluster: bigint, clock: Clock): EntrySource {
  return {
    async replay(applied, take) {
      const { directory, names } = log;
      if (names.length === 0) {
        if (applied.index === 0) return;
        throw missing(directory, 1, applied.index, "there is no segment");
      }
      const options = { disk: log, directory, cluster, clock, logger: silent, applied };
      await new Replay({ ...options, replay: take }, names).run();
    },
  };
}
