/**
 * A stream (RFC 9113, section 5): one request and its response. A server's streams begin open or,
 * without a body, half-closed:
 *
 *   open ── END_STREAM received ──► half-closed (remote) ──┐
 *     └── END_STREAM sent ──► half-closed (local) ─────────┴──► closed ◄── RST_STREAM, either way
 */

import { Queue } from "../../lib/queue.ts";
import type { HeaderField } from "../hpack/encoder.ts";
import { type ErrorCode, errorCodes, StreamError } from "./error.ts";
import type { Sender } from "./sender.ts";
import { windowBytesMax } from "./settings.ts";

/** Takes what a client does on a stream. */
export interface StreamReceiver {
  /** A part of the body: bytes[from, to), which nobody overwrites later. */
  data(bytes: Uint8Array, from: number, to: number): void;
  /** The client sends nothing more. */
  halfClosed(): void;
  /** The stream is over, and not because it was ended here. Called at most once, last. */
  reset(): void;
}

/** What a stream needs of its connection. */
export interface StreamOwner {
  readonly sender: Sender;
  /** Both sides have ended, or the stream is to be reset with `code`. */
  close(stream: Stream, code: ErrorCode | undefined): void;
  /** Bytes that wait for the client, more or fewer. */
  queued(bytes: number): void;
}

interface Chunk {
  readonly bytes: Uint8Array;
  readonly taken: (() => void) | undefined;
}

export class Stream {
  readonly id: number;
  receiver: StreamReceiver = ignore;
  readonly #owner: StreamOwner;
  /** The client has ended its side. */
  #isRemoteEnded = false;
  /** Bytes of the body that are still to come, where the client said how many. */
  #contentLeft: number | undefined;
  /** Bytes that the client may send, at first and now, and those it may soon send again. */
  readonly #receiveBytesMax: number;
  #receiveWindow: number;
  #owed = 0;
  #sendWindow: number;
  /** What waits to be sent; none before something does. */
  #queue: Queue<Chunk> | undefined;
  #queuedBytes = 0;
  /** How much of the first chunk is sent. */
  #sent = 0;
  #trailers: readonly HeaderField[] | undefined;
  #isLocalEnded = false;

  constructor(id: number, owner: StreamOwner, receiveBytesMax: number) {
    this.id = id;
    this.#owner = owner;
    this.#receiveBytesMax = receiveBytesMax;
    this.#receiveWindow = receiveBytesMax;
    this.#sendWindow = owner.sender.peer.initialWindowBytes;
  }

  /** Whether the client has ended its side. */
  get isRemoteEnded(): boolean {
    return this.#isRemoteEnded;
  }

  /** Whether nothing more can be sent. */
  get isLocalEnded(): boolean {
    return this.#isLocalEnded;
  }

  /** The request has this many bytes of body, if that is known, and none follows if it `isEnd`. */
  begin(contentLength: number | undefined, isEnd: boolean): void {
    this.#contentLeft = contentLength;
    this.receive(0, 0, isEnd);
  }

  /**
   * Counts a frame of `length` bytes, `bodyBytes` of them body. StreamError where the client may
   * not send as many, or said that it would send another number.
   */
  receive(length: number, bodyBytes: number, isEnd: boolean): void {
    this.#receiveWindow -= length;
    if (this.#receiveWindow < 0) {
      throw new StreamError(errorCodes.flowControlError, "more DATA than the stream's window");
    }
    if (this.#contentLeft !== undefined) {
      this.#contentLeft -= bodyBytes;
      if (this.#contentLeft < 0 || (isEnd && this.#contentLeft > 0)) {
        throw new StreamError(errorCodes.protocolError, "a body of another length than was told");
      }
    }
    if (isEnd) this.#isRemoteEnded = true;
  }

  /** Sends the header of the response; with `isEnd` it is all there is. */
  respond(fields: readonly HeaderField[], isEnd: boolean): void {
    if (this.#isLocalEnded) return;
    this.#owner.sender.headers(this.id, fields, isEnd);
    if (isEnd) this.#ended();
  }

  /** Sends a whole response: `head`, a body that is `bytes`, `trailers`. */
  answer(head: readonly HeaderField[], bytes: Uint8Array, trailers: readonly HeaderField[]): void {
    if (this.#isLocalEnded) return;
    if (this.#waits || this.#allowance(bytes.length) < bytes.length) {
      this.respond(head, false);
      this.write(bytes);
      this.end(trailers);
      return;
    }
    this.#sendWindow -= bytes.length;
    this.#owner.sender.answer(this.id, head, bytes, trailers);
    this.#ended();
  }

  /** Sends a part of the body; `taken` is called when it has left the queue, which may be at once. */
  write(bytes: Uint8Array, taken?: () => void): void {
    if (this.#isLocalEnded || this.#trailers !== undefined) return;
    if (!this.#waits && this.#allowance(bytes.length) === bytes.length) {
      this.#frame(bytes, 0, bytes.length);
      taken?.();
      return;
    }
    this.#queue ??= new Queue();
    this.#queue.push({ bytes, taken });
    this.#queuedBytes += bytes.length;
    this.#owner.queued(bytes.length);
    this.#wait();
  }

  /** Ends the stream behind all that was written. */
  end(trailers: readonly HeaderField[]): void {
    if (this.#isLocalEnded || this.#trailers !== undefined) return;
    if (this.#waits) {
      this.#trailers = trailers;
      return;
    }
    this.#owner.sender.headers(this.id, trailers, true);
    this.#ended();
  }

  /** Ends the stream at once: what was written and not sent never is. */
  reset(code: ErrorCode): void {
    if (this.#isLocalEnded && this.#isRemoteEnded) return;
    this.#owner.close(this, code);
  }

  /** The client may send `bytes` again: those that came are of no concern any more. */
  restore(bytes: number): void {
    if (this.#isRemoteEnded) return;
    this.#owed += bytes;
    if (this.#owed < this.#receiveBytesMax / 2) return;
    this.#owner.sender.windowUpdate(this.id, this.#owed);
    this.#receiveWindow += this.#owed;
    this.#owed = 0;
  }

  /** The client takes `increment` bytes more (or fewer); false when that is more than there may be. */
  widen(increment: number): boolean {
    this.#sendWindow += increment;
    if (this.#sendWindow > windowBytesMax) return false;
    if (this.#waits) this.#wait();
    return true;
  }

  /** Sends one frame of what waits. */
  pump(): void {
    const chunk = this.#queue?.peek();
    if (chunk === undefined) return;
    const left = chunk.bytes.length - this.#sent;
    const length = this.#allowance(left);
    if (length === 0 && left > 0) {
      this.#wait();
      return;
    }
    this.#frame(chunk.bytes, this.#sent, this.#sent + length);
    this.#queuedBytes -= length;
    this.#owner.queued(-length);
    this.#sent += length;
    if (length === left) {
      this.#sent = 0;
      this.#queue?.shift();
      chunk.taken?.();
    }
    if (this.#waits) this.#wait();
    else if (this.#trailers !== undefined) {
      this.#owner.sender.headers(this.id, this.#trailers, true);
      this.#ended();
    }
  }

  /** Ends the stream if what waits can never be sent: see Sender.isHopeless. */
  giveUpIfHopeless(): void {
    if (this.#waits) this.#wait();
  }

  /** The stream is over: what waits is dropped. */
  drop(): void {
    this.#isLocalEnded = true;
    this.#isRemoteEnded = true;
    this.#owner.sender.forget(this);
    if (this.#queuedBytes > 0) this.#owner.queued(-this.#queuedBytes);
    this.#queue = undefined;
    this.#queuedBytes = 0;
  }

  get #waits(): boolean {
    return this.#queue !== undefined && this.#queue.length > 0;
  }

  #allowance(length: number): number {
    return this.#owner.sender.allowance(length, this.#sendWindow);
  }

  /** Waits for its turn, unless it is its own window that is used up. */
  #wait(): void {
    const { sender } = this.#owner;
    if (sender.isHopeless(this.#queuedBytes, this.#sendWindow)) this.reset(errorCodes.cancel);
    else if (this.#sendWindow > 0) sender.wait(this);
  }

  #frame(bytes: Uint8Array, from: number, to: number): void {
    this.#sendWindow -= to - from;
    this.#owner.sender.data(this.id, bytes, from, to);
  }

  #ended(): void {
    this.#isLocalEnded = true;
    // Who has all of the answer need not send the rest of the question (section 8.1).
    this.#owner.close(this, this.#isRemoteEnded ? undefined : errorCodes.noError);
  }
}

const ignore: StreamReceiver = {
  data: () => undefined,
  halfClosed: () => undefined,
  reset: () => undefined,
};
