/**
 * Calls in progress: the half of a server that does not care how bytes travel. A transport makes
 * one for each call, feeds it with what the client does, and does what it asks through a Wire.
 *
 *   transport ── message, halfClose, cancel ──► call ──► handler
 *   client    ◄── read, send, end ── Wire ◄──── call ◄── response, error
 *
 * A call ends once: with the first status that is sent, or when the client goes.
 */
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Counter } from "../lib/meter.ts";
import type { Meters, MethodMeters } from "./meters.ts";
import type { Call, Method, Stream, StreamMethod, UnaryMethod } from "./service.ts";
import { type Code, codes, ok, type Status, StatusError } from "./status.ts";

/** What a transport does for a call, and tells about it. */
export interface Wire {
  readonly peer: string;
  readonly commonName: string | undefined;
  readonly deadlineMs: number | undefined;
  metadata(key: string): string | undefined;
  /** Asks for the next message, or the client's half-close; one at a time. */
  read(): void;
  /** Sends a message; `done` is called when the client's window has taken it. */
  send(message: Uint8Array, done: () => void): void;
  /** Sends the status behind all messages. Nothing follows. */
  end(status: Status): void;
}

/** What a transport tells a call. */
export interface Incoming {
  /** True for a call with many messages. */
  readonly streaming: boolean;
  /** Sets it going, once the transport is ready for what the call asks of its wire. */
  start(): void;
  message(bytes: Uint8Array): void;
  /** The client sends nothing more, but still listens. */
  halfClose(): void;
  /** The call is over without our doing: the client went (cancelled), or its deadline passed. */
  cancel(code: Code): void;
  /** Ends the call now, with `status`. */
  abort(status: Status): void;
}

/** What the calls of a server share. */
export interface Calls {
  readonly clock: Clock;
  readonly meters: Meters;
  /** Bytes that a stream queues for a slow client before it is no longer writable. */
  readonly sendQueueBytesMax: number;
  /** Takes whatever a handler throws that is no StatusError. */
  readonly fault: (path: string, error: unknown) => void;
  /** The calls that have not ended. */
  readonly active: Set<Incoming>;
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

/** A new call of `entry`, to be started. */
export function callOf(entry: Entry, wire: Wire, calls: Calls): Incoming {
  const { method } = entry;
  const context = new Context(entry, wire, calls);
  const call =
    method.kind === "unary" ? new UnaryCall(method, context) : new StreamCall(method, context);
  context.opened(call);
  return call;
}

const internal: Status = { code: codes.internal, message: "internal error" };

/** Go's gRPC has two ways to say it. */
const malformed = {
  request: "grpc: error unmarshalling request",
  message: "grpc: failed to unmarshal the received message",
} as const;

const noRequest: Status = {
  code: codes.internal,
  message: "cardinality violation: received no request message from non-client-streaming RPC",
};

/** What a call knows, counts and translates, whichever its kind. */
class Context implements Call {
  readonly wire: Wire;
  readonly sendQueueBytesMax: number;
  requestBytes = 0;
  readonly #entry: Entry;
  readonly #calls: Calls;
  readonly #started: number;
  #self: Incoming | undefined;
  #over = false;
  #controller: AbortController | undefined;
  #aborted = false;

  constructor(entry: Entry, wire: Wire, calls: Calls) {
    this.wire = wire;
    this.sendQueueBytesMax = calls.sendQueueBytesMax;
    this.#entry = entry;
    this.#calls = calls;
    this.#started = calls.clock.now();
    entry.meters.started.add(1);
  }

  opened(self: Incoming): void {
    this.#self = self;
    this.#calls.active.add(self);
  }

  get over(): boolean {
    return this.#over;
  }

  get peer(): string {
    return this.wire.peer;
  }

  get commonName(): string | undefined {
    return this.wire.commonName;
  }

  get deadlineMs(): number | undefined {
    return this.wire.deadlineMs;
  }

  metadata(key: string): string | undefined {
    return this.wire.metadata(key);
  }

  /** Made when first asked for: most calls never need it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  /** The call is over, and not because its handler is done. */
  cancel(code: Code): void {
    if (!this.#settle(code)) return;
    this.#aborted = true;
    this.#controller?.abort();
  }

  /** Ends the call with `status`, unless it has ended. */
  end(status: Status): void {
    if (this.#settle(status.code)) this.wire.end(status);
  }

  /** Ends the call with `status` while its handler runs, unless it has ended. */
  abort(status: Status): void {
    if (this.#over) return;
    this.wire.end(status);
    this.cancel(status.code);
  }

  /** The request in `bytes`; StatusError when they are malformed. */
  decode(bytes: Uint8Array): unknown {
    this.requestBytes = bytes.length;
    this.#entry.meters.received.add(1);
    this.#calls.meters.receivedBytes.add(bytes.length);
    try {
      return this.#entry.method.codec.decode(bytes);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const failure = malformed[this.#entry.method.kind === "unary" ? "request" : "message"];
      throw new StatusError(codes.internal, `${failure}: ${reason}`, { cause });
    }
  }

  encode(response: unknown): Uint8Array {
    const bytes = this.#entry.method.codec.encode(response);
    this.#entry.meters.sent.add(1);
    this.#calls.meters.sentBytes.add(bytes.length);
    return bytes;
  }

  /**
   * The status for whatever a handler threw. What went wrong inside is told to the log, not to the
   * client; what fails because the call is over is no news, unless it is a broken invariant.
   */
  statusOf(error: unknown): Status {
    if (error instanceof StatusError) return error;
    if (!this.#over || error instanceof InvariantError) {
      this.#calls.fault(this.#entry.path, error);
    }
    return internal;
  }

  /** Notes that the call ended; false when it had already. */
  #settle(code: Code): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#self !== undefined) this.#calls.active.delete(this.#self);
    const { handled, meters } = this.#entry;
    let counter = handled.get(code);
    if (counter === undefined) {
      counter = meters.handled(code);
      handled.set(code, counter);
    }
    counter.add(1);
    meters.seconds.observe((this.#calls.clock.now() - this.#started) / 1000);
    return true;
  }
}

class UnaryCall implements Incoming {
  readonly streaming = false;
  readonly #method: UnaryMethod<unknown, unknown>;
  readonly #context: Context;
  #request: Uint8Array | undefined;

  constructor(method: UnaryMethod<unknown, unknown>, context: Context) {
    this.#method = method;
    this.#context = context;
  }

  start(): void {
    this.#context.wire.read();
  }

  message(bytes: Uint8Array): void {
    this.#request ??= bytes;
    this.#context.wire.read();
  }

  halfClose(): void {
    const context = this.#context;
    if (context.over) return;
    if (this.#request === undefined) context.end(noRequest);
    else void this.#answer(this.#request);
  }

  cancel(code: Code): void {
    this.#context.cancel(code);
  }

  abort(status: Status): void {
    this.#context.abort(status);
  }

  async #answer(request: Uint8Array): Promise<void> {
    const context = this.#context;
    try {
      const response = await this.#method.handle(context.decode(request), context);
      if (context.over) return;
      context.wire.send(context.encode(response), nothing);
      context.end(ok);
    } catch (error) {
      context.end(context.statusOf(error));
    }
  }
}

class StreamCall implements Incoming, Stream<unknown, unknown> {
  readonly streaming = true;
  readonly requests: AsyncIterable<unknown>;
  readonly #method: StreamMethod<unknown, unknown>;
  readonly #context: Context;
  /** Whoever waits for the next request. */
  #reader: ((result: IteratorResult<unknown, undefined>) => void) | undefined;
  #exhausted = false;
  #queuedBytes = 0;
  #waiting: (() => void)[] = [];

  constructor(method: StreamMethod<unknown, unknown>, context: Context) {
    this.#method = method;
    this.#context = context;
    const iterator = { next: () => this.#next(), return: () => this.#stopReading() };
    this.requests = { [Symbol.asyncIterator]: () => iterator };
  }

  start(): void {
    void this.#run();
  }

  get signal(): AbortSignal {
    return this.#context.signal;
  }

  get peer(): string {
    return this.#context.peer;
  }

  get commonName(): string | undefined {
    return this.#context.commonName;
  }

  get deadlineMs(): number | undefined {
    return this.#context.deadlineMs;
  }

  get requestBytes(): number {
    return this.#context.requestBytes;
  }

  metadata(key: string): string | undefined {
    return this.#context.metadata(key);
  }

  get writable(): boolean {
    return this.#queuedBytes < this.#context.sendQueueBytesMax;
  }

  send(response: unknown): void {
    if (this.#context.over) return;
    const bytes = this.#context.encode(response);
    this.#queuedBytes += bytes.length;
    this.#context.wire.send(bytes, () => {
      this.#queuedBytes -= bytes.length;
      if (this.writable) this.#wake();
    });
  }

  drained(): Promise<void> {
    if (this.#context.over || this.writable) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  message(bytes: Uint8Array): void {
    if (this.#context.over) return;
    try {
      this.#give({ done: false, value: this.#context.decode(bytes) });
    } catch (error) {
      this.abort(this.#context.statusOf(error));
    }
  }

  halfClose(): void {
    this.#exhausted = true;
    this.#give({ done: true, value: undefined });
  }

  cancel(code: Code): void {
    this.#context.cancel(code);
    this.halfClose();
    this.#wake();
  }

  abort(status: Status): void {
    this.#context.abort(status);
    this.halfClose();
    this.#wake();
  }

  async #run(): Promise<void> {
    const context = this.#context;
    try {
      await this.#method.handle(this);
      context.end(ok);
    } catch (error) {
      context.end(context.statusOf(error));
    }
  }

  #next(): Promise<IteratorResult<unknown, undefined>> {
    if (this.#exhausted) return this.#stopReading();
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#context.wire.read();
    });
  }

  #stopReading(): Promise<IteratorResult<unknown, undefined>> {
    this.#exhausted = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  #give(result: IteratorResult<unknown, undefined>): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.(result);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function nothing(): void {
  // Nobody waits for it: one response is all there is.
}
