/** A call with one request and one response. */
import { assert } from "../lib/assert.ts";
import { copyOf } from "../lib/bytes.ts";
import { type Caller, type Calls, cutShort, type Entry, noRequest, ServerCall } from "./call.ts";
import type { Head } from "./head.ts";
import type { Stream } from "./http2/stream.ts";
import { MessageReader, messageHeaderBytes, wholeMessage, writeMessageHeader } from "./message.ts";
import type { Reply, UnaryMethod } from "./service.ts";
import { codes, ok, StatusError } from "./status.ts";
import { responseHead, trailersOf } from "./trailers.ts";

/** As Go's gRPC says it of unary calls. */
const malformed = "grpc: error unmarshalling request";

export class UnaryCall extends ServerCall implements Reply<unknown> {
  readonly #method: UnaryMethod<unknown, unknown>;
  /** Puts the request together where it comes in pieces, or compressed. */
  #reader: MessageReader | undefined;
  #request: Uint8Array | undefined;
  #from = 0;
  #to = 0;
  /** An answer is on its way, in pieces. */
  #isAnswered = false;

  constructor(
    method: UnaryMethod<unknown, unknown>,
    entry: Entry,
    head: Head,
    stream: Stream,
    caller: Caller,
    calls: Calls,
  ) {
    super(entry, head, stream, caller, calls);
    this.#method = method;
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    if (this.isOver) return;
    if (this.#request === undefined && this.#reader === undefined) {
      if (wholeMessage(bytes, from, to, this.calls.receiveBytesMax)) {
        this.#take(bytes, from + messageHeaderBytes, to);
        this.stream.restore(to - from);
        return;
      }
    }
    this.#read(bytes, from, to);
  }

  halfClosed(): void {
    if (this.isOver) return;
    if (this.#request !== undefined) this.#ask(this.#request);
    else this.end((this.#reader?.held ?? 0) > 0 ? cutShort : noRequest);
  }

  /** Answers the call, unless it is over. */
  send(response: unknown): void {
    if (this.isOver || this.#isAnswered) return;
    let message: Uint8Array;
    try {
      message = this.encode(response, messageHeaderBytes);
    } catch (error) {
      this.fail(error);
      return;
    }
    writeMessageHeader(message, message.length - messageHeaderBytes);
    this.settle(codes.ok);
    this.stream.answer(responseHead, message, trailersOf(ok));
  }

  /** Answers with a message in pieces, unless the call is over. */
  sendPieces(length: number, pieces: Iterator<Uint8Array, undefined>): void {
    if (this.isOver || this.#isAnswered) return;
    this.#isAnswered = true;
    try {
      this.sending(length);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.respond();
    this.hold(length);
    let left = length;
    const next = () => {
      if (this.isOver) return;
      try {
        const { value } = pieces.next();
        assert(value !== undefined || left === 0, "a message is as long as was said");
        if (value === undefined) {
          this.end(ok);
          return;
        }
        left -= value.length;
        this.hold(left);
        this.stream.write(value, next);
      } catch (error) {
        this.fail(error);
      }
    };
    const header = new Uint8Array(messageHeaderBytes);
    writeMessageHeader(header, length);
    this.stream.write(header, next);
  }

  /** Ends the call with what went wrong. */
  fail(error: unknown): void {
    this.end(this.statusOf(error));
  }

  protected ended(): void {
    this.#request = undefined;
    this.#reader = undefined;
  }

  #ask(bytes: Uint8Array): void {
    try {
      this.#method.handle(this.decode(bytes, this.#from, this.#to, malformed), this, this);
    } catch (error) {
      this.fail(error);
    }
  }

  #read(bytes: Uint8Array, from: number, to: number): void {
    if (this.#request !== undefined) {
      // What comes behind the request is of no concern.
      this.stream.restore(to - from);
      return;
    }
    this.#reader ??= new MessageReader(this.calls.receiveBytesMax, this.head.inflate);
    try {
      this.#reader.push(bytes, from, to, (message) => this.#take(message, 0, message.length));
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      this.end(error);
      return;
    }
    this.stream.restore(to - from);
    if (this.#request === undefined) this.hold(this.#reader.held);
  }

  /** The first message is the request; Go's gRPC does not mind more, either. */
  #take(bytes: Uint8Array, from: number, to: number): void {
    if (this.#request !== undefined) return;
    // One that waits for the client's half-close must not keep all of the packet it came in.
    const isComplete = this.stream.isRemoteEnded;
    this.#request = isComplete ? bytes : copyOf(bytes, from, to);
    this.#from = isComplete ? from : 0;
    this.#to = isComplete ? to : to - from;
    if (!isComplete) this.hold(to - from);
  }
}
