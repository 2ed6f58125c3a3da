/** A scan over the tree as its readers know it: in key order, without deletions. */
import type { ByteString } from "../lib/bytes.ts";
import { MergeCursor, type Source } from "./merge.ts";
import type { Cursor } from "./tree.ts";

/** What a cursor reads from. */
export interface Sources {
  /** Grows with each change of the rows or of where they are kept. */
  readonly generation: number;
  /** All sources with rows in the range, newest first. They are good for one generation. */
  sources(from: ByteString, to: ByteString | undefined): Source[];
}

/**
 * May be kept while the tree changes: it then goes on behind its key, in the tree as it is by then.
 */
export class TreeCursor implements Cursor {
  readonly #tree: Sources;
  readonly #from: ByteString;
  readonly #to: ByteString | undefined;
  #rows: MergeCursor | undefined;
  /** The generation that #rows is of. */
  #generation = -1;
  /** Where `next` goes; undefined: to the row after this one. */
  #target: ByteString | undefined;
  key: ByteString = "";

  /** Stands before the first row at or after `from`; ends before `to`, where there is one. */
  constructor(tree: Sources, from: ByteString, to: ByteString | undefined) {
    this.#tree = tree;
    this.#from = from;
    this.#to = to;
    this.#target = from;
  }

  next(): boolean {
    const rows = this.#settle();
    const to = this.#to;
    while (rows.next()) {
      const { key } = rows;
      if (to !== undefined && key >= to) return false;
      if (rows.row.start < 0) continue;
      this.key = key;
      return true;
    }
    return false;
  }

  value(): Uint8Array {
    const { bytes, end, start } = (this.#rows as MergeCursor).row;
    return bytes.subarray(start, end);
  }

  seek(key: ByteString): void {
    this.#target = key < this.#from ? this.#from : key;
  }

  /** The rows, so that their next one is the one to go to. */
  #settle(): MergeCursor {
    const { generation } = this.#tree;
    let rows = this.#rows;
    if (rows === undefined || generation !== this.#generation) {
      rows = new MergeCursor(this.#tree.sources(this.#from, this.#to));
      rows.seek(this.#target ?? `${this.key}\0`);
      this.#rows = rows;
      this.#generation = generation;
    } else if (this.#target !== undefined) {
      rows.seek(this.#target);
    }
    this.#target = undefined;
    return rows;
  }
}
