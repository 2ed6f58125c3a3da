/** Several sorted sources read as one: in key order, of each key only the newest row. */
import type { ByteString } from "../lib/bytes.ts";
import { RowKey } from "./rowkey.ts";
import { compareKeys, hasPrefix, type KeyView, noRow, type RowView } from "./view.ts";

/** Rows in ascending key order. */
export interface Source {
  /** The row it stands on: the same object wherever that is. */
  readonly row: RowView;
  /** Moves to the next row; false after the last. */
  next(): boolean;
  /** Moves to the first row at or after `target`; false when there is none. */
  seek(target: ByteString): boolean;
  /** Moves past all rows that begin with `prefix`, as the one it stands on does; false after the last. */
  pass(prefix: KeyView): boolean;
}

export class MergeCursor {
  /** Newest first: of rows with the same key, that of the earlier source counts. */
  readonly #sources: readonly Source[];
  /** What the sources stand on. */
  readonly #rows: readonly RowView[];
  /** Whether each source stands on a row. */
  readonly #stands: boolean[];
  /**
   * Ordinals of the sources that stand on a row, the one to take from first. Kept sorted by
   * insertion: one source often has the next row too, and then one comparison is enough.
   */
  readonly #order: number[] = [];
  readonly #target = new RowKey();
  /** Whether some of them stood on the same key since the last seek. */
  #hasOlder = false;
  /** False when the first of the order has not been taken from yet. */
  #isTaken = false;
  /** The row it stands on, deletions included. */
  row: RowView = noRow;

  /** Stands nowhere: seek first. */
  constructor(sources: readonly Source[]) {
    this.#sources = sources;
    this.#rows = sources.map(({ row }) => row);
    this.#stands = sources.map(() => false);
  }

  /** Makes `next` go to the first row at or after `target`. */
  seek(target: ByteString): void {
    const bound = this.#target.take(target);
    // Going forward, a source that stands at or after target, or at its end, stays there.
    const isForward = this.#isTaken && compareKeys(bound, this.row) > 0;
    const stands = this.#stands;
    this.#order.length = 0;
    this.#hasOlder = false;
    for (let at = 0; at < this.#sources.length; at++) {
      const row = this.#rows[at] as RowView;
      if (!isForward || (stands[at] && compareKeys(row, bound) < 0)) {
        stands[at] = (this.#sources[at] as Source).seek(target);
      }
      if (!stands[at]) continue;
      this.#order.unshift(at);
      this.#sink();
    }
    this.#isTaken = false;
  }

  /** Makes `next` go past all rows that begin with `prefix`, as the one it stands on does. */
  pass(prefix: KeyView): void {
    const order = this.#order;
    // Whoever stands on such a row is among the first.
    for (let top = order[0]; top !== undefined; top = order[0]) {
      if (!hasPrefix(this.#rows[top] as RowView, prefix)) break;
      this.#settle(top, (this.#sources[top] as Source).pass(prefix));
    }
    this.#isTaken = false;
  }

  /** Moves to the next key; false after the last. */
  next(): boolean {
    const order = this.#order;
    if (this.#isTaken) {
      // Whoever else stands on this key has an older row of it.
      if (this.#hasOlder) this.#passOlder();
      this.#advance();
    }
    const top = order[0];
    this.#isTaken = top !== undefined;
    if (top !== undefined) this.row = this.#rows[top] as RowView;
    return this.#isTaken;
  }

  /** Moves the others that stand on the key of the first. */
  #passOlder(): void {
    const order = this.#order;
    const first = order.shift() as number;
    const row = this.#rows[first] as RowView;
    while (order.length > 0) {
      if (compareKeys(row, this.#rows[order[0] as number] as RowView) !== 0) break;
      this.#advance();
    }
    order.unshift(first);
  }

  /** Moves the first of the order to its next row, and to its place among the others. */
  #advance(): void {
    const top = this.#order[0] as number;
    this.#settle(top, (this.#sources[top] as Source).next());
  }

  /** Puts the first of the order in its place, now that it has moved to a row or, without one, its end. */
  #settle(top: number, stands: boolean): void {
    if (stands) {
      this.#sink();
    } else {
      this.#stands[top] = false;
      this.#order.shift();
    }
  }

  /** Moves the first of the order to its place among the others. */
  #sink(): void {
    const order = this.#order;
    if (order.length === 1) return;
    const rows = this.#rows;
    const top = order[0] as number;
    const row = rows[top] as RowView;
    let at = 0;
    for (; at + 1 < order.length; at++) {
      const other = order[at + 1] as number;
      const ordering = compareKeys(row, rows[other] as RowView);
      if (ordering === 0) this.#hasOlder = true;
      if (ordering < 0 || (ordering === 0 && top < other)) break;
      order[at] = other;
    }
    order[at] = top;
  }
}
