/**
 * The newest rows, in memory and in key order, until they are flushed into tables. Their bytes stand
 * behind one another in an arena (arena.ts), their order is a tree of numbers beside it (critbit.ts):
 * nothing is allocated for each row, and what is given is copied.
 *
 * Most lookups are for keys that are not here, and a search would cost them a dozen looks at memory
 * that no cache holds. So of each row's prefix one bit is noted, chosen by its hash.
 */
import type { ByteString } from "../lib/bytes.ts";
import { Arena, keyBytesAt, valueAt, valueEnd } from "./arena.ts";
import { CritBitTree } from "./critbit.ts";
import type { Source } from "./merge.ts";
import { RowKey } from "./rowkey.ts";
import { type KeyView, keyText, noRow, type RowView } from "./view.ts";

/** Bits noted for prefixes: one for so many bytes that are expected. */
const bytesPerBit = 16;

export class Memtable {
  readonly #arena: Arena;
  readonly #order: CritBitTree;
  /** A power of two of bits. */
  readonly #noted: Uint32Array;

  /** `expectedBytes`: about how much it will hold. */
  constructor(expectedBytes: number) {
    this.#arena = new Arena(expectedBytes);
    this.#order = new CritBitTree(this.#arena);
    this.#noted = new Uint32Array(2 ** Math.ceil(Math.log2(1 + expectedBytes / bytesPerBit / 32)));
  }

  /** Rows, deletions included. */
  get rows(): number {
    return this.#order.count;
  }

  /** Bytes it takes in memory, about. */
  get bytes(): number {
    return this.#arena.bytes + this.#order.count * CritBitTree.rowBytes;
  }

  /** Sets the row of `key` to `head` followed by `tail`; all three are copied. */
  put(key: RowKey, head: Uint8Array, tail: Uint8Array | undefined): void {
    this.#note(key.hash);
    this.#order.add(key, this.#arena.add(key, head, tail));
  }

  delete(key: RowKey): void {
    this.#note(key.hash);
    this.#order.add(key, this.#arena.add(key, undefined, undefined));
  }

  /** False when no row here has a prefix with this hash. */
  mayHave(hash: number): boolean {
    return ((this.#noted[this.#wordOf(hash)] as number) & (1 << (hash & 31))) !== 0;
  }

  /** The row's value, null for a deletion, undefined for a key it says nothing about. */
  get(key: ByteString): Buffer | null | undefined {
    const row = this.#order.find(probe.take(key));
    if (row < 0) return undefined;
    const place = this.#order.placeOf(row);
    const words = this.#arena.wordsOf(place);
    const keyEnd = this.#arena.keyAt(place) + key.length;
    const start = valueAt(words, keyEnd);
    if (start < 0) return null;
    return this.#arena.chunkOf(place).subarray(start, valueEnd(words, keyEnd));
  }

  /** A cursor before the first row. */
  cursor(): MemtableCursor {
    return new MemtableCursor(this.#order, this.#arena);
  }

  #note(hash: number): void {
    const word = this.#wordOf(hash);
    this.#noted[word] = (this.#noted[word] as number) | (1 << (hash & 31));
  }

  #wordOf(hash: number): number {
    return (hash >>> 5) & (this.#noted.length - 1);
  }
}

/** Walks a memtable's rows; those that are added behind it meanwhile are met. */
export class MemtableCursor implements Source, RowView {
  readonly #order: CritBitTree;
  readonly #arena: Arena;
  /** Undefined before the first; -1 after the last. */
  #row: number | undefined;
  keyBytes: Buffer = noRow.keyBytes;
  keyWords: DataView = noRow.keyWords;
  keyAt = 0;
  keyEnd = 0;
  bytes: Buffer = noRow.bytes;
  start = -1;
  end = 0;
  readonly row: RowView = this;

  constructor(order: CritBitTree, arena: Arena) {
    this.#order = order;
    this.#arena = arena;
  }

  get key(): ByteString {
    return keyText(this);
  }

  /** Moves to the next row; false after the last. */
  next(): boolean {
    return this.#settle(this.#row === undefined ? this.#order.first : this.#order.after(this.#row));
  }

  /** Moves to the first row at or after `target`; false when there is none. */
  seek(target: ByteString): boolean {
    return this.#settle(this.#order.seek(probe.take(target)));
  }

  pass(prefix: KeyView): boolean {
    return this.#settle(this.#order.pass(prefix));
  }

  #settle(row: number): boolean {
    this.#row = row;
    if (row < 0) return false;
    const place = this.#order.placeOf(row);
    const chunk = this.#arena.chunkOf(place);
    const words = this.#arena.wordsOf(place);
    const keyAt = this.#arena.keyAt(place);
    const keyEnd = keyAt + keyBytesAt(words, keyAt);
    this.bytes = chunk;
    this.keyBytes = chunk;
    this.keyWords = words;
    this.keyAt = keyAt;
    this.keyEnd = keyEnd;
    this.start = valueAt(words, keyEnd);
    this.end = valueEnd(words, keyEnd);
    return true;
  }
}

/** A key that is looked for. */
const probe = new RowKey();
