/**
 * Range: the pairs of a key range at one revision, filtered, sorted and cut as etcd does it.
 *
 *   live keys ─► count ─► revision filters ─► sort ─► limit ─► values cleared for keysOnly
 *
 * `count` is taken before filters and limit, `more` after the filters. A range may hold millions of
 * keys, so it is read in slices; a slice begins with a fresh cursor, because the rows are versioned
 * and a revision that is being read is kept (Store.pin).
 */
import type { ByteString } from "../lib/bytes.ts";
import type { RangeQuery, SortTarget } from "../model/command.ts";
import type { KeyValue } from "../model/event.ts";
import { isSingle, type KeyRange } from "../model/range.ts";
import type { RangeReply } from "../model/reply.ts";
import type { Revision } from "../model/revision.ts";
import type { LiveCursor } from "./cursor.ts";

/** Where a range is read from: the store at a revision, or a transaction's view of it. */
export interface RangeSource {
  get(key: ByteString): KeyValue | undefined;
  cursor(range: KeyRange): LiveCursor;
}

/** Keys visited between two looks at the clock. */
const keysBetweenChecks = 256;

const nothing = new Uint8Array(0);

/** Reads a range of more than one key; for one there is `readOne`. */
export class RangeRead {
  readonly #query: RangeQuery;
  readonly #revision: Revision;
  readonly #kvs: KeyValue[] = [];
  readonly #keepMax: number;
  readonly #known: number | undefined;
  #count = 0;
  #rest: KeyRange | undefined;

  /**
   * `revision` is what the reply's header shows, not what is read. With `known`, the count of the
   * range, no more is read than the reply shows.
   */
  constructor(query: RangeQuery, revision: Revision, known?: number) {
    this.#query = query;
    this.#revision = revision;
    this.#keepMax = keepMaxOf(query);
    this.#known = known;
    this.#rest = query.range;
  }

  /** Reads on until the range is done or `enough` says to pause; true when it is done. */
  step(source: RangeSource, enough: () => boolean): boolean {
    if (this.#rest === undefined) return true;
    const cursor = source.cursor(this.#rest);
    let visited = 0;
    while (!this.#hasAll && cursor.next()) {
      this.#count++;
      if (this.#kvs.length < this.#keepMax) this.#kvs.push(cursor.pair());
      if (++visited % keysBetweenChecks === 0 && enough()) {
        this.#rest = { key: `${cursor.key}\0`, end: this.#rest.end };
        return false;
      }
    }
    this.#rest = undefined;
    return true;
  }

  /** The reply, once step has returned true. */
  reply(): RangeReply {
    const { keysOnly, limit } = this.#query;
    let kvs = filtered(this.#kvs, this.#query);
    sort(kvs, this.#query);
    const more = limit > 0 && kvs.length > limit;
    if (more) kvs = kvs.slice(0, limit);
    if (keysOnly) kvs = kvs.map((pair) => ({ ...pair, value: nothing }));
    const count = this.#known ?? this.#count;
    return { kind: "range", revision: this.#revision, kvs, more, count };
  }

  /**
   * What the reply leaves out, when it is the first pairs of the range in key order: the range after
   * the last pair shown.
   */
  restOf({ kvs, more }: RangeReply): KeyRange | undefined {
    const { range, sortTarget } = this.#query;
    const last = kvs.at(-1);
    const inKeyOrder = sortTarget === "key" && this.#keepMax !== Number.POSITIVE_INFINITY;
    return more && last && inKeyOrder ? { key: `${last.key}\0`, end: range.end } : undefined;
  }

  get #hasAll(): boolean {
    return this.#known !== undefined && this.#kvs.length >= this.#keepMax;
  }
}

/** Reads a whole range in one go. */
export function readRange(query: RangeQuery, source: RangeSource, revision: Revision): RangeReply {
  const { range } = query;
  if (isSingle(range)) return readOne(query, source.get(range.key), revision);
  const read = new RangeRead(query, revision);
  read.step(source, () => false);
  return read.reply();
}

/** The reply to a query for one key, of which `pair` is there. `revision` is for the header. */
export function readOne(
  query: RangeQuery,
  pair: KeyValue | undefined,
  revision: Revision,
): RangeReply {
  const isShown = pair !== undefined && !query.countOnly && isWanted(pair, query);
  const kvs = isShown ? [query.keysOnly ? { ...pair, value: nothing } : pair] : [];
  return { kind: "range", revision, kvs, more: false, count: pair === undefined ? 0 : 1 };
}

/**
 * How many pairs are needed to answer. Where the order is that of the keys and nothing is filtered,
 * one more than the limit tells `more`. etcd reads no further either when the order is "none" and
 * the target is not the key: it then sorts just those.
 */
function keepMaxOf(query: RangeQuery): number {
  if (query.countOnly) return 0;
  const inKeyOrder =
    query.sortOrder === "none" || (query.sortTarget === "key" && query.sortOrder === "ascend");
  return query.limit > 0 && inKeyOrder && !hasFilters(query) ? query.limit + 1 : Infinity;
}

function hasFilters(query: RangeQuery): boolean {
  return (
    query.minModRevision !== 0 ||
    query.maxModRevision !== 0 ||
    query.minCreateRevision !== 0 ||
    query.maxCreateRevision !== 0
  );
}

function filtered(kvs: KeyValue[], query: RangeQuery): KeyValue[] {
  return hasFilters(query) ? kvs.filter((pair) => isWanted(pair, query)) : kvs;
}

/** Whether a pair passes the revision filters. */
function isWanted({ createRevision, modRevision }: KeyValue, query: RangeQuery): boolean {
  const { maxCreateRevision, maxModRevision, minCreateRevision, minModRevision } = query;
  return (
    (maxModRevision === 0 || modRevision <= maxModRevision) &&
    (minModRevision === 0 || modRevision >= minModRevision) &&
    (maxCreateRevision === 0 || createRevision <= maxCreateRevision) &&
    (minCreateRevision === 0 || createRevision >= minCreateRevision)
  );
}

/** Sorts in place; stable, so that ties stay in key order. */
function sort(kvs: KeyValue[], { sortOrder, sortTarget }: RangeQuery): void {
  if (sortTarget === "key" && sortOrder !== "descend") return;
  const compare = comparisons[sortTarget];
  kvs.sort(sortOrder === "descend" ? (a, b) => compare(b, a) : compare);
}

const comparisons: Record<SortTarget, (a: KeyValue, b: KeyValue) => number> = {
  key: (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  version: (a, b) => a.version - b.version,
  create: (a, b) => a.createRevision - b.createRevision,
  mod: (a, b) => a.modRevision - b.modRevision,
  value: (a, b) => Buffer.compare(a.value, b.value),
};
