/**
 * The one read path: proof that this member may answer, then local state at the committed revision.
 * A member that leads alone is its own proof. A large range is read in slices, so that it does not
 * stall writes; the revision it reads is pinned meanwhile.
 */
import type { Clock } from "../lib/clock.ts";
import type { RangeQuery, TxnCommand } from "../model/command.ts";
import { isSingle } from "../model/range.ts";
import { Refusal } from "../model/refusal.ts";
import type { RangeReply, TxnReply } from "../model/reply.ts";
import { RangeRead, readOne } from "../mvcc/range.ts";
import type { Store } from "../mvcc/store.ts";
import { isGrave } from "./grave.ts";
import type { Leadership } from "./leadership.ts";
import type { Limits } from "./limits.ts";
import type { MemberMeters } from "./meters.ts";
import { proveLead } from "./proof.ts";

/** Keys in a range whose reader has left are not worth reading on. */
export class AbandonedError extends Error {}

/** Tells whether the reader has left: an AbortSignal does, and so does a call. */
export type Leaving = Pick<AbortSignal, "aborted">;

/** How a range is read. */
export interface Reading {
  readonly clock: Clock;
  /** How long a slice may hold the event loop. */
  readonly sliceMsMax: number;
  /** Told to stop when the reader leaves. */
  readonly signal: Leaving | undefined;
  /** Whether the store may be read no more. */
  readonly isClosed: () => boolean;
}

/** What a read comes to: at once, or later where something has to be waited for. */
export type Answer<T> = T | Refusal | Promise<T | Refusal>;

export interface ReaderOptions {
  readonly clock: Clock;
  readonly limits: Pick<Limits, "requestMsMax" | "sliceMsMax">;
  readonly store: Store;
  readonly leadership: Leadership | undefined;
  readonly meters: MemberMeters;
  readonly isLeader: () => boolean;
  /** Whether the store may be read no more. */
  readonly isClosed: () => boolean;
  /** Takes the error that the member does not survive. */
  readonly fatal: (error: unknown) => void;
}

/**
 * Reads for clients. An error that a read meets is thrown, or is what the answer rejects with;
 * `fatal` gets it first where the member does not survive it (grave.ts).
 */
export class Reader {
  readonly #options: ReaderOptions;
  #reads = 0;

  constructor(options: ReaderOptions) {
    this.#options = options;
  }

  /** Reads that were asked for. */
  get reads(): number {
    return this.#reads;
  }

  /**
   * Reads a range: at once when it is small and nothing has to be proved. Refusals: futureRevision,
   * compacted, stopped, outcomeUnknown. Rejects with AbandonedError when the reader leaves.
   */
  range(query: RangeQuery, signal: Leaving | undefined): Answer<RangeReply> {
    const { serializable } = query;
    const refusal = this.#barrier(serializable);
    if (refusal !== undefined) return refusal;
    const { clock, isClosed, limits, meters, store } = this.#options;
    meters.ranges.add(1);
    this.#reads++;
    const { sliceMsMax } = limits;
    return this.#guarded(() => {
      const reply = readRange(query, store, { clock, sliceMsMax, signal, isClosed });
      return serializable ? reply : this.#proved(reply);
    });
  }

  /** Runs a transaction that can only read. Refusals, errors: as `range`. */
  txn(command: TxnCommand): Answer<TxnReply> {
    const refusal = this.#barrier(true);
    if (refusal !== undefined) return refusal;
    this.#reads++;
    const { meters, store } = this.#options;
    const counted = (reply: TxnReply | Refusal) => {
      meters.answered(reply);
      return reply;
    };
    return this.#guarded(() => {
      const reply = this.#proved(store.read(command));
      return reply instanceof Promise ? reply.then(counted) : counted(reply);
    });
  }

  /** As `proveLead`. */
  prove(ageMs: number): Refusal | undefined | Promise<Refusal | undefined> {
    return this.#guarded(() => this.#prove(ageMs));
  }

  #barrier(serializable: boolean): Refusal | undefined {
    const { isClosed, isLeader } = this.#options;
    return isLeader() || (serializable && !isClosed()) ? undefined : new Refusal("stopped");
  }

  #prove(ageMs?: number): Promise<Refusal | undefined> | undefined {
    const { clock, leadership, limits } = this.#options;
    return proveLead(leadership, { clock, limits, ageMs });
  }

  /** What was read, once it is proved that nobody else led when it was. */
  #proved<T>(reply: Answer<T>): Answer<T> {
    if (reply instanceof Promise) return reply.then((read) => this.#proved<T>(read));
    const proof = this.#prove();
    return proof === undefined ? reply : proof.then((refusal) => refusal ?? reply);
  }

  #guarded<T>(work: () => T | Promise<T>): T | Promise<T> {
    try {
      const done = work();
      return done instanceof Promise ? done.catch((error) => this.#blame(error)) : done;
    } catch (error) {
      return this.#blame(error);
    }
  }

  #blame(error: unknown): never {
    if (isGrave(error)) this.#options.fatal(error);
    throw error;
  }
}

/**
 * Reads a range: at once when that takes no longer than one slice. Refusals: futureRevision,
 * compacted, stopped. Rejects with AbandonedError when the reader leaves before it is done.
 */
export function readRange(query: RangeQuery, store: Store, reading: Reading): Answer<RangeReply> {
  const { range, revision } = query;
  if (revision > store.revision) return new Refusal("futureRevision");
  if (revision > 0 && revision < store.floor) return new Refusal("compacted");
  const at = revision > 0 ? revision : store.revision;
  if (isSingle(range)) return readOne(query, store.latest(range.key, at), store.revision);
  const read = new RangeRead(query, store.revision, store.counts.get(range, at));
  const isDone = read.step(store.at(at), deadline(reading.clock, reading.sliceMsMax));
  return isDone ? replyOf(read, query, store, at) : readOn(read, query, store, at, reading);
}

/** Reads on from the second slice, at the revision `at`. */
async function readOn(
  read: RangeRead,
  query: RangeQuery,
  store: Store,
  at: number,
  { clock, isClosed, signal, sliceMsMax }: Reading,
): Promise<RangeReply | Refusal> {
  const source = store.at(at);
  const release = store.pin(at);
  try {
    do {
      await clock.yield();
      if (isClosed()) return new Refusal("stopped");
      if (signal?.aborted) throw new AbandonedError("the reader left");
    } while (!read.step(source, deadline(clock, sliceMsMax)));
    return replyOf(read, query, store, at);
  } finally {
    release();
  }
}

/** The reply of a read that is done; what it counted is remembered, for the page that follows. */
function replyOf(read: RangeRead, { range }: RangeQuery, store: Store, at: number): RangeReply {
  const reply = read.reply();
  store.counts.set(range, at, reply.count);
  const rest = read.restOf(reply);
  if (rest !== undefined) store.counts.set(rest, at, reply.count - reply.kvs.length);
  return reply;
}

/** Says true once `milliseconds` have passed from now. */
export function deadline(clock: Clock, milliseconds: number): () => boolean {
  const end = clock.now() + milliseconds;
  return () => clock.now() >= end;
}
