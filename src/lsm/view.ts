/** Rows and keys where they stand: in bytes that hold others too, and may soon hold others instead. */
import { type ByteString, byteStringOf } from "../lib/bytes.ts";

/** A key as bytes. */
export interface KeyView {
  /** The bytes that hold the key, from `keyAt` up to `keyEnd`. */
  readonly keyBytes: Buffer;
  /** The same bytes; offsets are those of `keyBytes`. */
  readonly keyWords: DataView;
  readonly keyAt: number;
  readonly keyEnd: number;
}

/** What of a row can be asked while standing on it. */
export interface RowView extends KeyView {
  readonly key: ByteString;
  /** The bytes that hold the value, from `start` up to `end`. */
  readonly bytes: Buffer;
  /** -1 for a deletion. */
  readonly start: number;
  readonly end: number;
}

const nothing = Buffer.alloc(0);

/** Where a cursor stands that has not moved yet. */
export const noRow: RowView = {
  keyBytes: nothing,
  keyWords: new DataView(nothing.buffer, 0, 0),
  keyAt: 0,
  keyEnd: 0,
  key: "",
  bytes: nothing,
  start: -1,
  end: 0,
};

/** All of `bytes`, for numbers to be read from. */
export function wordsOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Bytes that keys are taken into: many share them, because a DataView is dear to make. */
class Slab {
  readonly bytes: Buffer;
  readonly words: DataView;
  #used = 0;

  constructor(length: number) {
    this.bytes = Buffer.allocUnsafeSlow(length);
    this.words = wordsOf(this.bytes);
  }

  get left(): number {
    return this.bytes.length - this.#used;
  }

  /** Where the next `length` bytes are, which are the caller's from now on. */
  take(length: number): number {
    const at = this.#used;
    this.#used += length;
    return at;
  }
}

const slabBytes = 2 ** 16;
let slab = new Slab(slabBytes);

/** A slab with room for a key of `length` bytes. */
export function slabFor(length: number): Slab {
  if (length > slabBytes) return new Slab(length);
  if (slab.left < length) slab = new Slab(slabBytes);
  return slab;
}

/** The key as a string. */
export function keyText(key: KeyView): ByteString {
  return byteStringOf(key.keyBytes, key.keyAt, key.keyEnd);
}

/** How many bytes two keys have in common before they differ. */
export function commonBytes(one: KeyView, other: KeyView): number {
  const { keyAt: oneAt, keyBytes: oneBytes, keyWords: oneWords } = one;
  const { keyAt: otherAt, keyBytes: otherBytes, keyWords: otherWords } = other;
  const limit = Math.min(one.keyEnd - oneAt, other.keyEnd - otherAt);
  const whole = limit & ~3;
  let at = 0;
  while (
    at < whole &&
    oneWords.getInt32(oneAt + at, true) === otherWords.getInt32(otherAt + at, true)
  ) {
    at += 4;
  }
  while (at < limit && oneBytes[oneAt + at] === otherBytes[otherAt + at]) at++;
  return at;
}

/** Negative, zero or positive as `one` sorts before, at or after `other`. */
export function compareKeys(one: KeyView, other: KeyView): number {
  const common = commonBytes(one, other);
  const oneAt = one.keyAt + common;
  const otherAt = other.keyAt + common;
  if (oneAt === one.keyEnd || otherAt === other.keyEnd) {
    return one.keyEnd - one.keyAt - (other.keyEnd - other.keyAt);
  }
  return (one.keyBytes[oneAt] as number) - (other.keyBytes[otherAt] as number);
}

/** Whether `key` begins with all of `prefix`. */
export function hasPrefix(key: KeyView, prefix: KeyView): boolean {
  return commonBytes(key, prefix) === prefix.keyEnd - prefix.keyAt;
}

/** The first key after all that begin with `prefix`; undefined when there is none. */
export function afterAll(prefix: KeyView): ByteString | undefined {
  const { keyAt, keyBytes } = prefix;
  let end = prefix.keyEnd;
  while (end > keyAt && keyBytes[end - 1] === 0xff) end--;
  if (end === keyAt) return undefined;
  const last = keyBytes[end - 1] as number;
  return byteStringOf(keyBytes, keyAt, end - 1) + String.fromCharCode(last + 1);
}

/** Whether `key` begins with the first `length` bytes of `text`. */
export function beginsWith(key: KeyView, text: ByteString, length: number): boolean {
  const { keyAt, keyBytes } = key;
  if (key.keyEnd - keyAt < length) return false;
  let at = 0;
  while (at < length && keyBytes[keyAt + at] === text.charCodeAt(at)) at++;
  return at === length;
}
