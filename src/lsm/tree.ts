/**
 * The tree: rows of key and value, sorted, more than memory holds. Writes go to a memtable; reads
 * ask the memtables and then the runs of tables, newest first, and never wait. Nothing here is
 * durable before it is flushed: the owner has a log, names a position in it when it seals a
 * memtable, and after a restart writes again what came after the last durable one.
 *
 *   put ──► memtable ── seal(position) ──► sealed memtables ── flush ──► runs ── merge ──► one run
 *           1 newest                       2                             3 newest first
 *
 * A run has two lanes of tables (run.ts): what is newest of each prefix, and the rest.
 *
 * After open() the tree holds exactly the rows up to `durable`. Deletions are rows like others
 * until a merge finds nothing older below them.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { Clock } from "../lib/clock.ts";
import { type Disk, isFull } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Histogram } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import { Task } from "../lib/task.ts";
import { BlockCache } from "./cache.ts";
import { checkLive } from "./check.ts";
import { Compactor } from "./compaction.ts";
import { Condition } from "./condition.ts";
import { Flusher } from "./flush.ts";
import { Live } from "./live.ts";
import { type Layers, Lookup } from "./lookup.ts";
import { encodeManifest } from "./manifest.ts";
import { Memtable } from "./memtable.ts";
import type { RowKey } from "./rowkey.ts";
import type { Run } from "./run.ts";
import { readSliced, type Table, type TableClaims, tablePath } from "./table.ts";
import type { KeyView, RowView } from "./view.ts";
import { RunWriter } from "./writer.ts";

export interface TreeLimits {
  /** Size from which a memtable is full. */
  readonly memtableBytesMax: number;
  /** Sealed memtables that may wait for their flush before writers have to. */
  readonly sealedMax: number;
  readonly cacheBytesMax: number;
  /** A block is closed when it has reached this size. */
  readonly blockBytes: number;
  /** A table is completed when it has reached this size. */
  readonly tableBytesMax: number;
  /** How long a slice of background work may hold the event loop. */
  readonly sliceMsMax: number;
  /** Runs that are merged at once, at least 2. */
  readonly fanout: number;
}

export interface TreeMeters {
  readonly flushSeconds: Histogram;
  readonly mergeSeconds: Histogram;
}

export interface TreeOptions<P> {
  readonly disk: Disk;
  /** Made when absent; nothing else may be in it. */
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: TreeLimits;
  readonly meters: TreeMeters;
  readonly schema: Schema;
  /** Takes the error that ended the background work. */
  readonly fatal: (error: unknown) => void;
  /** Told how many of the tables are open, while the tree is being opened. */
  onOpening?(done: number, total: number): void;
  /** Called when a flush has moved `durable`. */
  onDurable?(position: P): void;
}

/** What the owner of the rows tells the tree about them. */
export interface Schema {
  /** How much of `key` is the prefix that lookups go by; filters hold its hash. At most its length. */
  prefixLength(key: KeyView): number;
  /**
   * Whether `key` is of a family of which a run keeps the first row of each prefix apart from the
   * rest (run.ts). No row of it is ever deleted, and no prefix of it begins with another.
   */
  splits(key: KeyView): boolean;
  /** A fresh summary of one table; see Summary. */
  summary(): Summary;
  /**
   * A fresh sieve for one merge: asked about each row that is left, in key order; true drops it. A
   * row that is dropped must not show an older row of the same key. `bottom`: nothing older than
   * the rows merged lies in their key range.
   */
  sieve(bottom: boolean): (row: RowView) => boolean;
  /**
   * Whether merging everything is worth it, by the summaries of all tables. Asked after the opening,
   * after each flush, and after Tree.reconsider().
   */
  wantsMajor?(tables: readonly TableInfo[]): boolean;
}

/** Collects what a table says about its rows. */
export interface Summary {
  /** Takes the key of each row, deletions included, in key order. */
  add(key: KeyView): void;
  /** What goes into the table's footer. */
  result(): Readonly<Record<string, number>>;
}

/** What a table says of itself. */
export interface TableInfo extends TableClaims {
  /** SHA-256 of the file, lower-case hex. */
  readonly hash: string;
  readonly bytes: number;
}

/** Rows, as their owner reads and writes them. */
export interface RowSet {
  /** Sets a row to `head` followed by `tail`; both are copied. */
  put(key: ByteString, head: Uint8Array, tail?: Uint8Array): void;
  /** As put, the key being made already. */
  set(key: RowKey, head: Uint8Array, tail: Uint8Array | undefined): void;
  delete(key: ByteString): void;
  /** The value of a row, undefined when there is none: a view that nobody changes. CorruptionError. */
  get(key: ByteString): Uint8Array | undefined;
  /**
   * The first row at or after `from` that begins with the prefix of `from` of this length, which
   * must be the one the schema cuts from such rows. The newest source that has one is believed: of
   * the rows of one prefix, those put later must sort earlier. Valid until the next call.
   * CorruptionError.
   */
  first(from: ByteString, prefixLength: number): RowView | undefined;
  /** The rows from `from` up to but not including `to`, in key order. */
  scan(from: ByteString, to?: ByteString): Cursor;
  /**
   * As `scan`, for a reader that wants the newest row of each prefix, or of each prefix the newest
   * that is not too new for it. While `areFrontsEnough`, rows are left out that have a newer one of
   * their prefix in a table: it must be true only while no row in a table is too new for the reader.
   * It is asked again whenever the tables have changed, and the scan goes on with all rows where that
   * has become false.
   */
  scanFronts(from: ByteString, to: ByteString, areFrontsEnough: () => boolean): Cursor;
}

export interface Cursor {
  /** Moves to the next row; false at the end of the range, where it stays until it seeks. */
  next(): boolean;
  /** The row it stands on; valid until it moves. */
  readonly row: RowView;
  /** The key it stands on. */
  readonly key: ByteString;
  /** The value it stands on: a view that nobody changes. */
  value(): Uint8Array;
  /** Makes `next` go to the first row of the range at or after `key`, forward or back. */
  seek(key: ByteString): void;
  /**
   * Makes `next` go past all rows that begin with `prefix`, as the one it stands on does. `prefix`
   * stays what it is until then.
   */
  pass(prefix: KeyView): void;
}

/** Runs waiting for a merge from which writers wait too, as a multiple of the fanout. */
const runsPerFanoutMax = 8;
/** Runs smaller than this part of a memtable count as this big when merges are chosen. */
const runShareMin = 1 / 16;

/** A table under way is written in pieces of this size, or of this part of a small memtable. */
const chunkBytesMax = 2 ** 18;
const chunkShare = 1 / 8;

/** The tables of one moment, whose files stay until it is released. */
export interface Capture<P> {
  readonly position: P;
  /** What MANIFEST said then; `install.ts` takes it. */
  readonly manifest: Buffer;
  readonly tables: readonly TableInfo[];
  /** The bytes of one of them, read in slices. DiskError. */
  read(hash: string): Promise<Buffer>;
  release(): Promise<void>;
}

export interface TreeStats {
  readonly tables: number;
  readonly runs: number;
  /** Of the tables, deletions and superseded rows included. */
  readonly rows: number;
  readonly bytes: number;
  readonly cacheBytes: number;
  /** Of all memtables, sealed ones included. */
  readonly memtableBytes: number;
  /** Written since the opening, by flushes and by merges. */
  readonly flushedBytes: number;
  readonly mergedBytes: number;
}

export class Tree<P> implements RowSet, Layers {
  readonly #options: TreeOptions<P>;
  readonly #cache: BlockCache;
  readonly #live: Live<P>;
  readonly #writer: RunWriter;
  readonly #flusher: Flusher<P>;
  readonly #compactor: Compactor<P>;
  readonly #flushing: Task;
  readonly #merging: Task;
  readonly #progress = new Condition();
  readonly #lookup: Lookup;
  #memtable: Memtable;
  /** The one that takes rows, then the sealed ones, newest first. */
  #memtables: readonly Memtable[];
  #generation = 0;

  private constructor(options: TreeOptions<P>, opened: { live: Live<P>; cache: BlockCache }) {
    const { clock, limits, logger, meters, schema } = options;
    const { cache, live } = opened;
    this.#options = options;
    this.#cache = cache;
    this.#live = live;
    this.#lookup = new Lookup(this, cache, schema);
    this.#memtable = new Memtable(limits.memtableBytesMax);
    this.#memtables = [this.#memtable];
    const chunkBytes = Math.min(chunkBytesMax, Math.ceil(limits.memtableBytesMax * chunkShare));
    this.#writer = new RunWriter({ ...options, ...limits, chunkBytes });
    this.#flusher = new Flusher({
      clock,
      live,
      writer: this.#writer,
      flushSeconds: meters.flushSeconds,
      flushed: (position) => this.#flushed(position),
    });
    this.#compactor = new Compactor({
      clock,
      live,
      writer: this.#writer,
      schema,
      fanout: limits.fanout,
      runBytesMin: limits.memtableBytesMax * runShareMin,
      mergeSeconds: meters.mergeSeconds,
      merged: () => this.#progress.changed(),
    });
    const supervised = { clock, logger, retryable: isFull, fatal: (e: unknown) => this.#fail(e) };
    const flush = (signal: AbortSignal) => this.#flusher.step(signal);
    const merge = (signal: AbortSignal) => this.#compactor.step(signal);
    this.#flushing = new Task({ ...supervised, name: "flush", step: flush });
    this.#merging = new Task({ ...supervised, name: "merge", step: merge });
  }

  /**
   * Opens the tree in a directory, as its last durable flush left it. CorruptionError, ForeignError,
   * DiskError.
   */
  static async open<P>(options: TreeOptions<P>): Promise<Tree<P>> {
    const cache = new BlockCache(options.limits.cacheBytesMax);
    let tree: Tree<P> | undefined;
    const changed = (gone: readonly Table[]) => {
      for (const table of gone) cache.drop(table);
      if (tree !== undefined) tree.#generation++;
    };
    const live = await Live.open<P>({ ...options, changed });
    tree = new Tree(options, { live, cache });
    return tree;
  }

  /** The position that was given with the last durable flush; undefined before the first. */
  get durable(): P | undefined {
    return this.#live.durable;
  }

  get generation(): number {
    return this.#generation;
  }

  get memtables(): readonly Memtable[] {
    return this.#memtables;
  }

  get runs(): readonly Run[] {
    return this.#live.runs;
  }

  put(key: ByteString, head: Uint8Array, tail?: Uint8Array): void {
    this.set(this.#lookup.rowKey(key), head, tail);
  }

  set(key: RowKey, head: Uint8Array, tail: Uint8Array | undefined): void {
    this.#generation++;
    this.#memtable.put(key, head, tail);
  }

  delete(key: ByteString): void {
    this.#generation++;
    this.#memtable.delete(this.#lookup.rowKey(key));
  }

  get(key: ByteString): Uint8Array | undefined {
    return this.#lookup.get(key);
  }

  first(from: ByteString, prefixLength: number): RowView | undefined {
    return this.#lookup.first(from, prefixLength);
  }

  scan(from: ByteString, to?: ByteString): Cursor {
    return this.#lookup.scan(from, to);
  }

  scanFronts(from: ByteString, to: ByteString, areFrontsEnough: () => boolean): Cursor {
    return this.#lookup.scanFronts(from, to, areFrontsEnough);
  }

  /** Whether the memtable has reached its size: the owner then seals it. */
  get isFull(): boolean {
    return this.#memtable.bytes >= this.#options.limits.memtableBytesMax;
  }

  /**
   * Says that the rows so far are those up to `position` of the owner's log. They are flushed in the
   * background, in the order they were sealed.
   */
  seal(position: P): void {
    this.#flusher.seal(this.#memtable, position);
    this.#memtable = new Memtable(this.#options.limits.memtableBytesMax);
    this.#memtables = [this.#memtable, ...this.#flusher.memtables];
    this.#generation++;
    this.#flushing.wake();
  }

  /**
   * Undefined when writing may go on; else resolves when flushes and merges have caught up. Rejects
   * with the error that ended them.
   */
  room(): Promise<void> | undefined {
    const { fanout, sealedMax } = this.#options.limits;
    const hasRoom = () =>
      this.#flusher.waiting <= sealedMax && this.#compactor.waiting < fanout * runsPerFanoutMax;
    return hasRoom() ? undefined : this.#progress.until(hasRoom);
  }

  /** Resolves when all that is sealed by now is durable. Rejects as room() does. */
  flushed(): Promise<void> {
    const count = this.#flusher.sealedCount;
    return this.#progress.until(() => this.#flusher.flushedCount >= count);
  }

  /**
   * Merges all that is sealed by now into one run, with a sieve that is told so; resolves when that
   * is durable. Rejects as room() does.
   */
  async major(): Promise<void> {
    await this.flushed();
    const ticket = this.#compactor.askMajor();
    this.#merging.wake();
    await this.#progress.until(() => this.#compactor.isMajorDone(ticket));
  }

  /** Makes the tree ask Schema.wantsMajor. */
  reconsider(): void {
    this.#compactor.reconsider();
    this.#merging.wake();
  }

  /** What the tables say of themselves, newest run first. */
  tables(): TableInfo[] {
    return this.#live.tables;
  }

  /** The durable tables as they are now; undefined before the first flush. */
  capture(): Capture<P> | undefined {
    const { clock, directory, disk } = this.#options;
    const position = this.#live.durable;
    if (position === undefined) return undefined;
    return {
      position,
      manifest: encodeManifest(this.#live.manifest),
      tables: this.#live.tables,
      read: (hash) => readSliced(disk, tablePath(directory, hash), clock),
      release: this.#live.hold(),
    };
  }

  stats(): TreeStats {
    const { runs } = this.#live;
    const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
    return {
      tables: sum(runs.map(({ tables }) => tables.length)),
      runs: runs.length,
      rows: sum(runs.map(({ rows }) => rows)),
      bytes: sum(runs.map(({ bytes }) => bytes)),
      cacheBytes: this.#cache.bytes,
      memtableBytes: sum(this.#memtables.map(({ bytes }) => bytes)),
      flushedBytes: this.#flusher.bytesWritten,
      mergedBytes: this.#compactor.bytesWritten,
    };
  }

  /**
   * Reads everything and holds it against what the tables and the manifest claim; returns the
   * claims that are broken. Files that nobody needs are looked for only when nothing is written.
   */
  check(): Promise<string[]> {
    const { limits, ...options } = this.#options;
    return checkLive(this.#live, { ...options, ...limits, isBusy: () => this.#writer.isBusy });
  }

  /**
   * Ends the background work and closes the files. Nothing is flushed: the owner's log has it.
   * Whoever waits for progress gets an error.
   */
  async close(): Promise<void> {
    await Promise.all([this.#flushing.stop(), this.#merging.stop()]);
    this.#progress.fail(new Error("the tables are closed"));
    this.#live.close();
  }

  #flushed(position: P): void {
    this.#memtables = [this.#memtable, ...this.#flusher.memtables];
    this.#generation++;
    this.#progress.changed();
    this.reconsider();
    this.#options.onDurable?.(position);
  }

  #fail(error: unknown): void {
    this.#progress.fail(error);
    this.#options.fatal(error);
  }
}
