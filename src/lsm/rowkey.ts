/**
 * A key that is being made, as bytes. One is used for key after key: whoever makes a row's key
 * writes it, whoever keeps it copies it, and nothing is allocated in between.
 */
import { type ByteString, copyShort, putBytes } from "../lib/bytes.ts";
import { bytesHash } from "./filter.ts";
import { type KeyView, slabFor } from "./view.ts";

const bytesMin = 256;
const high = 2 ** 32;

export class RowKey implements KeyView {
  keyBytes: Buffer;
  keyWords: DataView;
  keyAt: number;
  keyEnd: number;
  #room: number;
  #prefixLength = 0;

  constructor() {
    const slab = slabFor(bytesMin);
    this.keyBytes = slab.bytes;
    this.keyWords = slab.words;
    this.keyAt = slab.take(bytesMin);
    this.keyEnd = this.keyAt;
    this.#room = bytesMin;
  }

  /** The hash of its prefix, as `prefixHash` has it. */
  get hash(): number {
    return bytesHash(this, this.#prefixLength);
  }

  /** Begins a new key, of `length` bytes at most. */
  begin(length: number): void {
    if (length > this.#room) {
      const room = length * 2;
      const slab = slabFor(room);
      this.keyBytes = slab.bytes;
      this.keyWords = slab.words;
      this.keyAt = slab.take(room);
      this.#room = room;
    }
    this.keyEnd = this.keyAt;
  }

  /** The prefix that lookups go by (Schema.prefixLength) ends here. */
  endPrefix(): void {
    this.#prefixLength = this.keyEnd - this.keyAt;
  }

  text(text: ByteString): void {
    this.keyEnd = putBytes(this.keyBytes, text, this.keyEnd);
  }

  u8(value: number): void {
    this.keyBytes[this.keyEnd++] = value;
  }

  /** As orderedU32. */
  u32(value: number): void {
    this.keyWords.setUint32(this.keyEnd, value);
    this.keyEnd += 4;
  }

  /** As orderedU64. */
  u64(value: number): void {
    const upper = Math.floor(value / high);
    this.u32(upper);
    this.u32(value - upper * high);
  }

  /** Makes it `text`; its prefix is to be told with `endPrefixAt`. */
  take(text: ByteString): this {
    this.begin(text.length);
    this.text(text);
    return this;
  }

  /** Makes it the first `length` bytes of `key`, of which it has the first `shared` already. */
  copy(key: KeyView, length: number, shared: number): this {
    let kept = shared;
    if (length > this.#room) {
      this.begin(length);
      kept = 0;
    }
    const { keyAt, keyBytes } = key;
    const at = this.keyAt + kept;
    this.keyEnd = copyShort(keyBytes, keyAt + kept, keyAt + length, this.keyBytes, at);
    return this;
  }

  get length(): number {
    return this.keyEnd - this.keyAt;
  }

  /** Its prefix is the first `length` bytes. */
  endPrefixAt(length: number): this {
    this.#prefixLength = length;
    return this;
  }
}
