/**
 * The one read path: proof that this member may answer, then local state at the committed revision.
 * A member that leads alone is its own proof. A large range is read in slices, so that it does not
 * stall writes; the revision it reads is pinned meanwhile.
 */
import type { Clock } from "../lib/clock.ts";
import type { RangeQuery } from "../model/command.ts";
import { Refusal } from "../model/refusal.ts";
import type { RangeReply } from "../model/reply.ts";
import { RangeRead } from "../mvcc/range.ts";
import type { Store } from "../mvcc/store.ts";

/** Keys in a range whose reader has left are not worth reading on. */
export class AbandonedError extends Error {}

/** How a range is read. */
export interface Reading {
  readonly clock: Clock;
  /** How long a slice may hold the event loop. */
  readonly sliceMsMax: number;
  /** Aborts when the reader leaves. */
  readonly signal: AbortSignal | undefined;
  /** Whether the store may be read no more. */
  readonly isClosed: () => boolean;
}

/**
 * Reads a range. Refusals: futureRevision, compacted, stopped. Rejects with AbandonedError when the
 * reader leaves before it is done.
 */
export async function readRange(
  query: RangeQuery,
  store: Store,
  { clock, isClosed, signal, sliceMsMax }: Reading,
): Promise<RangeReply | Refusal> {
  const { revision } = query;
  if (revision > store.revision) return new Refusal("futureRevision");
  if (revision > 0 && revision < store.floor) return new Refusal("compacted");
  const at = revision > 0 ? revision : store.revision;
  const read = new RangeRead(query, store.revision, store.counts.get(query.range, at));
  const source = store.at(at);
  if (read.step(source, deadline(clock, sliceMsMax))) return answer(read, at);
  const release = store.pin(at);
  try {
    do {
      await clock.yield();
      if (isClosed()) return new Refusal("stopped");
      if (signal?.aborted) throw new AbandonedError("the reader left");
    } while (!read.step(source, deadline(clock, sliceMsMax)));
    return answer(read, at);
  } finally {
    release();
  }

  /** The reply; what it counted is remembered, for the page that follows. */
  function answer(done: RangeRead, readAt: number): RangeReply {
    const reply = done.reply();
    store.counts.set(query.range, readAt, reply.count);
    const rest = done.restOf(reply);
    if (rest !== undefined) store.counts.set(rest, readAt, reply.count - reply.kvs.length);
    return reply;
  }
}

/** Says true once `milliseconds` have passed from now. */
export function deadline(clock: Clock, milliseconds: number): () => boolean {
  const end = clock.now() + milliseconds;
  return () => clock.now() >= end;
}
