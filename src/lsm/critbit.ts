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
import type { KeyView } from "./view.ts";

/** Numbers of a node: the place of its bit, and what is left and right of it. Aligned for the cache. */
const nodeNumbers = 4;
/** Numbers of a row: where the arena has it, the row after it and the one before. */
const rowNumbers = 4;
const nextAt = 1;
const previousAt = 2;
const rowsMin = 64;
/** In place of a row: there is none. */
const none = -1;

export class CritBitTree {
  readonly #arena: Arena;
  #nodes = new Int32Array(rowsMin * nodeNumbers);
  #nodesEnd = 0;
  /** Where the tree begins: a node, or a row. */
  #root = 0;
  /** Rows in the order they came; a row is known by where its numbers begin. */
  #rows = new Int32Array(rowsMin * rowNumbers);
  #rowsEnd = 0;
  #first = none;
  /** What `#isAt` found: the place of the first bit that differs, and that bit of the key. */
  #differsAt = 0;
  #keyBit = 0;
  /** What `#descend` found: which number leads to where it ended; -1 when the root does. */
  #from = -1;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Rows in it. */
  get count(): number {
    return this.#rowsEnd / rowNumbers;
  }

  /** Bytes that the tree takes for each row, about. */
  static readonly rowBytes = 4 * (nodeNumbers + rowNumbers);

  /** The first row; -1 when there is none. */
  get first(): number {
    return this.#first;
  }

  /** The row after `row`; -1 when that is the last, or -1. */
  after(row: number): number {
    return row < 0 ? none : (this.#rows[row + nextAt] as number);
  }

  /** The row after all that begin with `prefix`, as at least one does; -1 when there is none. */
  pass({ keyAt, keyBytes, keyEnd }: KeyView): number {
    const nodes = this.#nodes;
    // Below a node that looks at a later bit, and below no other, all rows begin so.
    const end = (keyEnd - keyAt) << 4;
    let top = this.#root;
    while (top >= 0) {
      const place = nodes[top] as number;
      if (place >= end) break;
      const byte = (keyBytes[keyAt + (place >> 4)] as number) | 256;
      top = nodes[top + 1 + ((byte >> (8 - (place & 15))) & 1)] as number;
    }
    return this.after(this.#rightmost(top));
  }

  /** Where the arena has `row`. */
  placeOf(row: number): number {
    return (this.#rows[row] as number) >>> 0;
  }

  /** The row with this key; -1 when there is none. */
  find(key: KeyView): number {
    if (this.#rowsEnd === 0) return none;
    const row = this.#nearest(key);
    return this.#isAt(row, key) ? row : none;
  }

  /** The first row whose key is at or after this one; -1 when there is none. */
  seek(key: KeyView): number {
    if (this.#rowsEnd === 0) return none;
    const row = this.#nearest(key);
    if (this.#isAt(row, key)) return row;
    const top = this.#descend(key);
    return this.#keyBit === 0 ? this.#leftmost(top) : this.after(this.#rightmost(top));
  }

  /** Takes the row that the arena has at `place`, instead of one with the same key. */
  add(key: KeyView, place: number): void {
    if (this.#rowsEnd === 0) {
      this.#root = ~this.#newRow(place, none, none);
      return;
    }
    const known = this.#nearest(key);
    if (this.#isAt(known, key)) {
      this.#rows[known] = place;
      return;
    }
    const top = this.#descend(key);
    const isRight = this.#keyBit === 1;
    const neighbour = isRight ? this.#rightmost(top) : this.#leftmost(top);
    const row = isRight
      ? this.#newRow(place, neighbour, this.#rows[neighbour + nextAt] as number)
      : this.#newRow(place, this.#rows[neighbour + previousAt] as number, neighbour);
    const node = this.#newNode(isRight ? top : ~row, isRight ? ~row : top);
    if (this.#from < 0) this.#root = node;
    else this.#nodes[this.#from] = node;
  }

  /** The row whose key has the same bits as this one wherever the tree looks. */
  #nearest({ keyAt, keyBytes, keyEnd }: KeyView): number {
    const nodes = this.#nodes;
    let top = this.#root;
    while (top >= 0) {
      const place = nodes[top] as number;
      const at = keyAt + (place >> 4);
      const byte = at < keyEnd ? (keyBytes[at] as number) | 256 : 0;
      top = nodes[top + 1 + ((byte >> (8 - (place & 15))) & 1)] as number;
    }
    return ~top;
  }

  /** The highest part of the tree all of whose keys agree with this one up to `#differsAt`. */
  #descend({ keyAt, keyBytes, keyEnd }: KeyView): number {
    const nodes = this.#nodes;
    const differsAt = this.#differsAt;
    let from = -1;
    let top = this.#root;
    while (top >= 0) {
      const place = nodes[top] as number;
      if (place > differsAt) break;
      const at = keyAt + (place >> 4);
      const byte = at < keyEnd ? (keyBytes[at] as number) | 256 : 0;
      from = top + 1 + ((byte >> (8 - (place & 15))) & 1);
      top = nodes[from] as number;
    }
    this.#from = from;
    return top;
  }

  /** True when `row` has this key; else notes where they differ first. */
  #isAt(row: number, { keyAt, keyBytes, keyEnd, keyWords }: KeyView): boolean {
    const place = this.placeOf(row);
    const others = this.#arena.chunkOf(place);
    const words = this.#arena.wordsOf(place);
    const othersAt = this.#arena.keyAt(place);
    const othersLength = keyBytesAt(words, othersAt);
    const length = keyEnd - keyAt;
    const limit = Math.min(length, othersLength);
    const whole = limit & ~3;
    let at = 0;
    while (at < whole && words.getInt32(othersAt + at) === keyWords.getInt32(keyAt + at)) at += 4;
    while (at < limit && others[othersAt + at] === keyBytes[keyAt + at]) at++;
    if (at === length && at === othersLength) return true;
    const byte = at < length ? (keyBytes[keyAt + at] as number) | 256 : 0;
    const other = at < othersLength ? (others[othersAt + at] as number) | 256 : 0;
    const high = 31 - Math.clz32(byte ^ other);
    this.#differsAt = at * 16 + 8 - high;
    this.#keyBit = (byte >> high) & 1;
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
    const row = this.#rowsEnd;
    this.#rowsEnd += rowNumbers;
    if (this.#rowsEnd > this.#rows.length) this.#rows = doubled(this.#rows);
    const rows = this.#rows;
    rows[row] = place;
    rows[row + nextAt] = next;
    rows[row + previousAt] = previous;
    if (previous < 0) this.#first = row;
    else rows[previous + nextAt] = row;
    if (next >= 0) rows[next + previousAt] = row;
    return row;
  }

  #newNode(left: number, right: number): number {
    const node = this.#nodesEnd;
    this.#nodesEnd += nodeNumbers;
    if (this.#nodesEnd > this.#nodes.length) this.#nodes = doubled(this.#nodes);
    this.#nodes[node] = this.#differsAt;
    this.#nodes[node + 1] = left;
    this.#nodes[node + 2] = right;
    return node;
  }
}

/** The numbers in an array twice as long. */
function doubled(numbers: Int32Array): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(numbers.length * 2);
  longer.set(numbers);
  return longer;
}
