/** A call with many requests, many responses, or both. */
import { copyOf } from "../lib/bytes.ts";
import { Queue } from "../lib/queue.ts";
import { type Caller, type Calls, cutShort, type Entry, noRequest, ServerCall } from "./call.ts";
import type { Head } from "./head.ts";
import type { Stream as Http2Stream } from "./http2/stream.ts";
import { MessageReader, messageHeaderBytes, writeMessageHeader } from "./message.ts";
import type { Stream, StreamMethod } from "./service.ts";
import { ok, StatusError } from "./status.ts";

/** As Go's gRPC says it of streams. */
const malformed = "grpc: failed to unmarshal the received message";

/** What a message takes besides its bytes, about. */
const messageOverheadBytes = 192;

type Reader = (result: IteratorResult<unknown, undefined>) => void;

export class StreamingCall extends ServerCall implements Stream<unknown, unknown> {
  readonly requests: AsyncIterable<unknown>;
  readonly #method: StreamMethod<unknown, unknown>;
  readonly #messages: MessageReader;
  /** Messages that nobody has asked for. */
  readonly #unread = new Queue<Uint8Array>();
  #unreadBytes = 0;
  /** Bytes that came and are not handled: the client may not send as many again yet. */
  #pending = 0;
  /** Whoever waits for the next request. */
  #reader: Reader | undefined;
  #hasRequest = false;
  #isHalfClosed = false;
  #hasStoppedReading = false;
  #queuedBytes = 0;
  #waiting: (() => void)[] = [];

  constructor(
    method: StreamMethod<unknown, unknown>,
    entry: Entry,
    head: Head,
    stream: Http2Stream,
    caller: Caller,
    calls: Calls,
  ) {
    super(entry, head, stream, caller, calls);
    this.#method = method;
    this.#messages = new MessageReader(calls.receiveBytesMax, head.inflate);
    const iterator = { next: () => this.#next(), return: () => this.#stopReading() };
    this.requests = { [Symbol.asyncIterator]: () => iterator };
    calls.streaming.add(this);
  }

  override begin(): void {
    super.begin();
    void this.#run();
  }

  async #run(): Promise<void> {
    try {
      await this.#method.handle(this);
      this.end(ok);
    } catch (error) {
      this.abort(this.statusOf(error));
    }
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    if (this.isOver) return;
    this.#pending += to - from;
    try {
      this.#messages.push(bytes, from, to, (message) => this.#take(message));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.abort(error);
    }
    this.#deliver();
  }

  halfClosed(): void {
    this.#isHalfClosed = true;
    if (this.#messages.held > 0) this.abort(cutShort);
    else if (this.#method.kind === "serverStream" && !this.#hasRequest) this.abort(noRequest);
    else this.#deliver();
  }

  get writable(): boolean {
    return this.#queuedBytes < this.calls.sendQueueBytesMax;
  }

  send(response: unknown): void {
    if (this.isOver) return;
    const message = this.encode(response, messageHeaderBytes);
    writeMessageHeader(message, message.length - messageHeaderBytes);
    this.respond();
    this.#queuedBytes += message.length;
    this.stream.write(message, () => {
      this.#queuedBytes -= message.length;
      if (this.writable) this.#wake();
    });
  }

  drained(): Promise<void> {
    if (this.isOver || this.writable) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  protected ended(): void {
    this.calls.streaming.delete(this);
    this.#unread.clear();
    this.#deliver();
    this.#wake();
  }

  /** One that has to wait must not keep all of the packet it came in. */
  #take(message: Uint8Array): void {
    this.#hasRequest = true;
    const waits = this.#reader === undefined || this.#unread.length > 0;
    this.#unreadBytes += message.length + messageOverheadBytes;
    this.#unread.push(waits ? copyOf(message) : message);
  }

  #next(): Promise<IteratorResult<unknown, undefined>> {
    return new Promise((resolve) => {
      this.#reader = resolve;
      this.#deliver();
    });
  }

  #stopReading(): Promise<IteratorResult<unknown, undefined>> {
    this.#hasStoppedReading = true;
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Gives whoever waits the next request, or the end. */
  #deliver(): void {
    const reader = this.#reader;
    if (reader !== undefined) {
      const result = this.#result();
      if (result !== undefined) {
        this.#reader = undefined;
        reader(result);
      }
    }
    if (this.#unread.length === 0 && this.#pending > 0) {
      this.stream.restore(this.#pending);
      this.#pending = 0;
    }
    if (!this.isOver) this.hold(this.#unreadBytes + this.#messages.held);
  }

  #result(): IteratorResult<unknown, undefined> | undefined {
    if (this.isOver || this.#hasStoppedReading) return { done: true, value: undefined };
    const message = this.#unread.shift();
    if (message === undefined) {
      return this.#isHalfClosed ? { done: true, value: undefined } : undefined;
    }
    this.#unreadBytes -= message.length + messageOverheadBytes;
    try {
      return { done: false, value: this.decode(message, 0, message.length, malformed) };
    } catch (error) {
      this.abort(this.statusOf(error));
      return { done: true, value: undefined };
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
