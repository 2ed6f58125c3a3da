/**
 * Calls in progress: what those of one request (unary.ts) and of many (streaming.ts) have in common.
 *
 *   Stream ── data, halfClosed, reset ──► call ── request ──► handler
 *   Stream ◄── respond, write, end ────── call ◄── response, error
 *
 * A call ends once: with the first status that is sent, or when the client goes.
 */
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Counter } from "../lib/meter.ts";
import type { Deadlines, Due } from "./deadlines.ts";
import { type Head, metadataOf } from "./head.ts";
import { errorCodes } from "./http2/error.ts";
import type { Stream, StreamReceiver } from "./http2/stream.ts";
import type { Meters, MethodMeters } from "./meters.ts";
import type { Call, Method } from "./service.ts";
import { type Code, codes, type Status, StatusError } from "./status.ts";
import { headOnly, responseHead, trailersOf } from "./trailers.ts";

/** What the calls of a server share. */
export interface Calls {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly meters: Meters;
  /** The largest message taken from a client, in bytes. */
  readonly receiveBytesMax: number;
  /** Bytes that a stream queues for a slow client before it is no longer writable. */
  readonly sendQueueBytesMax: number;
  /** Takes whatever a handler throws that is no StatusError. */
  readonly fault: (path: string, error: unknown) => void;
  /** The calls of many messages that have not ended. */
  readonly streaming: Set<ServerCall>;
}

/** A method with all that its calls need at hand. */
export interface Entry {
  readonly method: Method;
  /** `/service/method`. */
  readonly path: string;
  readonly meters: MethodMeters;
  /** One for each code, made when a call first ends with it. */
  readonly handled: Map<Code, Counter>;
}

/** Who is at the other end. */
export interface Caller {
  readonly peer: string;
  readonly commonName: string | undefined;
  /** Notes that more bytes are kept on its account, or fewer. */
  readonly hold: (bytes: number) => void;
}

/** Of a call that takes one request and got none. */
export const noRequest: Status = {
  code: codes.internal,
  message: "cardinality violation: received no request message from non-client-streaming RPC",
};
/** Of a request whose end is missing. */
export const cutShort: Status = { code: codes.internal, message: "unexpected EOF" };

/** No client takes a larger message, and its length would soon not fit its header. */
const messageBytesMax = 2 ** 31 - 1;

const internal: Status = { code: codes.internal, message: "internal error" };
const late: Status = { code: codes.deadlineExceeded, message: "context deadline exceeded" };

export abstract class ServerCall implements Call, StreamReceiver, Due {
  requestBytes = 0;
  dueMs = 0;
  protected readonly calls: Calls;
  protected readonly entry: Entry;
  protected readonly stream: Stream;
  protected readonly head: Head;
  readonly #caller: Caller;
  readonly #started: number;
  #held = 0;
  #hasResponded = false;
  #isOver = false;
  #isCut = false;
  #controller: AbortController | undefined;

  constructor(entry: Entry, head: Head, stream: Stream, caller: Caller, calls: Calls) {
    this.calls = calls;
    this.entry = entry;
    this.stream = stream;
    this.head = head;
    this.#caller = caller;
    this.#started = calls.clock.now();
    entry.meters.started.add(1);
  }

  /** Sets the call going, once its stream tells it what happens. */
  begin(): void {
    const { heldBytes, timeoutMs } = this.head;
    if (timeoutMs !== undefined) this.calls.deadlines.set(this, timeoutMs);
    if (heldBytes > 0) this.hold(0);
  }

  abstract data(bytes: Uint8Array, from: number, to: number): void;
  abstract halfClosed(): void;

  /** The call is over, whatever was the reason: the last that happens to it. */
  protected abstract ended(): void;

  get isOver(): boolean {
    return this.#isOver;
  }

  get peer(): string {
    return this.#caller.peer;
  }

  get commonName(): string | undefined {
    return this.#caller.commonName;
  }

  get deadlineMs(): number | undefined {
    return this.head.timeoutMs;
  }

  metadata(key: string): string | undefined {
    return metadataOf(this.head.fields, key);
  }

  /** Made when first asked for: most calls never need it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#isCut) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The client is gone, or does not want the answer any more. */
  reset(): void {
    if (this.settle(codes.cancelled)) this.#cut();
  }

  expire(): void {
    this.abort(late);
    // What the client has not taken by now it does not wait for.
    if (!this.stream.isLocalEnded) this.stream.reset(errorCodes.cancel);
  }

  get aborted(): boolean {
    return this.#isCut;
  }

  /** Ends the call with `status` while its handler runs, unless it has ended. */
  abort(status: Status): void {
    if (this.#isOver) return;
    this.end(status);
    this.#cut();
  }

  /** Ends the call with `status` behind all messages, unless it has ended. */
  protected end(status: Status): void {
    if (!this.settle(status.code)) return;
    if (this.#hasResponded || status.code === codes.ok) {
      this.respond();
      this.stream.end(trailersOf(status));
    } else this.stream.respond(headOnly(status), true);
  }

  /** Sends the head of the response, unless it is sent. */
  protected respond(): void {
    if (this.#hasResponded) return;
    this.#hasResponded = true;
    this.stream.respond(responseHead, false);
  }

  /** The request in bytes[from, to); StatusError, which says `failure`, when they are malformed. */
  protected decode(bytes: Uint8Array, from: number, to: number, failure: string): unknown {
    this.requestBytes = to - from;
    this.entry.meters.received.add(1);
    this.calls.meters.receivedBytes.add(to - from);
    try {
      return this.entry.method.codec.decode(bytes, from, to);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StatusError(codes.internal, `${failure}: ${reason}`, { cause });
    }
  }

  /** The bytes of `response`, behind `room` bytes for their header. */
  protected encode(response: unknown, room: number): Uint8Array {
    const bytes = this.entry.method.codec.encode(response, room);
    this.sending(bytes.length - room);
    return bytes;
  }

  /** Counts a message of `length` bytes; StatusError, in the words of Go's gRPC, for one too large. */
  protected sending(length: number): void {
    if (length > messageBytesMax) {
      const message = `trying to send message larger than max (${length} vs. ${messageBytesMax})`;
      throw new StatusError(codes.resourceExhausted, message);
    }
    this.entry.meters.sent.add(1);
    this.calls.meters.sentBytes.add(length);
  }

  /**
   * The status for whatever a handler threw. What went wrong inside is told to the log, not to the
   * client; what fails because the call is over is no news, unless it is a broken invariant.
   */
  protected statusOf(error: unknown): Status {
    if (error instanceof StatusError) return error;
    if (!this.#isOver || error instanceof InvariantError) {
      this.calls.fault(this.entry.path, error);
    }
    return internal;
  }

  /** Notes how many bytes of messages are kept. The client may be cut off for it, which ends the call. */
  protected hold(bytes: number): void {
    const held = this.#isOver ? 0 : bytes + this.head.heldBytes;
    const more = held - this.#held;
    if (more === 0) return;
    this.#held = held;
    this.#caller.hold(more);
  }

  /** Notes that the call ended; false when it had already. */
  protected settle(code: Code): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    if (this.head.timeoutMs !== undefined) this.calls.deadlines.clear(this);
    this.hold(0);
    const { handled, meters } = this.entry;
    let counter = handled.get(code);
    if (counter === undefined) {
      counter = meters.handled(code);
      handled.set(code, counter);
    }
    counter.add(1);
    meters.seconds.observe((this.calls.clock.now() - this.#started) / 1000);
    this.ended();
    return true;
  }

  #cut(): void {
    this.#isCut = true;
    this.#controller?.abort();
  }
}
