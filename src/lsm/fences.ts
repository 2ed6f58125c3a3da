/**
 * Where in a long block a search begins: between which two of its restarts. A binary search looks at
 * eight keys that no cache holds; this tree of numbers is looked at instead, and then one key. For
 * each two neighbours it knows the first bit in which they differ (as in critbit.ts); a node is such
 * a pair, and of the pairs below it none differs earlier:
 *
 *   restarts   "a"     "key0"     "key2"     "z"
 *   pairs          0           1          2             nodes  | place of bit | left | right | - | ...
 *   tree           0 ── right ── 2 ── left ── 1                a negative number is a restart, ~ordinal
 */
import type { ByteString } from "../lib/bytes.ts";

const nodeNumbers = 4;

/** The keys that stand whole in a block, by their ordinals. */
export interface WholeKeys {
  readonly count: number;
  /** Makes `bytes` from `at` up to `end` that key. */
  read(ordinal: number): void;
  readonly bytes: Buffer;
  readonly at: number;
  readonly end: number;
}

export class Fences {
  readonly #keys: WholeKeys;
  readonly #nodes: Int32Array;
  readonly #root: number;

  constructor(keys: WholeKeys) {
    this.#keys = keys;
    this.#nodes = new Int32Array(Math.max(0, keys.count - 1) * nodeNumbers);
    this.#root = this.#build();
  }

  /** Ordinal of the last key before `target`; 0 when there is none. */
  before(target: ByteString): number {
    const nodes = this.#nodes;
    const { length } = target;
    let top = this.#root;
    while (top >= 0) {
      const place = nodes[top] as number;
      const at = place >> 4;
      const byte = at < length ? target.charCodeAt(at) | 256 : 0;
      top = nodes[top + 1 + ((byte >> (8 - (place & 15))) & 1)] as number;
    }
    return this.#beside(~top, target);
  }

  /** As `before`, once it is known that of all keys this one is as close as any. */
  #beside(ordinal: number, target: ByteString): number {
    const keys = this.#keys;
    keys.read(ordinal);
    const { at, bytes, end } = keys;
    const limit = Math.min(target.length, end - at);
    let common = 0;
    while (common < limit && bytes[at + common] === target.charCodeAt(common)) common++;
    const byte = common < target.length ? target.charCodeAt(common) | 256 : 0;
    const other = at + common < end ? (bytes[at + common] as number) | 256 : 0;
    if (byte === other) return Math.max(0, ordinal - 1);
    const high = 31 - Math.clz32(byte ^ other);
    const differsAt = common * 16 + 8 - high;
    // All keys that agree with target up to there are on the same side of it.
    const nodes = this.#nodes;
    let first = 0;
    let last = keys.count - 1;
    let top = this.#root;
    while (top >= 0 && (nodes[top] as number) < differsAt) {
      const place = nodes[top] as number;
      const index = place >> 4;
      const own = index < target.length ? target.charCodeAt(index) | 256 : 0;
      const pair = top / nodeNumbers;
      const isRight = (own >> (8 - (place & 15))) & 1;
      if (isRight === 1) first = pair + 1;
      else last = pair;
      top = nodes[top + 1 + isRight] as number;
    }
    return ((byte >> high) & 1) === 1 ? last : Math.max(0, first - 1);
  }

  /** Makes the tree; returns where it begins. */
  #build(): number {
    const keys = this.#keys;
    const nodes = this.#nodes;
    // The nodes on the way to the newest pair, whose right is not complete.
    const open: number[] = [];
    let previous = Buffer.alloc(0);
    for (let ordinal = 0; ordinal < keys.count; ordinal++) {
      keys.read(ordinal);
      const key = keys.bytes.subarray(keys.at, keys.end);
      if (ordinal > 0) {
        const node = (ordinal - 1) * nodeNumbers;
        const place = differenceOf(previous, key);
        let left = ~(ordinal - 1);
        while (open.length > 0 && (nodes[open.at(-1) as number] as number) > place) {
          left = open.pop() as number;
        }
        nodes[node] = place;
        nodes[node + 1] = left;
        nodes[node + 2] = ~ordinal;
        const above = open.at(-1);
        if (above !== undefined) nodes[above + 2] = node;
        open.push(node);
      }
      previous = Buffer.from(key);
    }
    return open[0] ?? ~0;
  }
}

/** The place of the first bit in which two keys differ. */
function differenceOf(one: Buffer, other: Buffer): number {
  let common = 0;
  while (common < one.length && one[common] === other[common]) common++;
  const oneByte = common < one.length ? (one[common] as number) | 256 : 0;
  const otherByte = common < other.length ? (other[common] as number) | 256 : 0;
  return common * 16 + 8 - (31 - Math.clz32(oneByte ^ otherByte));
}
