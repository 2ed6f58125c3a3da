/**
 * The order of a memtable's rows: a crit-bit tree over their keys (a Patricia trie of bits), and the
 * rows in one list, in key order. A node says which bit to look at next; keys that agree up to there
 * are all below it, those with a 0 on its left. So a key is found with one look at a few of its bits,
 * and a single comparison with another key:
 *
 *   byte 3, bit 5 ─┬─ byte 3, bit 1 ─┬─ "key0"          nodes   | place of bit | left | right | ...
 *                  │                 └─ "key2"                  4-byte numbers; a negative one is
 *                  └─ "keys"                                    a row, ~row
 *
 * Before its eight bits a byte has one that tells that it is there: a key sorts before those that
 * begin with it. The place of a bit is byte * 16 + 0 for that bit, + 1 to 8 for the others, the high
 * one first; places grow on the way down.
 */
import { type Arena, keyBytesAt } from "./arena.ts";

const nodeNumbers = 3;
const rowsMin = 64;
/** In place of a row: there is none. */
const none = -1;

export class CritBitTree {
  readonly #arena: Arena;
  #nodes = new Int32Array(rowsMin * nodeNumbers);
  #nodesEnd = 0;
  /** Where the tree begins: a node, or a row. */
  #root = 0;
  /** Where the arena has each row. Rows are numbered as they come. */
  #places = new Uint32Array(rowsMin);
  #next = new Int32Array(rowsMin);
  #previous = new Int32Array(rowsMin);
  #rows = 0;
  #first = none;
  /** What `#compare` found: the place of the first bit that differs, and that bit of the probe. */
  #differsAt = 0;
  #probeBit = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Bytes that the tree takes for each row, about. */
  static readonly rowBytes = 4 * (nodeNumbers + 3);

  /** The first row; -1 when there is none. */
  get first(): number {
    return this.#first;
  }

  /** The row after `row`; -1 when that is the last, or -1. */
  after(row: number): number {
    return row < 0 ? none : (this.#next[row] as number);
  }

  /** Where the arena has `row`. */
  placeOf(row: number): number {
    return this.#places[row] as number;
  }

  /** The row with this key, which is `length` bytes from `at`; -1 when there is none. */
  find(bytes: Buffer, at: number, length: number): number {
    if (this.#rows === 0) return none;
    const row = this.#nearest(bytes, at, length);
    return this.#compare(row, bytes, at, length) ? row : none;
  }

  /** The first row whose key is at or after this one; -1 when there is none. */
  seek(bytes: Buffer, at: number, length: number): number {
    if (this.#rows === 0) return none;
    const row = this.#nearest(bytes, at, length);
    if (this.#compare(row, bytes, at, length)) return row;
    const { top } = this.#edge(bytes, at, length);
    return this.#probeBit === 0 ? this.#leftmost(top) : this.after(this.#rightmost(top));
  }

  /** Takes the row that the arena has at `place`, instead of one with the same key. */
  add(place: number): void {
    const bytes = this.#arena.chunkOf(place);
    const at = this.#arena.keyAt(place);
    const length = keyBytesAt(bytes, at);
    if (this.#rows === 0) {
      this.#root = ~this.#newRow(place, none, none);
      return;
    }
    const known = this.#nearest(bytes, at, length);
    if (this.#compare(known, bytes, at, length)) {
      this.#places[known] = place;
      return;
    }
    const { from, top } = this.#edge(bytes, at, length);
    const isRight = this.#probeBit === 1;
    const neighbour = isRight ? this.#rightmost(top) : this.#leftmost(top);
    const row = isRight
      ? this.#newRow(place, neighbour, this.#next[neighbour] as number)
      : this.#newRow(place, this.#previous[neighbour] as number, neighbour);
    const node = this.#newNode(isRight ? top : ~row, isRight ? ~row : top);
    if (from < 0) this.#root = node;
    else this.#nodes[from] = node;
  }

  /** The row whose key has the same bits as this one wherever the tree looks. */
  #nearest(bytes: Buffer, at: number, length: number): number {
    const nodes = this.#nodes;
    let top = this.#root;
    while (top >= 0) {
      const place = nodes[top] as number;
      const index = place >> 4;
      const byte = index < length ? (bytes[at + index] as number) | 256 : 0;
      top = nodes[top + 1 + ((byte >> (8 - (place & 15))) & 1)] as number;
    }
    return ~top;
  }

  /**
   * The highest part of the tree whose keys all agree with this one up to `#differsAt`: what it
   * begins with, and which number says so; -1 when that is the root.
   */
  #edge(bytes: Buffer, at: number, length: number): { from: number; top: number } {
    const nodes = this.#nodes;
    const differsAt = this.#differsAt;
    let from = -1;
    let top = this.#root;
    while (top >= 0 && (nodes[top] as number) < differsAt) {
      const place = nodes[top] as number;
      const index = place >> 4;
      const byte = index < length ? (bytes[at + index] as number) | 256 : 0;
      from = top + 1 + ((byte >> (8 - (place & 15))) & 1);
      top = nodes[from] as number;
    }
    return { from, top };
  }

  /** True when the key of `row` is this one; else notes where they differ first. */
  #compare(row: number, bytes: Buffer, at: number, length: number): boolean {
    const place = this.#places[row] as number;
    const others = this.#arena.chunkOf(place);
    const othersAt = this.#arena.keyAt(place);
    const othersLength = keyBytesAt(others, othersAt);
    const limit = Math.min(length, othersLength);
    let index = 0;
    while (index < limit && bytes[at + index] === others[othersAt + index]) index++;
    if (index === length && index === othersLength) return true;
    const byte = index < length ? (bytes[at + index] as number) | 256 : 0;
    const other = index < othersLength ? (others[othersAt + index] as number) | 256 : 0;
    const high = 31 - Math.clz32(byte ^ other);
    this.#differsAt = index * 16 + 8 - high;
    this.#probeBit = (byte >> high) & 1;
    return false;
  }

  #leftmost(from: number): number {
    let top = from;
    while (top >= 0) top = this.#nodes[top + 1] as number;
    return ~top;
  }

  #rightmost(from: number): number {
    let top = from;
    while (top >= 0) top = this.#nodes[top + 2] as number;
    return ~top;
  }

  #newRow(place: number, previous: number, next: number): number {
    const row = this.#rows++;
    if (row === this.#places.length) this.#growRows();
    this.#places[row] = place;
    this.#previous[row] = previous;
    this.#next[row] = next;
    if (previous < 0) this.#first = row;
    else this.#next[previous] = row;
    if (next >= 0) this.#previous[next] = row;
    return row;
  }

  #newNode(left: number, right: number): number {
    const node = this.#nodesEnd;
    this.#nodesEnd += nodeNumbers;
    if (this.#nodesEnd > this.#nodes.length) this.#nodes = grown(this.#nodes, Int32Array);
    this.#nodes[node] = this.#differsAt;
    this.#nodes[node + 1] = left;
    this.#nodes[node + 2] = right;
    return node;
  }

  #growRows(): void {
    this.#places = grown(this.#places, Uint32Array);
    this.#next = grown(this.#next, Int32Array);
    this.#previous = grown(this.#previous, Int32Array);
  }
}

/** The numbers in an array twice as long. */
function grown<T extends Int32Array | Uint32Array>(numbers: T, make: new (length: number) => T): T {
  const longer = new make(numbers.length * 2);
  longer.set(numbers);
  return longer;
}
