/**
 * Writes MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md), in a buffer that is
 * used again for each message. Of the forms a value may have it takes the shortest; whole numbers
 * from 2^32 on are floats of 64 bits, and a bigint is an integer of 64 bits whatever its size.
 */
import { assert } from "./assert.ts";
import { Beginnings, type ByteString, putText } from "./bytes.ts";

const bytesMin = 4096;
/** A buffer that grew beyond this for one large message is given back. */
const bytesKept = 2 ** 21;
/** The head of any value: its kind, and a length or a number of up to 64 bits. */
const headBytesMax = 9;
/** What a character of a byte string takes in UTF-8 at most. */
const utf8BytesMax = 2;

export class MsgpackWriter {
  #bytes = Buffer.allocUnsafeSlow(bytesMin);
  #beginnings = new Beginnings(this.#bytes);
  #at = 0;

  /** Begins a message. */
  begin(): void {
    if (this.#bytes.length > bytesKept) this.#take(Buffer.allocUnsafeSlow(bytesMin));
    this.#at = 0;
  }

  /** The message, valid until `begin`. */
  end(): Buffer {
    return this.#beginnings.of(this.#at);
  }

  /** The head of an array, whose values follow. */
  array(length: number): void {
    this.#reserve(headBytesMax);
    if (length < 0x10) this.#u8(0x90 | length);
    else this.#head(length, 0, 0xdc, 0xdd);
  }

  /** A whole number, at least 0. */
  number(value: number): void {
    assert(value >= 0, "numbers are written from 0 on");
    this.#reserve(headBytesMax);
    if (value < 0x80) this.#u8(value);
    else if (value < 2 ** 32) this.#head(value, 0xcc, 0xcd, 0xce);
    else {
      this.#u8(0xcb);
      this.#at = this.#bytes.writeDoubleBE(value, this.#at);
    }
  }

  /** A signed integer of 64 bits. */
  bigint(value: bigint): void {
    this.#reserve(headBytesMax);
    this.#u8(0xd3);
    this.#at = this.#bytes.writeBigInt64BE(value, this.#at);
  }

  /** A string whose characters are those of `text`, below 256 each. */
  text(text: ByteString): void {
    this.#reserve(headBytesMax + text.length * utf8BytesMax);
    const guess = headBytesOfText(text.length);
    const textAt = this.#at + guess;
    const length = putText(this.#bytes, text, textAt) - textAt;
    const head = headBytesOfText(length);
    if (head !== guess) this.#bytes.copyWithin(this.#at + head, textAt, textAt + length);
    if (length < 0x20) this.#u8(0xa0 | length);
    else this.#head(length, 0xd9, 0xda, 0xdb);
    this.#at += length;
  }

  /** Binary data. */
  binary(bytes: Uint8Array): void {
    this.#reserve(headBytesMax + bytes.length);
    this.#head(bytes.length, 0xc4, 0xc5, 0xc6);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** A kind and a number of one byte, of two or of four; `one` is 0 where there is no such kind. */
  #head(value: number, one: number, two: number, four: number): void {
    if (one !== 0 && value < 0x100) {
      this.#u8(one);
      this.#u8(value);
    } else if (value < 0x10000) {
      this.#u8(two);
      this.#at = this.#bytes.writeUInt16BE(value, this.#at);
    } else {
      this.#u8(four);
      this.#at = this.#bytes.writeUInt32BE(value, this.#at);
    }
  }

  #u8(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  #reserve(more: number): void {
    const wanted = this.#at + more;
    if (wanted <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#take(grown);
  }

  #take(bytes: Buffer<ArrayBuffer>): void {
    this.#bytes = bytes;
    this.#beginnings = new Beginnings(bytes);
  }
}

/** Bytes of the head of a text of that many bytes. */
function headBytesOfText(length: number): number {
  if (length < 0x20) return 1;
  if (length < 0x100) return 2;
  return length < 0x10000 ? 3 : 5;
}
