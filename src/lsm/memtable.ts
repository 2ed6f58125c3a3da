/**
 * The newest rows, in memory and in key order, until they are flushed into tables. Keys stand in
 * leaves of up to 64, the leaves in one list; values stand behind one another in an arena:
 *
 *   leaves   [ a c f ] [ k m ] [ p q t ]         first keys of the leaves, searched first: a k p
 *   arena    | bytes, u32 | value | bytes, u32 | value | ...      in chunks; never moved or changed
 *
 * A row costs its key, a number and the bytes of its value: nothing is allocated for each row.
 *
 * Most lookups are for keys that are not here, and a search would cost them a dozen comparisons of
 * strings that no cache holds. So of each row's prefix one bit is noted, chosen by its hash.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { RowView } from "./block.ts";

const leafRowsMax = 64;
const chunkBytesMax = 2 ** 20;
const chunkBytesMin = 2 ** 12;
const lengthBytes = 4;
/** Bits noted for prefixes: one for so many bytes that are expected. */
const bytesPerBit = 16;
/** What a row takes in memory beside the bytes of its key and value: string, list slots, length. */
const rowOverheadBytes = 72;

/** In place of a value's position in the arena: the row is deleted. */
const deletion = -1;

interface Leaf {
  readonly keys: ByteString[];
  /** Positions in the arena. */
  readonly values: number[];
}

export class Memtable {
  readonly #arena: Arena;
  readonly #leaves: Leaf[] = [{ keys: [], values: [] }];
  /** The first key of each leaf; of the very first leaf, a string before all keys. */
  readonly #firsts: ByteString[] = [""];
  /** The leaf that a key was appended to last: keys that come in ascending order find it again. */
  #finger = 0;
  /** A power of two of bits. */
  readonly #noted: Uint32Array;
  #rows = 0;
  #keyBytes = 0;

  /** `expectedBytes`: about how much it will hold. */
  constructor(expectedBytes: number) {
    this.#arena = new Arena(expectedBytes);
    this.#noted = new Uint32Array(2 ** Math.ceil(Math.log2(1 + expectedBytes / bytesPerBit / 32)));
  }

  /** Rows, deletions included. */
  get rows(): number {
    return this.#rows;
  }

  /** Bytes it takes in memory, about. */
  get bytes(): number {
    return this.#arena.bytes + this.#keyBytes + this.#rows * rowOverheadBytes;
  }

  /**
   * Sets the row of `key`, whose prefix has this hash, to `head` followed by `tail`; both are copied.
   */
  put(key: ByteString, hash: number, head: Uint8Array, tail: Uint8Array | undefined): void {
    this.#note(hash);
    this.#set(key, this.#arena.add(head, tail));
  }

  delete(key: ByteString, hash: number): void {
    this.#note(hash);
    this.#set(key, deletion);
  }

  /** False when no row here has a prefix with this hash. */
  mayHave(hash: number): boolean {
    return ((this.#noted[this.#wordOf(hash)] as number) & (1 << (hash & 31))) !== 0;
  }

  /** The row's value, null for a deletion, undefined for a key it says nothing about. */
  get(key: ByteString): Buffer | null | undefined {
    const leaf = this.#leaves[this.#leafOf(key)] as Leaf;
    const at = lowerBound(leaf.keys, key);
    if (leaf.keys[at] !== key) return undefined;
    const value = leaf.values[at] as number;
    return value === deletion ? null : this.#arena.view(value);
  }

  /** A cursor before the first row. */
  cursor(): MemtableCursor {
    return new MemtableCursor(this.#leaves, (key) => this.#leafOf(key), this.#arena);
  }

  #note(hash: number): void {
    const word = this.#wordOf(hash);
    this.#noted[word] = (this.#noted[word] as number) | (1 << (hash & 31));
  }

  #wordOf(hash: number): number {
    return (hash >>> 5) & (this.#noted.length - 1);
  }

  #set(key: ByteString, value: number): void {
    const finger = this.#finger;
    const firsts = this.#firsts;
    const next = firsts[finger + 1];
    const isNear = (firsts[finger] as string) <= key && (next === undefined || key < next);
    const index = isNear ? finger : this.#leafOf(key);
    const { keys, values } = this.#leaves[index] as Leaf;
    const last = keys.length - 1;
    if (last < 0 || (keys[last] as string) < key) {
      this.#finger = index;
      if (keys.length < leafRowsMax) {
        keys.push(key);
        values.push(value);
      } else {
        // Not halved: keys that come in ascending order leave full leaves behind.
        this.#insertLeaf(index + 1, { keys: [key], values: [value] });
        this.#finger = index + 1;
      }
    } else {
      const at = lowerBound(keys, key);
      if (keys[at] === key) {
        values[at] = value;
        return;
      }
      keys.splice(at, 0, key);
      values.splice(at, 0, value);
      if (keys.length > leafRowsMax) this.#halve(index, keys, values);
    }
    this.#rows++;
    this.#keyBytes += key.length;
  }

  #halve(index: number, keys: ByteString[], values: number[]): void {
    const half = keys.length >> 1;
    const upper = { keys: keys.splice(half), values: values.splice(half) };
    this.#insertLeaf(index + 1, upper);
    if (this.#finger > index) this.#finger++;
  }

  #insertLeaf(index: number, leaf: Leaf): void {
    this.#leaves.splice(index, 0, leaf);
    this.#firsts.splice(index, 0, leaf.keys[0] as string);
  }

  /** The leaf that has `key`, or would. */
  #leafOf(key: ByteString): number {
    const firsts = this.#firsts;
    let low = 0;
    let high = firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((firsts[middle] as string) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** Walks a memtable's rows. After the memtable has changed it must seek before it moves. */
export class MemtableCursor implements RowView {
  readonly #leaves: readonly Leaf[];
  readonly #leafOf: (key: ByteString) => number;
  readonly #arena: Arena;
  #leaf = 0;
  #at = -1;
  key: ByteString = "";
  bytes: Buffer = nothing;
  start = deletion;
  end = 0;

  constructor(leaves: readonly Leaf[], leafOf: (key: ByteString) => number, arena: Arena) {
    this.#leaves = leaves;
    this.#leafOf = leafOf;
    this.#arena = arena;
  }

  keyFrom(from: number): ByteString {
    return this.key.slice(from);
  }

  /** Moves to the next row; false after the last. */
  next(): boolean {
    this.#at++;
    return this.#settle();
  }

  /** Moves to the first row at or after `target`; false when there is none. */
  seek(target: ByteString): boolean {
    this.#leaf = this.#leafOf(target);
    this.#at = lowerBound((this.#leaves[this.#leaf] as Leaf).keys, target);
    return this.#settle();
  }

  #settle(): boolean {
    let leaf = this.#leaves[this.#leaf] as Leaf;
    if (this.#at >= leaf.keys.length) {
      const following = this.#leaves[this.#leaf + 1];
      if (following === undefined) return false;
      leaf = following;
      this.#leaf++;
      this.#at = 0;
    }
    this.key = leaf.keys[this.#at] as string;
    const value = leaf.values[this.#at] as number;
    if (value === deletion) {
      this.start = deletion;
      return true;
    }
    const arena = this.#arena;
    this.bytes = arena.chunkOf(value);
    this.start = arena.offsetOf(value) + lengthBytes;
    this.end = this.start + this.bytes.readUInt32LE(this.start - lengthBytes);
    return true;
  }
}

const nothing = Buffer.alloc(0);

/**
 * Values, one behind the other. A position is chunk * chunk size + offset; a value too big for what
 * is left of a chunk begins the next one, which is made as big as it needs.
 */
class Arena {
  readonly #chunkBytes: number;
  readonly #chunks: Buffer[] = [];
  #free = 0;
  bytes = 0;

  constructor(expectedBytes: number) {
    const wanted = Math.floor(expectedBytes / 16);
    this.#chunkBytes = Math.min(chunkBytesMax, Math.max(chunkBytesMin, wanted));
  }

  /** Copies a value in; returns its position. */
  add(head: Uint8Array, tail: Uint8Array | undefined): number {
    const length = head.length + (tail?.length ?? 0);
    const size = lengthBytes + length;
    if (size > this.#free) this.#grow(size);
    const chunk = this.#chunks[this.#chunks.length - 1] as Buffer;
    const offset = chunk.length - this.#free;
    this.#free -= size;
    this.bytes += size;
    chunk.writeUInt32LE(length, offset);
    chunk.set(head, offset + lengthBytes);
    if (tail !== undefined) chunk.set(tail, offset + lengthBytes + head.length);
    return (this.#chunks.length - 1) * this.#chunkBytes + offset;
  }

  chunkOf(position: number): Buffer {
    return this.#chunks[Math.floor(position / this.#chunkBytes)] as Buffer;
  }

  offsetOf(position: number): number {
    return position % this.#chunkBytes;
  }

  view(position: number): Buffer {
    const chunk = this.chunkOf(position);
    const start = this.offsetOf(position) + lengthBytes;
    return chunk.subarray(start, start + chunk.readUInt32LE(start - lengthBytes));
  }

  /** A chunk that is bigger than others holds one value, at offset 0. */
  #grow(size: number): void {
    const bytes = Math.max(size, this.#chunkBytes);
    this.#chunks.push(Buffer.allocUnsafeSlow(bytes));
    this.#free = bytes;
  }
}

/** The first place in `keys` whose key is at or after `key`. */
function lowerBound(keys: readonly ByteString[], key: ByteString): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
