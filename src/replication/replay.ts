/**
 * Reading the bucket's log: objects come in parallel and are handed on in order, each held against
 * the one before it.
 *
 *   slots     fromSeq                                             to (a fence, or free)
 *             | data | data | fence | data | ................... |
 *   entries   …from] (from, ……………………………………………………………………… end]
 *
 * 1. Every slot from `fromSeq` up to `to` has an object. Missing ones are refused by slots and
 *    entries, except where all their entries are at or before `from`: gc removes such.
 * 2. An object names the hash of the one before it, and its base is that one's end.
 * 3. Terms do not fall. An object whose term is below an earlier slot's is void (R7): it was put by
 *    a leader whose successor's fence is gone, and is skipped. A term begins with a fence.
 * 4. What is at or before `from` is left out, but the log must come by exactly there: same term,
 *    same chain hash. Where it does not, the two logs went different ways (DivergedError).
 * 5. The log ends at `end`.
 *
 * A term whose base lies before the end of the objects before it (a rewind) is refused, not
 * followed. R7 would call those objects void. But every leader's fence states as its base what it
 * found in the slot before, and nothing fits between the two: so a rewind shows that a fence was
 * deleted and a leader that had been deposed put where it was. It has acknowledged what it put, and
 * the newer leader what came instead; choosing is for people who can see both.
 */
import { must } from "../lib/assert.ts";
import { chainHash } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Batch, encodedEntries } from "../model/batch.ts";
import { decodeEntry } from "../model/record.ts";
import type { Position } from "../model/revision.ts";
import { logKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore, StoredObject } from "../object/store.ts";
import { damageHint, decodeLogObject, headerBytes, isSame, type LogObject } from "./record.ts";

export interface ReplayLogOptions extends CallOptions {
  readonly cluster: bigint;
  /** Up to where the reader has the log: the first entry handed on is the one after it. */
  readonly from: Position;
  /** The first slot that may hold something after `from`. */
  readonly fromSeq: number;
  /** The slot not to read any more: that of the reader's fence, or the first free one. */
  readonly to: number;
  /** Where the log stands before `to`: the fence's base. */
  readonly end: Position;
  /** Most downloads at a time; 32 unless told otherwise. */
  readonly parallel?: number;
  /** Lets others run between slices of work. */
  readonly clock: Clock;
  /**
   * Takes every batch after `from`, in order; the first may be the rest of one. Its entries are
   * views of memory that is theirs, and not decoded (`decodeBatch`).
   */
  readonly onBatch: (batch: Batch, seq: number) => void | Promise<void>;
  /** Told after each object how many have been read, of how many. */
  readonly progress?: (done: number, total: number) => void;
}

/** What was read. */
export interface Replayed {
  readonly objects: number;
  readonly bytes: number;
  /** Entries handed on. */
  readonly entries: number;
  /** Objects skipped because a leader put them that had been deposed. */
  readonly voids: number;
}

/** The bucket's log and the reader's have different entries at or before an index. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
  readonly index: number;

  constructor(seq: number, index: number) {
    super(`${logKey(seq)} has another history up to entry ${index} than this member`);
    this.index = index;
  }
}

const parallelDefault = 32;
const sliceMs = 5;

/**
 * Hands on what the bucket's log holds after `from`. Where the log ends before `from`, nothing is,
 * and whether the reader's log comes by `end` is for the reader to see. Errors: CorruptionError for
 * what is damaged, missing, or does not follow; ForeignError; DivergedError; ObjectError; and what
 * `onBatch` throws.
 */
export async function replayLog(store: ObjectStore, options: ReplayLogOptions): Promise<Replayed> {
  const { clock, fromSeq, progress, to } = options;
  const replay = new Replay(options);
  let yieldedAt = clock.now();
  for await (const { found, seq } of download(store, options)) {
    await replay.take(seq, found?.bytes);
    progress?.(seq + 1 - fromSeq, to - fromSeq);
    if (clock.now() - yieldedAt < sliceMs) continue;
    await clock.yield();
    yieldedAt = clock.now();
  }
  replay.finish();
  return replay;
}

/**
 * The slot from which to replay a log known up to entry `index`: what is in slots before it, from
 * `fromSeq` on, is not needed. Reads few objects: halves the slots between `fromSeq` and `to`.
 */
export async function findSlot(
  store: ObjectStore,
  options: Pick<ReplayLogOptions, "cluster" | "fromSeq" | "to" | "signal"> & {
    readonly index: number;
  },
): Promise<number> {
  const { cluster, index, to } = options;
  let low = options.fromSeq;
  let high = to;
  while (high - low > 1) {
    const seq = (low + high) >>> 1;
    const found = await store.get(logKey(seq), options);
    const isAbove = found && decodeLogObject(seq, found.bytes, cluster).base.index > index;
    if (isAbove) high = seq;
    else low = seq;
  }
  return low;
}

interface Downloaded {
  readonly seq: number;
  /** Undefined when the slot is empty. */
  readonly found: StoredObject | undefined;
}

/** The objects in order; while one is looked at the next ones are on their way. */
async function* download(
  store: ObjectStore,
  { fromSeq, parallel = parallelDefault, signal, to }: ReplayLogOptions,
): AsyncGenerator<Downloaded> {
  const giveUp = new AbortController();
  const options = {
    signal: signal === undefined ? giveUp.signal : AbortSignal.any([signal, giveUp.signal]),
  };
  const coming: Promise<StoredObject | undefined>[] = [];
  let next = fromSeq;
  try {
    for (let seq = fromSeq; seq < to; seq++) {
      while (next < to && coming.length < parallel) {
        const object = store.get(logKey(next++), options);
        // Whoever stops before it is this one's turn does not look at how it went.
        object.catch(() => undefined);
        coming.push(object);
      }
      yield { seq, found: await must(coming.shift(), "a slot's object is on its way") };
    }
  } finally {
    giveUp.abort();
  }
}

class Replay implements Replayed {
  objects = 0;
  bytes = 0;
  entries = 0;
  voids = 0;
  readonly #options: ReplayLogOptions;
  /** Up to where the reader has the log by now. */
  #reached: Position;
  /** The object before, when the slot before had one. */
  #last: LogObject | undefined;
  /** The first of the empty slots just before this one. */
  #emptySince: number | undefined;
  #term = 0;

  constructor(options: ReplayLogOptions) {
    this.#options = options;
    this.#reached = options.from;
  }

  /** Takes what is in slot `seq`; undefined when nothing is. */
  async take(seq: number, bytes: Buffer | undefined): Promise<void> {
    if (bytes === undefined) {
      this.#emptySince ??= seq;
      return;
    }
    const object = decodeLogObject(seq, bytes, this.#options.cluster);
    this.objects++;
    this.bytes += bytes.length;
    if (object.term < this.#term) {
      this.voids++;
      return;
    }
    this.#follow(object);
    this.#term = object.term;
    this.#last = object;
    this.#emptySince = undefined;
    for (const batch of object.batches) await this.#hand(seq, batch);
  }

  /** The last slot has been taken. */
  finish(): void {
    const { end, from, fromSeq, to } = this.#options;
    const last = this.#emptySince === undefined ? this.#last : undefined;
    if (last === undefined && end.index > from.index) {
      throw this.#missing(this.#emptySince ?? fromSeq, to, end.index);
    }
    if (last !== undefined && !isSame(last.end, end)) {
      const what = `the log ends with entry ${last.end.index}, not as slot ${to} says, with`;
      throw damaged(last.seq, 112, `${what} entry ${end.index}`);
    }
    this.#meet(to, end);
  }

  /** `object` follows the one before, or is the first that is needed. */
  #follow(object: LogObject): void {
    const { base, kind, seq } = object;
    const last = this.#emptySince === undefined ? this.#last : undefined;
    if (last === undefined) {
      if (base.index <= this.#options.from.index) return;
      throw this.#missing(this.#emptySince ?? seq, seq, base.index);
    }
    if (base.index < last.end.index) {
      const those = `entries ${base.index + 1} to ${last.end.index}`;
      const what = `it takes back ${those}, which slot ${last.seq} (term ${last.term}) holds`;
      throw damaged(seq, 88, what);
    }
    if (object.previousHash !== last.hash || !isSame(base, last.end)) {
      throw damaged(seq, 56, `it was not put after the object that is in slot ${last.seq}`);
    }
    if (object.term > last.term && kind !== "fence") {
      throw damaged(seq, 12, `term ${object.term} does not begin with a fence`);
    }
  }

  /** Where the log stands at an index that the reader has just reached, it must be the same log. */
  #meet(seq: number, position: Position): void {
    const reached = this.#reached;
    if (position.index !== reached.index || isSame(position, reached)) return;
    throw new DivergedError(seq, reached.index);
  }

  async #hand(seq: number, batch: Batch): Promise<void> {
    this.#meet(seq, batch.previous);
    if (batch.end.index <= this.#reached.index) return;
    const rest = batch.previous.index < this.#reached.index ? this.#rest(seq, batch) : batch;
    this.#reached = rest.end;
    this.entries += rest.count;
    await this.#options.onBatch(rest, seq);
  }

  /** What of `batch` comes after an entry within it. */
  #rest(seq: number, batch: Batch): Batch {
    const previous = this.#reached;
    let { chain, index } = batch.previous as { chain: bigint; index: number };
    let at = 0;
    try {
      for (const bytes of encodedEntries(batch.entries, batch.count)) {
        const entry = decodeEntry(bytes);
        if (index === previous.index) {
          const entries = batch.entries.subarray(at);
          const count = batch.end.index - index;
          return { ...batch, previous, count, firstRevision: entry.revision, entries };
        }
        at += 4 + bytes.length;
        chain = chainHash(chain, bytes);
        index++;
        if (index === previous.index)
          this.#meet(seq, { index: entry.index, term: entry.term, chain });
      }
    } catch (error) {
      if (error instanceof DivergedError) throw error;
      throw damaged(seq, headerBytes, (error as Error).message);
    }
    throw damaged(seq, headerBytes, `entry ${previous.index} is not where it should be`);
  }

  /** Slots from `first` up to `next` are empty, and what comes then begins after `index`. */
  #missing(first: number, next: number, index: number): CorruptionError {
    const from = Math.max(this.#last?.end.index ?? 0, this.#options.from.index) + 1;
    const entries = `entries ${from} to ${index}`;
    if (first === next) return damaged(first, 88, `${entries} are missing before it`);
    const slots = `slots ${first} to ${next - 1} are empty`;
    return damaged(first, 0, `${slots}, ${entries} are missing`);
  }
}

function damaged(seq: number, offset: number, what: string): CorruptionError {
  return new CorruptionError(logKey(seq), offset, what, damageHint);
}
