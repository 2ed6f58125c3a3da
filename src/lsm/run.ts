/**
 * A run: what one flush or one merge has made, in two lanes of tables.
 *
 *   fronts   the first row of each prefix (Schema.prefixLength), which is the newest one of it here;
 *            and all rows of families that are not split (Schema.splits)
 *   rest     the other rows; each has a newer one of its prefix among the fronts
 *
 * So whoever wants what is newest reads as many rows as there are prefixes, however many older ones
 * are kept. A run that was made before there were lanes has everything in its fronts.
 */
import type { ByteString } from "../lib/bytes.ts";
import { Lane } from "./lane.ts";
import { RowKey } from "./rowkey.ts";
import type { Table } from "./table.ts";
import type { Schema } from "./tree.ts";
import { hasPrefix, type KeyView } from "./view.ts";

/** What each lane of a run has. */
export interface Lanes<T> {
  readonly fronts: readonly T[];
  readonly rest: readonly T[];
}

/** What both lanes have, the fronts first. */
export function bothOf<T>({ fronts, rest }: Lanes<T>): readonly T[] {
  return [...fronts, ...rest];
}

/** Tells the fronts of a run from the rest. */
export class Split {
  readonly #schema: Pick<Schema, "prefixLength" | "splits">;
  /** Of the row that was asked about last, where its family is split. */
  readonly #prefix = new RowKey();
  #hasPrefix = false;

  constructor(schema: Pick<Schema, "prefixLength" | "splits">) {
    this.#schema = schema;
  }

  /** Whether a row is one of the fronts. To be asked about all rows of a run, in key order. */
  isFront(key: KeyView): boolean {
    const prefix = this.#prefix;
    const isSplit = this.#schema.splits(key);
    const length = isSplit ? this.#schema.prefixLength(key) : 0;
    if (isSplit && this.#hasPrefix && prefix.length === length && hasPrefix(key, prefix)) {
      return false;
    }
    this.#hasPrefix = isSplit;
    prefix.copy(key, length, 0);
    return true;
  }
}

export class Run {
  readonly fronts: Lane;
  readonly rest: Lane;
  /** Those that have tables, the fronts first. */
  readonly lanes: readonly Lane[];
  /** Of both lanes, the fronts first. */
  readonly tables: readonly Table[];
  readonly bytes: number;
  readonly rows: number;

  /** There are fronts. */
  constructor(tables: Lanes<Table>) {
    this.fronts = new Lane(tables.fronts);
    this.rest = new Lane(tables.rest);
    this.lanes = [this.fronts, this.rest].filter((lane) => lane.tables.length > 0);
    this.tables = bothOf(tables);
    this.bytes = this.tables.reduce((sum, { info }) => sum + info.bytes, 0);
    this.rows = this.tables.reduce((sum, { info }) => sum + info.rows, 0);
  }

  get first(): ByteString {
    return this.fronts.first;
  }

  get last(): ByteString {
    const lasts = this.lanes.map((lane) => lane.last).sort();
    return lasts.at(-1) as ByteString;
  }
}
