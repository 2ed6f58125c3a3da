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

/** Writes the header of the message that begins behind it: `bytes` is both. */
export function writeMessageHeader(bytes: Uint8Array): void {
  bytes[0] = 0;
  writeU32(bytes, 1, bytes.length - messageHeaderBytes);
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

/** Puts together the messages of one body. */
export class MessageReader {
  readonly #bytesMax: number;
  readonly #inflate: Inflate | undefined;
  /** The message that is not whole: parts of it, and how much they are. */
  #parts: Uint8Array[] = [];
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
    let source = bytes;
    let at = from;
    let end = to;
    if (this.#held > 0) {
      this.#keep(bytes, from, to);
      if (this.#held < messageHeaderBytes || this.#held < this.#needed()) return;
      source = this.#whole();
      at = 0;
      end = source.length;
    }
    while (end - at >= messageHeaderBytes) {
      const next = at + messageHeaderBytes + this.#lengthAt(source, at);
      if (next > end) break;
      take(this.#message(source, at, next));
      at = next;
    }
    if (at < end) this.#keep(source, at, end);
  }

  /** A copy: what arrives lies in the memory of a whole packet. */
  #keep(bytes: Uint8Array, from: number, to: number): void {
    this.#parts.push(bytes.slice(from, to));
    this.#held += to - from;
    // The header shall lie in one piece.
    if (this.#parts.length > 1 && (this.#parts[0] as Uint8Array).length < messageHeaderBytes) {
      this.#parts = [Buffer.concat(this.#parts)];
    }
    const [first] = this.#parts;
    if (this.#held >= messageHeaderBytes && first !== undefined) this.#lengthAt(first, 0);
  }

  /** How much the message that is not whole is, with its header. */
  #needed(): number {
    return messageHeaderBytes + this.#lengthAt(this.#parts[0] as Uint8Array, 0);
  }

  #whole(): Uint8Array {
    const whole = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#held = 0;
    return whole;
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
