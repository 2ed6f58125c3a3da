/**
 * How many keys a range has at a revision, as far as somebody has counted. What was true at a
 * revision stays true, so counts are remembered and never invalidated, only forgotten, the least
 * recently asked first. This is what keeps a listing in pages from counting all that follows for
 * every page: with the count of a page comes the count of the rest.
 *
 *   page 1  [a, z)  limit 500: counted 20,000, last key "k"   remembered: ["k\0", z) has 19,500
 *   page 2  ["k\0", z)         reads 501 keys
 */
import type { ByteString } from "../lib/bytes.ts";
import type { KeyRange } from "../model/range.ts";

/** Ranges remembered. */
const rangesMax = 1024;
/** Smaller counts are as quickly made again. */
const countMin = 1000;

export class Counts {
  readonly #counts = new Map<ByteString, number>();

  /** The number of keys in `range` at `revision`; undefined when it is not remembered. */
  get(range: KeyRange, revision: number): number | undefined {
    const name = nameOf(range, revision);
    const count = this.#counts.get(name);
    if (count === undefined) return undefined;
    this.#counts.delete(name);
    this.#counts.set(name, count);
    return count;
  }

  /** Remembers a count. */
  set(range: KeyRange, revision: number, count: number): void {
    if (count < countMin) return;
    this.#counts.set(nameOf(range, revision), count);
    for (const oldest of this.#counts.keys()) {
      if (this.#counts.size <= rangesMax) break;
      this.#counts.delete(oldest);
    }
  }
}

/** Lengths keep key and end apart, whatever bytes they hold. */
function nameOf({ end, key }: KeyRange, revision: number): ByteString {
  return `${revision}/${key.length}/${key}${end}`;
}
