/**
 * The log in the bucket, as a leader writes it: one object after the other, each in a slot of its
 * own, each put only if the slot is free.
 *
 * R7 A leader's first object is a fence, in the first free slot. Whoever led before has at most one
 *    put under way (R9), and it is for that slot or one that is taken: before the fence it became
 *    part of the log, after it it fails.
 * R9 One put at a time. What became of it only the slot tells: our bytes: done; nothing: the same
 *    bytes again; an object of a higher term: we are superseded. Until one of them holds nothing
 *    else is put, for hours if the bucket is away.
 *
 * So whatever is in a slot was put by someone who had read the slot before it: `base` and previous
 * hash always fit, terms never fall.
 *
 * A leader that puts without a pause is always one slot ahead of a fence that follows it. So while
 * it puts it looks at the lock now and then, and leaves when that has a higher term. Whoever puts a
 * fence lists what is new after each slot that was taken, instead of going from slot to slot.
 */
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Counter, Histogram } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import type { Batch } from "../model/batch.ts";
import { origin, type Position, type Term } from "../model/revision.ts";
import { logKey, logPrefix, seqOf } from "../object/keys.ts";
import { type CallOptions, listAll, type ObjectStore } from "../object/store.ts";
import { isTransient } from "./backoff.ts";
import { type Leader, readHead } from "./lock.ts";
import {
  damageHint,
  decodeLogObject,
  encodeLogObject,
  hashOf,
  isSame,
  type LogHeader,
  type LogObject,
  noHash,
} from "./record.ts";
import { type PutOptions, putOnce } from "./slot.ts";

/** Where the bucket's log ends. */
export interface LogEnd {
  /** The last slot in use; 0 for none. */
  readonly seq: number;
  /** Hash of the object there; `noHash` for none. */
  readonly hash: string;
  /** Where the log stands after it. */
  readonly position: Position;
  /** Of the leader who put it; 0 for none. */
  readonly term: number;
  /** Revision after the last entry. */
  readonly revision: number;
  /** When it was written, by its writer's clock; 0 for none. */
  readonly wallMs: number;
}

/** Before the first object of an empty prefix whose database begins at `position`, as of `wallMs`. */
export function emptyLog(position: Position = origin, revision = 1, wallMs = 0): LogEnd {
  return { seq: 0, hash: noHash, position, term: 0, revision, wallMs };
}

/** Someone else leads. */
export class SupersededError extends Error {
  override readonly name = "SupersededError";
  /** The term that ended ours. */
  readonly term: number;
  /** Who leads now; undefined where the lock could not be read. */
  readonly leader: Leader | undefined;

  constructor(term: number, leader: Leader | undefined) {
    const at = leader?.address ? ` at ${leader.address}` : "";
    const who = leader === undefined ? "another process" : `${leader.name}${at}`;
    super(`superseded in term ${term} by ${who}`);
    this.term = term;
    this.leader = leader;
  }
}

/** A put that was under way when the archive was stopped; it may happen all the same. */
export class StoppedError extends Error {
  override readonly name = "StoppedError";
}

export interface FindEndOptions extends CallOptions {
  /** A slot that has an object: the log ends there or later. 0 for none known. */
  readonly after?: number;
  /** What an empty prefix stands for: `emptyLog()` unless told otherwise (a branch). */
  readonly empty?: LogEnd;
  /** A slot known to have been in use (gc/boundary, a checkpoint's last): less is refused. */
  readonly atLeast?: number;
}

/**
 * Where the log ends now. Lists the log objects and reads the newest. CorruptionError when that is
 * damaged, or objects are missing at the end that are known of; ForeignError; ObjectError.
 */
export async function findEnd(
  store: ObjectStore,
  cluster: bigint,
  options: FindEndOptions = {},
): Promise<LogEnd> {
  const { after = 0, atLeast = 0, empty = emptyLog() } = options;
  for (let known = after; ; ) {
    const seq = await newestSlot(store, known, options);
    if (seq < atLeast) {
      const what = `the log goes up to slot ${atLeast} at least, but the last object is in ${seq}`;
      throw new CorruptionError(logKey(atLeast), 0, what, damageHint);
    }
    if (seq === 0 || seq === empty.seq) return empty;
    const found = await store.get(logKey(seq), options);
    if (found !== undefined) return endOf(decodeLogObject(seq, found.bytes, cluster));
    // gc may remove it as soon as there is a newer one.
    if (seq === known) throw new CorruptionError(logKey(seq), 0, "it is gone", damageHint);
    known = seq;
  }
}

/** The highest slot that has an object, if that is above `after`; else `after`. */
async function newestSlot(store: ObjectStore, after: number, options: CallOptions) {
  let seq = after;
  for await (const { key } of listAll(store, logPrefix, { ...options, after: logKey(after) })) {
    seq = seqOf(key) ?? seq;
  }
  return seq;
}

function endOf(object: LogObject): LogEnd {
  const { end, hash, lastRevision, seq, term, wallMs } = object;
  return { seq, hash, position: end, term, revision: lastRevision, wallMs };
}

/** What a leader's objects have in common. */
export interface Reign {
  readonly store: ObjectStore;
  readonly cluster: bigint;
  readonly term: Term;
  /** The leader's incarnation. */
  readonly writer: bigint;
}

/**
 * R7: puts the fence into the first free slot after `end`, which `findEnd` returned. Where the log
 * ends with it: everything in slots before its `seq` is to be replayed before leading. Rejects with
 * SupersededError; CorruptionError when an object met on the way does not follow the one before;
 * ForeignError; ObjectError when given up by the signal, or refused for good.
 */
export async function putFence(reign: Reign, end: LogEnd, options: PutOptions): Promise<LogEnd> {
  const { cluster, store, term } = reign;
  let last = end;
  for (;;) {
    if (last.term >= term) throw await superseded(store, last.term, options.signal);
    const seq = last.seq + 1;
    const fence = {
      ...headerAfter(reign, last, options),
      kind: "fence" as const,
      firstRevision: last.revision,
      lastRevision: last.revision,
      wallMs: Math.max(options.clock.wall(), last.wallMs),
    };
    const bytes = encodeLogObject(fence, []);
    const there = await putOnce(store, seq, bytes, options);
    if (there.equals(bytes)) return endOf(decodeLogObject(seq, bytes, cluster));
    const { signal } = options;
    const taken = following(last, decodeLogObject(seq, there, cluster));
    last = endOf(taken);
    if (taken.term < term) last = await newestAfter(store, cluster, last, signal);
  }
}

/** The end of the log as far as is seen at once: at or after `last`, whose slot was just read. */
async function newestAfter(
  store: ObjectStore,
  cluster: bigint,
  last: LogEnd,
  signal: AbortSignal | undefined,
): Promise<LogEnd> {
  try {
    return await findEnd(store, cluster, { after: last.seq, empty: last, signal });
  } catch (error) {
    // Slot by slot it goes on too, if slower.
    if (isTransient(error)) return last;
    throw error;
  }
}

/** `object`, which is in the slot after `last`. CorruptionError when it does not follow it. */
function following(last: LogEnd, object: LogObject): LogObject {
  const follows = object.previousHash === last.hash && isSame(object.base, last.position);
  if (follows && object.term >= last.term) return object;
  const what = `it was not put after the object that is in slot ${last.seq}`;
  throw new CorruptionError(logKey(object.seq), follows ? 24 : 56, what, damageHint);
}

function headerAfter(reign: Reign, last: LogEnd, { random }: PutOptions) {
  const { cluster, term, writer } = reign;
  const { hash: previousHash, position: base, seq } = last;
  return { cluster, term, writer, seq: seq + 1, nonce: random.u64(), previousHash, base };
}

async function superseded(
  store: ObjectStore,
  term: number,
  signal: AbortSignal | undefined,
): Promise<SupersededError> {
  try {
    const now = await readHead(store, { signal });
    if (now !== undefined && now.head.term >= term) {
      return new SupersededError(now.head.term, now.head.leader);
    }
  } catch {
    // The term in the slot is proof enough; the name is for people.
  }
  return new SupersededError(term, undefined);
}

export interface ArchiveOptions extends Reign {
  /** Where the log ends: with this leader's fence, from `putFence`. */
  readonly end: LogEnd;
  readonly clock: Clock;
  readonly random: Random;
  readonly meters: ArchiveMeters;
  /** Milliseconds between looks at the lock while objects are put; 1000 unless told otherwise. */
  readonly lookMs?: number;
}

const lookMsDefault = 1000;
/** A bucket that takes longer for a put is away; the store tries again for a minute, and says nothing. */
const answerMsMax = 1000;

export interface ArchiveMeters {
  /** Objects confirmed. */
  readonly uploads: Counter;
  /** Calls that failed. */
  readonly errors: Counter;
  /** From the first try of an object until it is confirmed. */
  readonly seconds: Histogram;
}

/** A leader's hold on the bucket's log. */
export class Archive {
  readonly #options: ArchiveOptions;
  readonly #stop = new AbortController();
  readonly #stopped: Promise<never>;
  #end: LogEnd;
  #pendingSince: number | undefined;
  #awaySince: number | undefined;
  #failure: unknown;
  #objects = 0;
  #bytes = 0;
  #lookedAt: number;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.#lookedAt = options.clock.now();
    this.#end = options.end;
    const { signal } = this.#stop;
    this.#stopped = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    this.#stopped.catch(() => undefined);
  }

  /** Where the bucket's log ends, as far as confirmed: what is up to there, the bucket holds. */
  get end(): LogEnd {
    return this.#end;
  }

  /** Objects put since this began, without the fence. */
  get objects(): number {
    return this.#objects;
  }

  /** Bytes of these. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Monotonic milliseconds since when the bucket is away: a call for the put that is under way has
   * failed, or none is answered for longer than a second. Undefined while it is not.
   */
  get awaySince(): number | undefined {
    if (this.#awaySince !== undefined) return this.#awaySince;
    const since = this.#pendingSince;
    const isLong = since !== undefined && this.#options.clock.now() - since > answerMsMax;
    return isLong ? since : undefined;
  }

  /** Monotonic milliseconds when the put that is under way began; undefined when none is. */
  get pendingSince(): number | undefined {
    return this.#pendingSince;
  }

  /**
   * Puts one object with these batches, at least one, which follow the end and each other; resolves
   * when it is confirmed to be in the bucket. One at a time. While the bucket does not answer, or
   * refuses, this waits. Rejects with SupersededError, then and ever after; with StoppedError;
   * with CorruptionError or ForeignError when what is in the slot cannot be a leader's.
   */
  async put(batches: readonly Batch[]): Promise<void> {
    assert(this.#pendingSince === undefined, "one put is under way at a time");
    if (this.#failure !== undefined) throw this.#failure;
    this.#stop.signal.throwIfAborted();
    const { clock, meters } = this.#options;
    const start = clock.now();
    this.#pendingSince = start;
    if (start - this.#lookedAt >= (this.#options.lookMs ?? lookMsDefault)) {
      this.#lookedAt = start;
      void this.#look();
    }
    try {
      await Promise.race([this.#put(batches), this.#stopped]);
      meters.seconds.observe((clock.now() - start) / 1000);
    } catch (error) {
      if (!(error instanceof StoppedError)) this.#failure ??= error;
      throw error;
    } finally {
      this.#pendingSince = undefined;
    }
  }

  /** Gives up what is under way: it rejects with StoppedError. Nothing is put any more. */
  stop(): void {
    const why = "the archive was stopped; what it was putting may be in the bucket or not";
    this.#stop.abort(new StoppedError(why));
  }

  async #put(batches: readonly Batch[]): Promise<void> {
    const { clock, cluster, meters, random, store, term } = this.#options;
    const { signal } = this.#stop;
    const bytes = encodeLogObject(this.#header(batches), batches);
    const { seq } = this.#end;
    const there = await putOnce(store, seq + 1, bytes, {
      clock,
      random,
      signal,
      patient: true,
      failed: () => this.#failed(),
    });
    if (signal.aborted) return;
    this.#awaySince = undefined;
    if (!there.equals(bytes)) {
      const other = decodeLogObject(seq + 1, there, cluster);
      if (other.term > term) throw await superseded(store, other.term, signal);
      const what = `an object of term ${other.term} is where only term ${term} or a later one puts`;
      throw new CorruptionError(logKey(seq + 1), 24, what, "let one process at a time use it");
    }
    const last = batches.at(-1);
    assert(last !== undefined, "a put has a batch");
    const { end: position, lastRevision: revision, wallMs } = last;
    this.#end = { seq: seq + 1, hash: hashOf(bytes), position, term, revision, wallMs };
    this.#objects++;
    this.#bytes += bytes.length;
    meters.uploads.add(1);
  }

  /** Sees whether the lock has a higher term: then the put that is under way is the last one. */
  async #look(): Promise<void> {
    const { store, term } = this.#options;
    try {
      const now = await readHead(store, { signal: this.#stop.signal });
      if (now !== undefined && now.head.term > term) {
        this.#failure ??= new SupersededError(now.head.term, now.head.leader);
      }
    } catch {
      // The slots keep the log safe; this is only so that a successor need not wait long.
    }
  }

  #header(batches: readonly Batch[]): LogHeader {
    const [first] = batches;
    const last = batches.at(-1);
    assert(first !== undefined && last !== undefined, "a put has a batch");
    return {
      ...headerAfter(this.#options, this.#end, this.#options),
      kind: "data",
      firstRevision: first.firstRevision,
      lastRevision: last.lastRevision,
      wallMs: last.wallMs,
    };
  }

  #failed(): void {
    this.#options.meters.errors.add(1);
    this.#awaySince ??= this.#pendingSince ?? this.#options.clock.now();
  }
}
