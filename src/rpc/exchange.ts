/**
 * A call on a stream of HTTP/2: messages out of the body, messages and the status into the response.
 *
 *   Stream ── data, halfClosed, reset ──► Exchange ── message, halfClose, cancel ──► call
 *   Stream ◄── respond, write, end ────── Exchange ◄── read, send, end ───────────── call
 */
import { type Calls, callOf, type Entry, type Incoming, type Wire } from "./call.ts";
import type { Deadlines, Due } from "./deadlines.ts";
import { type Head, metadataOf } from "./head.ts";
import { errorCodes } from "./http2/error.ts";
import type { Stream, StreamReceiver } from "./http2/stream.ts";
import { framed, MessageReader } from "./message.ts";
import { codes, type Status, StatusError } from "./status.ts";
import { headOnly, responseHead, trailersOf } from "./trailers.ts";

/** What the exchanges of a server share. */
export interface ExchangeOptions {
  readonly calls: Calls;
  readonly deadlines: Deadlines;
  readonly receiveBytesMax: number;
  /** Notes that more bytes of requests wait, or fewer; true when there are too many. */
  readonly hold: (bytes: number) => boolean;
}

/** Who is at the other end. */
export interface Caller {
  readonly peer: string;
  readonly commonName: string | undefined;
}

const late: Status = { code: codes.deadlineExceeded, message: "context deadline exceeded" };
const cutShort: Status = { code: codes.internal, message: "unexpected EOF" };
const overfull: Status = {
  code: codes.resourceExhausted,
  message: "too many bytes of requests wait to be handled",
};

export class Exchange implements StreamReceiver, Wire, Due {
  readonly deadlineMs: number | undefined;
  dueMs = 0;
  readonly #options: ExchangeOptions;
  readonly #caller: Caller;
  readonly #head: Head;
  readonly #stream: Stream;
  readonly #call: Incoming;
  readonly #reader: MessageReader;
  /** Messages that nobody has asked for, and whether somebody waits for one. */
  #unread: Uint8Array[] = [];
  #wants = false;
  #isHalfClosed = false;
  /** Bytes that came and are not handled: the client may not send as many again yet. */
  #pending = 0;
  /** Of those, what is counted as held. */
  #held = 0;
  #hasResponded = false;
  #isOver = false;

  constructor(entry: Entry, head: Head, stream: Stream, caller: Caller, options: ExchangeOptions) {
    this.#options = options;
    this.#caller = caller;
    this.#head = head;
    this.#stream = stream;
    this.deadlineMs = head.timeoutMs;
    this.#reader = new MessageReader(options.receiveBytesMax, head.inflate);
    this.#call = callOf(entry, this, options.calls);
  }

  /** Sets the call going, once the stream tells this of what comes. */
  start(): void {
    if (this.deadlineMs !== undefined) this.#options.deadlines.set(this, this.deadlineMs);
    this.#call.start();
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    if (this.#isOver) return;
    this.#pending += to - from;
    try {
      this.#reader.push(bytes, from, to, (message) => this.#take(message));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.#call.abort(error);
    }
    if (this.#hold()) this.#call.abort(overfull);
  }

  halfClosed(): void {
    this.#isHalfClosed = true;
    if (this.#reader.held > 0) this.#call.abort(cutShort);
    else this.#deliver();
  }

  reset(): void {
    this.#release();
    this.#call.cancel(codes.cancelled);
  }

  expire(): void {
    this.#call.abort(late);
    // What the client has not taken by now it does not wait for.
    if (!this.#stream.isLocalEnded) this.#stream.reset(errorCodes.cancel);
  }

  get peer(): string {
    return this.#caller.peer;
  }

  get commonName(): string | undefined {
    return this.#caller.commonName;
  }

  metadata(key: string): string | undefined {
    return metadataOf(this.#head.fields, key);
  }

  read(): void {
    this.#wants = true;
    this.#deliver();
  }

  send(message: Uint8Array, done: () => void): void {
    if (this.#isOver) return;
    this.#respond();
    this.#stream.write(framed(message), done);
  }

  end(status: Status): void {
    if (this.#isOver) return;
    this.#release();
    if (this.#hasResponded || status.code === codes.ok) {
      this.#respond();
      this.#stream.end(trailersOf(status));
    } else this.#stream.respond(headOnly(status), true);
  }

  #respond(): void {
    if (this.#hasResponded) return;
    this.#hasResponded = true;
    this.#stream.respond(responseHead, false);
  }

  #take(message: Uint8Array): void {
    if (this.#wants && this.#unread.length === 0) {
      this.#wants = false;
      this.#call.message(message);
    } else this.#unread.push(message);
  }

  /** Gives whoever waits the next message, or the end. */
  #deliver(): void {
    while (this.#wants && this.#unread.length > 0) {
      this.#wants = false;
      this.#call.message(this.#unread.shift() as Uint8Array);
    }
    this.#hold();
    if (this.#isHalfClosed && this.#wants && !this.#isOver) {
      this.#wants = false;
      this.#call.halfClose();
    }
  }

  /** Lets the client send as much as was handled; true when all clients together have sent too much. */
  #hold(): boolean {
    const isHandled = this.#unread.length === 0;
    if (isHandled && this.#pending > 0) {
      this.#stream.restore(this.#pending);
      this.#pending = 0;
    }
    const held = this.#isOver ? 0 : isHandled ? this.#reader.held : this.#pending;
    if (held === this.#held) return false;
    const growth = held - this.#held;
    this.#held = held;
    return this.#options.hold(growth) && growth > 0;
  }

  /** The call is over: nothing of it is kept. */
  #release(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.deadlineMs !== undefined) this.#options.deadlines.clear(this);
    this.#unread = [];
    this.#hold();
  }
}
