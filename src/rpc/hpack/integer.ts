/**
 * Integers of HPACK (RFC 7541 5.1). One shares its first byte with the pattern that says what it
 * is for; a value that does not fit there goes on in groups of seven bits, lowest first.
 *
 *     7   6   5   4   3   2   1   0
 *   +---+---+---+---+---+---+---+---+
 *   | pattern   | 1   1   1   1   1 |     a prefix of five bits, full: the value is 31 + the rest
 *   +---+---------------------------+
 *   | 1 | bits 0 to 6               |     1: more follows
 *   +---+---------------------------+
 *   | 0 | bits 7 to 13              |
 *   +---+---------------------------+
 */

/** A place in a header block, moving from its beginning to its end. */
export class Cursor {
  readonly bytes: Uint8Array;
  /** Where the next byte to be read is. */
  at: number;
  /** Where the block ends. */
  readonly to: number;

  constructor(bytes: Uint8Array, from: number, to: number) {
    this.bytes = bytes;
    this.at = from;
    this.to = to;
  }
}

/** Values end below 2^28 + 255: nothing that may be said in a header block is larger. */
const continuationBytesMax = 4;

/** Room that an integer takes at most. */
export const integerBytesMax = 1 + continuationBytesMax;

/**
 * The integer at `cursor`, which moves behind it; its prefix holds up to `prefixMax` (2^n - 1).
 * Negative when the block ends first, or when it has more bytes than any integer here may need.
 */
export function readInteger(cursor: Cursor, prefixMax: number): number {
  const { bytes, to } = cursor;
  let at = cursor.at;
  if (at >= to) return -1;
  let value = (bytes[at++] as number) & prefixMax;
  if (value === prefixMax) {
    const last = Math.min(at + continuationBytesMax, to);
    for (let shift = 0; ; shift += 7) {
      if (at >= last) return -1;
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
  }
  cursor.at = at;
  return value;
}

/**
 * Writes `value` at `at` behind the bits of `pattern`, its prefix holding up to `prefixMax`
 * (2^n - 1). Returns where it ends.
 */
export function writeInteger(
  out: Uint8Array,
  at: number,
  pattern: number,
  prefixMax: number,
  value: number,
): number {
  let end = at;
  if (value < prefixMax) {
    out[end++] = pattern | value;
    return end;
  }
  out[end++] = pattern | prefixMax;
  let rest = value - prefixMax;
  for (; rest >= 0x80; rest >>>= 7) out[end++] = (rest & 0x7f) | 0x80;
  out[end++] = rest;
  return end;
}
