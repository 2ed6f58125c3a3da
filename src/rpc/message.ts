/**
 * Messages in a body, as gRPC frames them; they begin and end anywhere in frames of DATA:
 *
 *   +----------------+-----------------+------------------------+
 *   | compressed (8) |  length (32)    |  message (length) ...
 *   +----------------+-----------------+------------------------+
 */

import type { Inflate } from "./compression.ts";
import { readU32, writeU32 } from "./http2/frame.ts";
import { codes, StatusError } from "./status.ts";

export const messageHeaderBytes = 5;

/** Writes the header of a message of `length` bytes at the beginning of `bytes`. */
export function writeMessageHeader(bytes: Uint8Array, length: number): void {
  bytes[0] = 0;
  writeU32(bytes, 1, length);
}

/** Whether bytes[from, to) are one message, not compressed and of `bytesMax` bytes at most. */
export function wholeMessage(
  bytes: Uint8Array,
  from: number,
  to: number,
  bytesMax: number,
): boolean {
  const length = to - from - messageHeaderBytes;
  if (length < 0 || length > bytesMax || bytes[from] !== 0) return false;
  return readU32(bytes, from + 1) === length;
}

/** The least that is set aside for a message that is not whole. */
const roomBytesMin = 256;

/** Puts together the messages of one body. */
export class MessageReader {
  readonly #bytesMax: number;
  readonly #inflate: Inflate | undefined;
  /** The message that is not whole, header included, and how much of it has come. */
  #room: Uint8Array = new Uint8Array(0);
  #held = 0;

  /** Messages are of `bytesMax` bytes at most; `inflate` undoes the encoding of compressed ones. */
  constructor(bytesMax: number, inflate: Inflate | undefined) {
    this.#bytesMax = bytesMax;
    this.#inflate = inflate;
  }

  /** Bytes of a message that is not whole. */
  get held(): number {
    return this.#held;
  }

  /**
   * Takes bytes[from, to) and calls `take` with each message that is whole. StatusError for one that
   * is too large or compressed in a way that was not announced.
   */
  push(bytes: Uint8Array, from: number, to: number, take: (message: Uint8Array) => void): void {
    let at = from;
    while (this.#held > 0 && at < to) at = this.#complete(bytes, at, to, take);
    while (to - at >= messageHeaderBytes) {
      const next = at + messageHeaderBytes + this.#lengthAt(bytes, at);
      if (next > to) break;
      take(this.#message(bytes, at, next));
      at = next;
    }
    if (at < to) this.#keep(bytes, at, to);
  }

  /** Adds to the message that is not whole what belongs to it; returns where that ends. */
  #complete(
    bytes: Uint8Array,
    from: number,
    to: number,
    take: (message: Uint8Array) => void,
  ): number {
    const isHeaderThere = this.#held >= messageHeaderBytes;
    const length = isHeaderThere ? this.#lengthAt(this.#room, 0) : 0;
    const end = Math.min(to, from + messageHeaderBytes + length - this.#held);
    this.#keep(bytes, from, end);
    if (this.#held < messageHeaderBytes) return end;
    const whole = messageHeaderBytes + this.#lengthAt(this.#room, 0);
    if (this.#held < whole) return end;
    const message = this.#message(this.#room, 0, whole);
    this.#room = new Uint8Array(0);
    this.#held = 0;
    take(message);
    return end;
  }

  /** A copy: what arrives lies in the memory of a whole packet. */
  #keep(bytes: Uint8Array, from: number, to: number): void {
    const held = this.#held + to - from;
    if (held > this.#room.length) {
      const room = new Uint8Array(Math.max(roomBytesMin, held, 2 * this.#room.length));
      room.set(this.#room.subarray(0, this.#held));
      this.#room = room;
    }
    this.#room.set(bytes.subarray(from, to), this.#held);
    this.#held = held;
  }

  /** The length of the message whose header is at `at`. */
  #lengthAt(bytes: Uint8Array, at: number): number {
    const length = readU32(bytes, at + 1);
    if (length <= this.#bytesMax) return length;
    throw new StatusError(
      codes.resourceExhausted,
      `grpc: received message larger than max (${length} vs. ${this.#bytesMax})`,
    );
  }

  #message(bytes: Uint8Array, at: number, end: number): Uint8Array {
    const message = bytes.subarray(at + messageHeaderBytes, end);
    const flag = bytes[at];
    if (flag === 0) return message;
    if (flag !== 1) {
      throw new StatusError(codes.internal, `grpc: received unexpected payload format ${flag}`);
    }
    if (this.#inflate !== undefined) return this.#inflate(message, this.#bytesMax);
    throw new StatusError(
      codes.internal,
      "grpc: compressed flag set with identity or empty encoding",
    );
  }
}
