/**
 * Frames (RFC 9113, sections 4.1 and 6): everything on a connection but the preface is one.
 *
 *   +-----------------------------------------------+
 *   |                 length (24)                   |
 *   +---------------+---------------+---------------+
 *   |   type (8)    |   flags (8)   |
 *   +-+-------------+---------------+-------------------------------+
 *   |R|                 stream (31)                                 |
 *   +=+=============================================================+
 *   |                   payload (length bytes)                    ...
 */

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const flags = {
  /** Of DATA and HEADERS. */
  endStream: 0x1,
  /** Of SETTINGS and PING. */
  acknowledge: 0x1,
  /** Of HEADERS and CONTINUATION. */
  endHeaders: 0x4,
  /** Of DATA and HEADERS. */
  padded: 0x8,
  /** Of HEADERS. */
  priority: 0x20,
} as const;

export const frameHeaderBytes = 9;

/** What everybody takes (section 4.2), and the most that we take. */
export const framePayloadBytesMax = 16_384;

/** What a client sends first (section 3.4), before its SETTINGS. */
export const preface = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Writes the header of a frame at `at`; returns where its payload begins. */
export function writeFrameHeader(
  out: Uint8Array,
  at: number,
  length: number,
  type: number,
  flagBits: number,
  stream: number,
): number {
  out[at] = length >>> 16;
  out[at + 1] = length >>> 8;
  out[at + 2] = length;
  out[at + 3] = type;
  out[at + 4] = flagBits;
  return writeU32(out, at + 5, stream);
}

/** Writes 32 bits, big-endian, at `at`; returns where they end. */
export function writeU32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
  return at + 4;
}

/** The 32 bits at `at`, big-endian, from 0. */
export function readU32(bytes: Uint8Array, at: number): number {
  return readU31(bytes, at) + ((bytes[at] as number) >= 0x80 ? 0x8000_0000 : 0);
}

/** The lower 31 of the 32 bits at `at`: stream ids and increments, whose first bit is reserved. */
export function readU31(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) & 0x7f) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}
