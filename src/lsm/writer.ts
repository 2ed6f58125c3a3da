/** Writes the rows of a flush or a merge into the tables of one run, in slices. */
import type { Clock } from "../lib/clock.ts";
import { type Disk, removeIfThere, temporarySuffix } from "../lib/disk.ts";
import type { Random } from "../lib/random.ts";
import { TableBuilder } from "./builder.ts";
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
    publish: (tables: readonly TableInfo[]) => Promise<void>,
  ): Promise<number> {
    this.#writing++;
    try {
      const tables = await this.#writeTables(rows, signal, pause);
      await publish(tables);
      return tables.reduce((sum, { bytes }) => sum + bytes, 0);
    } finally {
      this.#writing--;
    }
  }

  async #writeTables(
    rows: Rows,
    signal: AbortSignal,
    pause: () => Promise<void>,
  ): Promise<TableInfo[]> {
    const { clock, directory, disk, sliceMsMax } = this.#options;
    const tables: TableInfo[] = [];
    const draft = new Draft(this.#options, () => this.#drafts++);
    const slice = new Slice(clock, sliceMsMax);
    try {
      let more = true;
      while (more) {
        do more = draft.add(rows);
        while (more && !draft.isFull && !slice.isOver);
        if (draft.isFull || !more) tables.push(...(await draft.finish()));
        else await draft.settle();
        await slice.pause(pause);
        signal.throwIfAborted();
      }
      if (tables.length > 0) await disk.syncDirectory(directory);
    } catch (error) {
      await draft.abandon();
      for (const { hash } of tables) removeIfThere(disk, tablePath(directory, hash));
      throw error;
    }
    return tables;
  }
}

/** The table that is being written; made when there is a row for it. */
class Draft {
  readonly #options: WriterOptions;
  readonly #ordinal: () => number;
  #builder: TableBuilder | undefined;

  constructor(options: WriterOptions, ordinal: () => number) {
    this.#options = options;
    this.#ordinal = ordinal;
  }

  get isFull(): boolean {
    return this.#builder !== undefined && this.#builder.bytes >= this.#options.tableBytesMax;
  }

  /** Takes a few rows; false when there are no more. */
  add(rows: Rows): boolean {
    const bytesEnd = (this.#builder?.bytes ?? 0) + checkBytes;
    for (let count = 0; count < checkRows; count++) {
      if (!rows.next()) return false;
      if (!rows.isKept()) continue;
      this.#builder ??= this.#start();
      this.#builder.add(rows.row);
      if (this.#builder.bytes >= bytesEnd || this.isFull) break;
    }
    return true;
  }

  /** Completes the table, if there is one. */
  async finish(): Promise<TableInfo[]> {
    const table = await this.#builder?.finish();
    this.#builder = undefined;
    return table === undefined ? [] : [table];
  }

  /** See TableBuilder.settle. */
  async settle(): Promise<void> {
    await this.#builder?.settle();
  }

  async abandon(): Promise<void> {
    await this.#builder?.abandon();
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
