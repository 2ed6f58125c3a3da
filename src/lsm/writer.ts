/** Writes the rows of a flush or a merge into the tables of one run (run.ts), in slices. */
import type { Clock } from "../lib/clock.ts";
import { type Disk, removeIfThere, temporarySuffix } from "../lib/disk.ts";
import type { Random } from "../lib/random.ts";
import { TableBuilder } from "./builder.ts";
import { bothOf, type Lanes, Split } from "./run.ts";
import { Slice } from "./slice.ts";
import { tablePath } from "./table.ts";
import type { Schema, TableInfo } from "./tree.ts";
import type { RowView } from "./view.ts";

/** Rows looked at, or bytes written, before the clock is asked again. */
const checkRows = 32;
const checkBytes = 2 ** 15;

/** Rows in key order, of which some are dropped. */
export interface Rows {
  /** Moves to the next row; false after the last. */
  next(): boolean;
  /** Whether the row it stands on goes into the tables. Asked once for each row. */
  isKept(): boolean;
  readonly row: RowView;
}

export interface WriterOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly schema: Schema;
  readonly blockBytes: number;
  /** A table's file is written in pieces of this size. */
  readonly chunkBytes: number;
  /** A table is completed when it has reached this size. */
  readonly tableBytesMax: number;
  /** How long a slice may hold the event loop. */
  readonly sliceMsMax: number;
}

export class RunWriter {
  readonly #options: WriterOptions;
  #drafts = 0;
  #writing = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Whether files are being made, or made and not published. */
  get isBusy(): boolean {
    return this.#writing > 0;
  }

  /**
   * Writes the rows that are kept into tables, none when there is no such row, and calls `publish`
   * with them when they and their names are durable. Returns their bytes. `pause` is called between
   * slices. DiskError, or the signal's reason: then nothing is left of what was written; or what
   * `publish` throws.
   */
  async write(
    rows: Rows,
    signal: AbortSignal,
    pause: () => Promise<void>,
    publish: (tables: Lanes<TableInfo>) => Promise<void>,
  ): Promise<number> {
    this.#writing++;
    try {
      const tables = await this.#writeTables(rows, signal, pause);
      await publish(tables);
      return bothOf(tables).reduce((sum, { bytes }) => sum + bytes, 0);
    } finally {
      this.#writing--;
    }
  }

  async #writeTables(
    rows: Rows,
    signal: AbortSignal,
    pause: () => Promise<void>,
  ): Promise<Lanes<TableInfo>> {
    const { clock, directory, disk, sliceMsMax } = this.#options;
    const drafts = new LaneDrafts(this.#options, () => this.#drafts++);
    const slice = new Slice(clock, sliceMsMax);
    try {
      let more = true;
      while (more) {
        do more = drafts.add(rows);
        while (more && !drafts.isFull && !slice.isOver);
        await drafts.settle(!more);
        await slice.pause(pause);
        signal.throwIfAborted();
      }
      if (bothOf(drafts.tables).length > 0) await disk.syncDirectory(directory);
    } catch (error) {
      await drafts.abandon();
      throw error;
    }
    return drafts.tables;
  }
}

/** The tables of a run that is being written, in its two lanes. */
class LaneDrafts {
  readonly #split: Split;
  readonly #fronts: Draft;
  readonly #rest: Draft;

  constructor(options: WriterOptions, ordinal: () => number) {
    this.#split = new Split(options.schema);
    this.#fronts = new Draft(options, ordinal);
    this.#rest = new Draft(options, ordinal);
  }

  /** Those that are completed. */
  get tables(): Lanes<TableInfo> {
    return { fronts: this.#fronts.tables, rest: this.#rest.tables };
  }

  /** Whether a table is to be completed. */
  get isFull(): boolean {
    return this.#fronts.isFull || this.#rest.isFull;
  }

  /** Takes a few rows; false when there are no more. */
  add(rows: Rows): boolean {
    const bytesEnd = this.#bytes + checkBytes;
    for (let count = 0; count < checkRows; count++) {
      if (!rows.next()) return false;
      if (!rows.isKept()) continue;
      const draft = this.#split.isFront(rows.row) ? this.#fronts : this.#rest;
      draft.add(rows.row);
      if (this.#bytes >= bytesEnd || draft.isFull) break;
    }
    return true;
  }

  /** Completes the tables that are full, or all; those that go on: see TableBuilder.settle. */
  async settle(isEnd: boolean): Promise<void> {
    await allDone([this.#fronts.settle(isEnd), this.#rest.settle(isEnd)]);
  }

  /** Leaves nothing of them. DiskError. */
  async abandon(): Promise<void> {
    await allDone([this.#fronts.abandon(), this.#rest.abandon()]);
  }

  get #bytes(): number {
    return this.#fronts.bytes + this.#rest.bytes;
  }
}

/** One lane of the tables: those that are completed, and one that is made when there is a row for it. */
class Draft {
  readonly #options: WriterOptions;
  readonly #ordinal: () => number;
  #builder: TableBuilder | undefined;
  readonly tables: TableInfo[] = [];

  constructor(options: WriterOptions, ordinal: () => number) {
    this.#options = options;
    this.#ordinal = ordinal;
  }

  /** Of the table under way. */
  get bytes(): number {
    return this.#builder?.bytes ?? 0;
  }

  get isFull(): boolean {
    return this.bytes >= this.#options.tableBytesMax;
  }

  /** Takes a row, which is after those before. DiskError. */
  add(row: RowView): void {
    this.#builder ??= this.#start();
    this.#builder.add(row);
  }

  /** Completes the table when it is full or the last; else see TableBuilder.settle. DiskError. */
  async settle(isEnd: boolean): Promise<void> {
    const builder = this.#builder;
    if (builder === undefined) return;
    if (!isEnd && !this.isFull) {
      await builder.settle();
      return;
    }
    this.tables.push(await builder.finish());
    this.#builder = undefined;
  }

  /** Leaves nothing of it. DiskError. */
  async abandon(): Promise<void> {
    const { directory, disk } = this.#options;
    await this.#builder?.abandon();
    for (const { hash } of this.tables) removeIfThere(disk, tablePath(directory, hash));
  }

  #start(): TableBuilder {
    const { blockBytes, chunkBytes, directory, disk, random, schema } = this.#options;
    return new TableBuilder({
      disk,
      directory,
      temporaryPath: `${directory}/${this.#ordinal()}${temporarySuffix}`,
      schema,
      blockBytes,
      chunkBytes,
      salt: random.below(2 ** 32),
    });
  }
}

/** Waits until all of it is over, and then throws what the first that failed did. */
async function allDone(work: readonly Promise<void>[]): Promise<void> {
  for (const done of await Promise.allSettled(work)) {
    if (done.status === "rejected") throw done.reason;
  }
}
