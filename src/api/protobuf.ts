/**
 * Protobuf's wire format, as much as the messages that are read and written most need (read.ts,
 * write.ts); all others go through the generated codecs.
 *
 *   field     tag, value          tag = number * 8 + wire type, as a varint
 *   varint    wire type 0         7 bits a byte, the lowest first; 0x80 says that more follow
 *   bytes     wire type 2         length as a varint, then as many bytes
 */

/** The tag of field `number` that is a varint; one byte, so `number` is below 16. */
export const varintTag = (number: number) => number * 8;
/** The tag of field `number` that is bytes or a message. */
export const bytesTag = (number: number) => number * 8 + 2;

const high = 2 ** 32;

/** How many bytes the varint of `value`, 0 to 2^53 - 1, takes. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  let bytes = 4;
  for (let rest = value / 0x1000_0000; rest >= 1; rest /= 0x80) bytes++;
  return bytes;
}

/** Writes the varint of `value`, 0 to 2^53 - 1; returns where it ends. */
export function writeVarint(out: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  while (rest >= high) {
    out[end++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  let low = rest >>> 0;
  while (low >= 0x80) {
    out[end++] = (low & 0x7f) | 0x80;
    low >>>= 7;
  }
  out[end++] = low;
  return end;
}

/** How many bytes the varint of a 64-bit `value` takes. */
export function varint64Bytes(value: bigint): number {
  let bytes = 1;
  for (let rest = BigInt.asUintN(64, value) >> 7n; rest > 0n; rest >>= 7n) bytes++;
  return bytes;
}

/** Writes the varint of a 64-bit `value`; returns where it ends. */
export function writeVarint64(out: Uint8Array, at: number, value: bigint): number {
  let end = at;
  let rest = BigInt.asUintN(64, value);
  while (rest >= 0x80n) {
    out[end++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  out[end++] = Number(rest);
  return end;
}

/** Reads fields one after the other. What it cannot read makes it fail: see `hasFailed`. */
export class FieldReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly to: number;
  /** Whether something was cut off, or larger than is read here. */
  hasFailed = false;

  constructor(bytes: Uint8Array, from: number, to: number) {
    this.bytes = bytes;
    this.at = from;
    this.to = to;
  }

  /** The next varint, 0 to 2^53 - 1; 0 where it is none. */
  varint(): number {
    let value = 0;
    for (let scale = 1; this.at < this.to && scale < 2 ** 53; scale *= 0x80) {
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return value;
    }
    this.hasFailed = true;
    return 0;
  }

  /** The next varint of 64 bits, signed. */
  varint64(): bigint {
    let low = 0;
    let value = 0n;
    for (let shift = 0; this.at < this.to && shift < 70; shift += 7) {
      const byte = this.bytes[this.at++] as number;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else value |= BigInt(byte & 0x7f) << BigInt(shift);
      if (byte < 0x80) return BigInt.asIntN(64, value | BigInt(low));
    }
    this.hasFailed = true;
    return 0n;
  }

  /** Goes behind the next bytes; returns where they begin (they end at `at`). */
  pass(): number {
    const length = this.varint();
    const from = this.at;
    if (this.hasFailed || length > this.to - from) {
      this.hasFailed = true;
      return from;
    }
    this.at = from + length;
    return from;
  }
}
