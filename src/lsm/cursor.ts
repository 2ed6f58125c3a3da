/** A scan over the tree as its readers know it: in key order, without deletions. */
import type { ByteString } from "../lib/bytes.ts";
import { MergeCursor, type Source } from "./merge.ts";
import { RowKey } from "./rowkey.ts";
import type { Cursor } from "./tree.ts";
import { afterAll, compareKeys, type KeyView, noRow, type RowView } from "./view.ts";

/** What a cursor is to read. */
export interface Scan {
  readonly from: ByteString;
  /** Where it ends, before this; undefined: with the last row. */
  readonly to: ByteString | undefined;
  /** Whether the fronts of runs will do, as they are now: see RowSet.scanFronts. */
  readonly areFrontsEnough: () => boolean;
}

/** What a cursor reads from. */
export interface Sources {
  /** Grows with each change of the rows or of where they are kept. */
  readonly generation: number;
  /** All sources with rows in the range, newest first. They are good for one generation. */
  sources(scan: Scan): Source[];
}

/**
 * May be kept while the tree changes: it then goes on behind its key, in the tree as it is by then.
 */
export class TreeCursor implements Cursor {
  readonly #tree: Sources;
  readonly #scan: Scan;
  /** Where the scan ends, as bytes. */
  readonly #end: RowKey | undefined;
  #rows: MergeCursor | undefined;
  /** The generation that #rows is of. */
  #generation = -1;
  /** Where `next` goes; undefined: to the row after this one. */
  #target: ByteString | undefined;
  /** What the rows begin with that `next` goes past; undefined: nothing. */
  #passed: KeyView | undefined;
  row: RowView = noRow;
  /** Whether the range has ended, until somebody seeks. */
  #isDone = false;

  /** Stands before the first row. */
  constructor(tree: Sources, scan: Scan) {
    const { from, to } = scan;
    this.#tree = tree;
    this.#scan = scan;
    this.#end = to === undefined ? undefined : new RowKey().take(to);
    this.#target = from;
  }

  get key(): ByteString {
    return this.row.key;
  }

  next(): boolean {
    if (this.#isDone) return false;
    const rows = this.#settle();
    const end = this.#end;
    while (rows.next()) {
      const { row } = rows;
      this.row = row;
      if (end !== undefined && compareKeys(row, end) >= 0) break;
      if (row.start >= 0) return true;
    }
    this.#isDone = true;
    return false;
  }

  value(): Uint8Array {
    const { bytes, end, start } = this.row;
    return bytes.subarray(start, end);
  }

  seek(key: ByteString): void {
    const { from } = this.#scan;
    this.#target = key < from ? from : key;
    this.#passed = undefined;
    this.#isDone = false;
  }

  pass(prefix: KeyView): void {
    this.#passed = prefix;
  }

  /** The rows, so that their next one is the one to go to. */
  #settle(): MergeCursor {
    const { generation } = this.#tree;
    const passed = this.#passed;
    let rows = this.#rows;
    if (rows === undefined || generation !== this.#generation) {
      const from = passed === undefined ? (this.#target ?? `${this.key}\0`) : afterAll(passed);
      rows = new MergeCursor(from === undefined ? [] : this.#tree.sources(this.#scan));
      rows.seek(from ?? "");
      this.#rows = rows;
      // Where nothing follows, nothing was opened.
      this.#generation = from === undefined ? -1 : generation;
    } else if (passed !== undefined) {
      rows.pass(passed);
    } else if (this.#target !== undefined) {
      rows.seek(this.#target);
    }
    this.#target = undefined;
    this.#passed = undefined;
    return rows;
  }
}
