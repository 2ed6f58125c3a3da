/** Several sorted sources read as one: in key order, of each key only the newest row. */
import { assert } from "../lib/assert.ts";
import type { ByteString } from "../lib/bytes.ts";
import type { RowView } from "./block.ts";

/** Rows in ascending key order. */
export interface Source extends RowView {
  /** Moves to the next row; false after the last. */
  next(): boolean;
  /** Moves to the first row at or after `target`; false when there is none. */
  seek(target: ByteString): boolean;
}

export class MergeCursor {
  /** Newest first: of rows with the same key, that of the earlier source counts. */
  readonly #sources: readonly Source[];
  /** The keys that the sources stand on; undefined for those at their end. */
  readonly #keys: (ByteString | undefined)[] = [];
  /**
   * Ordinals of the sources that stand on a row, the one to take from first. Kept sorted by
   * insertion: one source often has the next row too, and then one comparison is enough.
   */
  readonly #order: number[] = [];
  #current: Source | undefined;
  /** False when the first of the order has not been taken from yet. */
  #isTaken = false;

  key: ByteString = "";

  /** Stands nowhere: seek first. */
  constructor(sources: readonly Source[]) {
    this.#sources = sources;
  }

  /** The row it stands on, deletions included. */
  get row(): RowView {
    assert(this.#current !== undefined, "a cursor stands on a row");
    return this.#current;
  }

  /** Makes `next` go to the first row at or after `target`. */
  seek(target: ByteString): void {
    const sources = this.#sources;
    const keys = this.#keys;
    // Going forward, a source that stands at or after target, or at its end, stays there.
    const isForward = this.#isTaken && target > this.key;
    this.#order.length = 0;
    for (let at = 0; at < sources.length; at++) {
      const source = sources[at] as Source;
      const key = keys[at];
      if (!isForward || (key !== undefined && key < target)) {
        keys[at] = source.seek(target) ? source.key : undefined;
      }
      if (keys[at] === undefined) continue;
      this.#order.unshift(at);
      this.#sink();
    }
    this.#isTaken = false;
  }

  /** Moves to the next key; false after the last. */
  next(): boolean {
    const order = this.#order;
    const keys = this.#keys;
    if (this.#isTaken) {
      // Whoever else stands on this key has an older row of it.
      const { key } = this;
      do this.#advance();
      while (order.length > 0 && keys[order[0] as number] === key);
    }
    const top = order[0];
    this.#isTaken = top !== undefined;
    if (top === undefined) return false;
    this.#current = this.#sources[top] as Source;
    this.key = keys[top] as ByteString;
    return true;
  }

  /** Moves the first source to its next row. */
  #advance(): void {
    const top = this.#order[0] as number;
    const source = this.#sources[top] as Source;
    if (source.next()) {
      this.#keys[top] = source.key;
      this.#sink();
    } else {
      this.#keys[top] = undefined;
      this.#order.shift();
    }
  }

  /** Moves the first of the order to its place among the others. */
  #sink(): void {
    const order = this.#order;
    const keys = this.#keys;
    const top = order[0] as number;
    const key = keys[top] as ByteString;
    let at = 0;
    for (; at + 1 < order.length; at++) {
      const other = order[at + 1] as number;
      const otherKey = keys[other] as ByteString;
      if (key < otherKey || (key === otherKey && top < other)) break;
      order[at] = other;
    }
    order[at] = top;
  }
}
