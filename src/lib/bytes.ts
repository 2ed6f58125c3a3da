/**
 * Byte strings. Keys travel through the house as latin1 strings: one UTF-16 unit per byte, so they
 * are immutable, work as Map keys, and `<` compares them as unsigned bytes (the order etcd gives
 * keys). JavaScriptCore keeps such strings at one byte a unit and compares two 64-byte ones in about
 * 10 ns, where comparing two Buffers costs 50 ns. Values stay Uint8Array: nobody compares them.
 */

/** A string whose every char code is a byte, 0 to 255. */
export type ByteString = string;

/** The bytes of `text`; every char code must be below 256. */
export function bytesOf(text: ByteString): Buffer {
  return Buffer.from(text, "latin1");
}

/** The byte string of `bytes`, or of its part from `start` up to `end`. */
export function byteStringOf(bytes: Uint8Array, start = 0, end = bytes.length): ByteString {
  return (bufferOf(bytes) as Buffer & Texts).latin1Slice(start, end);
}

/** What Bun's buffers have and its types do not tell: texts without a look at the encoding's name. */
interface Texts {
  latin1Slice(start: number, end: number): ByteString;
  latin1Write(text: ByteString, at: number): number;
  utf8Write(text: string, at: number): number;
}

/** Puts the bytes of `text` into `target` at `at`, where there must be room; returns where they end. */
export function putBytes(target: Buffer, text: ByteString, at: number): number {
  return at + (target as Buffer & Texts).latin1Write(text, at);
}

/** Puts `text` into `target` in UTF-8 at `at`, where there must be room; returns where it ends. */
export function putText(target: Buffer, text: string, at: number): number {
  return at + (target as Buffer & Texts).utf8Write(text, at);
}

/** A Buffer over the same memory: no copy. */
export function bufferOf(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** `bytes`, or a copy where keeping them would keep memory of four times their size or more. */
export function compact(bytes: Uint8Array): Uint8Array {
  return bytes.length * 4 < bytes.buffer.byteLength ? copyOf(bytes) : bytes;
}

/** A copy of bytes[from, to) in memory of its own; a Buffer's `slice` is none. */
export function copyOf(bytes: Uint8Array, from = 0, to = bytes.length): Uint8Array {
  const copy = new Uint8Array(to - from);
  copy.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
  return copy;
}

/** The beginnings of a buffer, as views. Short ones are made once: that takes longer than a copy. */
export class Beginnings {
  readonly #bytes: Buffer;
  readonly #made: (Buffer | undefined)[];

  /** Views of up to `lengthMax` bytes are kept. */
  constructor(bytes: Buffer, lengthMax = 1024) {
    this.#bytes = bytes;
    this.#made = new Array<Buffer | undefined>(Math.min(bytes.length, lengthMax) + 1).fill(
      undefined,
    );
  }

  /** The first `length` bytes. */
  of(length: number): Buffer {
    const made = this.#made[length];
    if (made !== undefined) return made;
    const view = this.#bytes.subarray(0, length);
    if (length < this.#made.length) this.#made[length] = view;
    return view;
  }
}

/** Copies bytes[from, to) into `target` at `at`; returns where they end. Made for a few bytes. */
export function copyShort(
  bytes: Uint8Array,
  from: number,
  to: number,
  target: Buffer,
  at: number,
): number {
  const length = to - from;
  if (length > shortMax) return at + bufferOf(bytes).copy(target, at, from, to);
  for (let offset = 0; offset < length; offset++) {
    target[at + offset] = bytes[from + offset] as number;
  }
  return at + length;
}

/** Up to here, copying byte by byte is quicker than a call. */
const shortMax = 16;

/**
 * The smallest byte string greater than every string that starts with `prefix`; undefined where
 * there is none (the prefix is empty or all 0xff).
 */
export function prefixEnd(prefix: ByteString): ByteString | undefined {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at);
    if (code < 0xff) return prefix.slice(0, at) + String.fromCharCode(code + 1);
  }
  return undefined;
}

const high = 2 ** 32;

/** `value`, 0 to 2^53-1, as eight big-endian bytes: byte order is numeric order. */
export function orderedU64(value: number): ByteString {
  const upper = Math.floor(value / high);
  return orderedU32(upper) + orderedU32(value - upper * high);
}

/** The number that `orderedU64` put at `at`. */
export function readOrderedU64(text: ByteString, at: number): number {
  return readOrderedU32(text, at) * high + readOrderedU32(text, at + 4);
}

/** `value`, 0 to 2^32-1, as four big-endian bytes. */
export function orderedU32(value: number): ByteString {
  return String.fromCharCode(
    value >>> 24,
    (value >>> 16) & 0xff,
    (value >>> 8) & 0xff,
    value & 0xff,
  );
}

/** The number that `orderedU32` put at `at`. */
export function readOrderedU32(text: ByteString, at: number): number {
  return (
    text.charCodeAt(at) * 0x1000000 +
    ((text.charCodeAt(at + 1) << 16) | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3))
  );
}
