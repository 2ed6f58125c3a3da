/**
 * A lane of a run: tables whose key ranges ascend and do not overlap, so that a key can be in one of
 * them only. What goes into which lane is said in run.ts.
 */
import type { ByteString } from "../lib/bytes.ts";
import { BlockCursor } from "./block.ts";
import { filterMayHave } from "./filter.ts";
import type { Source } from "./merge.ts";
import type { BlockReader, Table } from "./table.ts";
import { afterAll, beginsWith, hasPrefix, type KeyView } from "./view.ts";

export class Lane {
  readonly tables: readonly Table[];

  constructor(tables: readonly Table[]) {
    this.tables = tables;
  }

  get first(): ByteString {
    return (this.tables[0] as Table).info.first;
  }

  get last(): ByteString {
    return (this.tables.at(-1) as Table).info.last;
  }

  /** Whether a row from `from` up to but not including `to` may be in it. */
  overlaps(from: ByteString, to: ByteString | undefined): boolean {
    if (this.tables.length === 0 || this.last < from) return false;
    return to === undefined || this.first < to;
  }

  /** Ordinal of the first table with a key at or after `key`; the count of tables when none has. */
  tableAt(key: ByteString): number {
    const { tables } = this;
    let low = 0;
    let high = tables.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((tables[middle] as Table).info.last < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Walks and searches the rows of a lane. */
export class LaneCursor implements Source {
  readonly #reader: BlockReader;
  readonly #index = new BlockCursor();
  readonly row = new BlockCursor();
  #lane: Lane;
  /** Ordinal of the table that #index and row are of; -1 before the first. */
  #at = -1;

  /** Stands before the first row. */
  constructor(reader: BlockReader, lane: Lane) {
    this.#reader = reader;
    this.#lane = lane;
  }

  next(): boolean {
    if (this.#at >= 0 && this.row.next()) return true;
    while (this.#at < 0 || !this.#index.next()) {
      const table = this.#lane.tables[this.#at + 1];
      if (table === undefined) return false;
      this.#at++;
      this.#index.open(table.index);
    }
    this.#openBlock();
    return this.row.next();
  }

  seek(target: ByteString): boolean {
    const at = this.#lane.tableAt(target);
    const table = this.#lane.tables[at];
    if (table === undefined || !this.#openBlockOf(table, at, target)) return false;
    if (!this.row.seek(target)) return this.next();
    this.row.takeKey();
    return true;
  }

  pass(prefix: KeyView): boolean {
    if (this.row.pass(prefix)) return true;
    if (!this.next()) return false;
    if (!hasPrefix(this.row, prefix)) return true;
    // They fill blocks.
    const after = afterAll(prefix);
    return after !== undefined && this.seek(after);
  }

  /**
   * Moves to the first row of `lane` at or after `target`; true when its key begins with the first
   * `length` bytes of target. `hash` is that of the prefix that the schema cuts from such keys.
   */
  find(lane: Lane, target: ByteString, length: number, hash: number): boolean {
    const at = lane.tableAt(target);
    const table = lane.tables[at];
    if (table === undefined || !filterMayHave(table.filter, hash)) return false;
    this.#lane = lane;
    if (!this.#openBlockOf(table, at, target)) return false;
    if (this.row.seek(target)) {
      if (this.row.matched < length) return false;
      this.row.takeKey();
      return true;
    }
    return this.next() && beginsWith(this.row, target, length);
  }

  /** Opens the block that has the first row at or after `target`, or ends right before it. */
  #openBlockOf(table: Table, at: number, target: ByteString): boolean {
    this.#at = at;
    this.#index.open(table.index);
    // The table's last key is at or after target, so one of its blocks ends there or later.
    if (!this.#index.seekFrom(table.fences.before(target), target)) return false;
    this.#openBlock();
    return true;
  }

  #openBlock(): void {
    const { bytes, start } = this.#index;
    const table = this.#lane.tables[this.#at] as Table;
    const block = this.#reader.read(
      table,
      bytes.readUInt32LE(start),
      bytes.readUInt32LE(start + 4),
    );
    this.row.open(block);
  }
}
