/**
 * The key of a row that is put, as bytes. One is used for row after row: whoever makes a row's key
 * writes it, whoever keeps it copies it, and nothing is allocated in between.
 */
import { type ByteString, putBytes } from "../lib/bytes.ts";
import { bytesHash } from "./filter.ts";

const bytesMin = 256;
const high = 2 ** 32;

export class RowKey {
  #bytes = Buffer.allocUnsafeSlow(bytesMin);
  #length = 0;
  #prefixLength = 0;

  /** The key's bytes, of which there are `length`. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  /** The hash of its prefix, as `prefixHash` has it. */
  get hash(): number {
    return bytesHash(this.#bytes, this.#prefixLength);
  }

  /** Begins a new key, of `length` bytes at most. */
  begin(length: number): void {
    if (length > this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(length);
    this.#length = 0;
  }

  /** The prefix that lookups go by (Schema.prefixLength) ends here. */
  endPrefix(): void {
    this.#prefixLength = this.#length;
  }

  text(text: ByteString): void {
    this.#length = putBytes(this.#bytes, text, this.#length);
  }

  u8(value: number): void {
    this.#bytes[this.#length++] = value;
  }

  /** As orderedU32. */
  u32(value: number): void {
    this.#length = this.#bytes.writeUInt32BE(value, this.#length);
  }

  /** As orderedU64. */
  u64(value: number): void {
    const upper = Math.floor(value / high);
    this.u32(upper);
    this.u32(value - upper * high);
  }

  /** Makes it `key`, whose prefix has that length. */
  take(key: ByteString, prefixLength: number): this {
    this.begin(key.length);
    this.text(key);
    this.#prefixLength = prefixLength;
    return this;
  }
}
