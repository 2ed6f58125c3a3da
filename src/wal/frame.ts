/**
 * A frame: the entries of one batch, written by one write and made durable by one sync. It begins
 * at a sector and ends with one, so an append that is cut short never touches an older frame.
 *
 *   0       4       8           16      24      28      32      40
 *   +-------+-------+-----------+-------+-------+-------+-------+------------------------+-------+
 *   |payload|payload|first index|chain  |entries|header |wall ms| u32 length, entry, ... | zeros |
 *   |bytes  |crc32  |u64        |u64    |u32    |crc32  |u64    |                        |       |
 *   +-------+-------+-----------+-------+-------+-------+-------+------------------------+-------+
 *   |<------------------- header ---------------------->|<----------- payload --------->|
 *   sector 0                                            sector 1           ...      last sector
 *
 * Numbers are little-endian. `chain` is the chain hash after the last entry, `wall ms` the clock of
 * whoever wrote the batch, for people only; it never goes back within a log.
 *
 * The salt, random for each segment, does two things:
 *
 * - The header's CRC starts from it, so what is left on the device of another segment is no frame
 *   of this one.
 * - The stamp: in every sector after the first, the first word is xored with it (before the
 *   payload's CRC is taken). A value may hold kilobytes of zeros; on disk no sector of a frame is
 *   all zero. So a sector that is, was never written: that tells an interrupted append, which may
 *   be cut off, from damage, which may not. As no byte of the salt is zero, no single damaged byte
 *   makes such a sector. And a value that is the image of a frame is none on disk.
 */
import { assert } from "../lib/assert.ts";
import { crc32 } from "../lib/checksum.ts";
import type { Random } from "../lib/random.ts";
import { type Index, indexOf } from "../model/revision.ts";

export const sectorBytes = 512;
export const frameHeaderBytes = 32;

const headerCrcAt = 28;
const entriesAt = 8;
const payloadBytesMax = 2 ** 30;
const bufferBytesMin = 2 ** 16;
/** A buffer that grew beyond this for one large batch is given back. */
const bufferBytesKept = 2 ** 23;

export interface FrameHeader {
  readonly payloadBytes: number;
  /** CRC-32 of the payload as it is on disk. */
  readonly payloadCrc: number;
  readonly first: Index;
  /** Chain hash after the last entry. */
  readonly chain: bigint;
  /** How many entries, at least 1. */
  readonly count: number;
}

/** What a frame says beside its entries when it is closed. */
export interface FrameClosing {
  readonly salt: number;
  readonly first: Index;
  readonly chain: bigint;
  readonly wallMs: number;
}

/** A frame that is being filled. Its buffer is used again for later frames. */
export class OpenFrame {
  #bytes = Buffer.allocUnsafeSlow(bufferBytesMin);
  #end = frameHeaderBytes + entriesAt;
  #count = 0;

  /** Entries added. */
  get count(): number {
    return this.#count;
  }

  /** Bytes the frame will take on disk; 0 while it has no entry. */
  get size(): number {
    return this.#count === 0 ? 0 : wholeSectors(this.#end);
  }

  /** Copies one encoded entry in. */
  add(entry: Uint8Array): void {
    const end = this.#end + 4 + entry.length;
    if (end + sectorBytes > this.#bytes.length) this.#grow(end);
    this.#bytes.writeUInt32LE(entry.length, this.#end);
    this.#bytes.set(entry, this.#end + 4);
    this.#end = end;
    this.#count++;
  }

  /** A copy of the entries added: as a Batch carries them. To be taken before `close`. */
  entries(): Buffer {
    return Buffer.from(this.#bytes.subarray(frameHeaderBytes + entriesAt, this.#end));
  }

  /** The frame as it goes to disk; valid until `reset`, which must come before the next `add`. */
  close(closing: FrameClosing): Buffer {
    assert(this.#count > 0, "a frame has an entry");
    const frame = this.#bytes.subarray(0, this.size);
    frame.fill(0, this.#end);
    frame.writeBigUInt64LE(BigInt(closing.wallMs), frameHeaderBytes);
    stamp(frame, closing.salt);
    frame.writeUInt32LE(this.#end - frameHeaderBytes, 0);
    frame.writeUInt32LE(crc32(frame.subarray(frameHeaderBytes, this.#end)), 4);
    frame.writeBigUInt64LE(BigInt(closing.first), 8);
    frame.writeBigUInt64LE(closing.chain, 16);
    frame.writeUInt32LE(this.#count, 24);
    frame.writeUInt32LE(headerCrc(frame, closing.salt), headerCrcAt);
    return frame;
  }

  /** Empties the frame. */
  reset(): void {
    if (this.#bytes.length > bufferBytesKept) this.#bytes = Buffer.allocUnsafeSlow(bufferBytesMin);
    this.#end = frameHeaderBytes + entriesAt;
    this.#count = 0;
  }

  #grow(end: number): void {
    assert(end <= payloadBytesMax, "a batch has at most 1 GiB");
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, end + sectorBytes));
    grown.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = grown;
  }
}

/** The header at the start of `bytes`, of a segment with this salt; undefined when there is none. */
export function readFrameHeader(bytes: Buffer, salt: number): FrameHeader | undefined {
  if (bytes.length < frameHeaderBytes) return undefined;
  if (bytes.readUInt32LE(headerCrcAt) !== headerCrc(bytes, salt)) return undefined;
  const payloadBytes = bytes.readUInt32LE(0);
  const count = bytes.readUInt32LE(24);
  if (count === 0 || payloadBytes <= entriesAt || payloadBytes > payloadBytesMax) return undefined;
  return {
    payloadBytes,
    payloadCrc: bytes.readUInt32LE(4),
    first: indexOf(Number(bytes.readBigUInt64LE(8))),
    chain: bytes.readBigUInt64LE(16),
    count,
  };
}

/** Bytes that the frame with this header takes on disk. */
export function frameBytesOf(header: FrameHeader): number {
  return wholeSectors(frameHeaderBytes + header.payloadBytes);
}

/** Whether the payload in `frame`, as read from disk, is the one its header is about. */
export function payloadIsWhole(frame: Buffer, header: FrameHeader): boolean {
  const end = frameHeaderBytes + header.payloadBytes;
  return crc32(frame.subarray(frameHeaderBytes, end)) === header.payloadCrc;
}

/** What a frame holds, as views of its bytes. */
export interface FrameContent {
  readonly wallMs: number;
  /** One encoded entry each. */
  readonly entries: readonly Buffer[];
  /** All of them with their lengths, as a Batch carries them. */
  readonly bytes: Buffer;
}

/**
 * The content of `frame`, a whole one as read from disk, whose stamp this takes off in place.
 * Undefined where the lengths of the entries do not add up.
 */
export function openFrame(
  frame: Buffer,
  header: FrameHeader,
  salt: number,
): FrameContent | undefined {
  stamp(frame, salt);
  const end = frameHeaderBytes + header.payloadBytes;
  const entries: Buffer[] = [];
  let at = frameHeaderBytes + entriesAt;
  while (at + 4 <= end && entries.length < header.count) {
    const next = at + 4 + frame.readUInt32LE(at);
    if (next > end) return undefined;
    entries.push(frame.subarray(at + 4, next));
    at = next;
  }
  if (at !== end || entries.length !== header.count) return undefined;
  const bytes = frame.subarray(frameHeaderBytes + entriesAt, end);
  return { wallMs: Number(frame.readBigUInt64LE(frameHeaderBytes)), entries, bytes };
}

/** Whether a sector of `bytes` is all zero, the last of which may be short. */
export function hasZeroSector(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += sectorBytes) {
    const sector = bytes.subarray(at, at + sectorBytes);
    if (sector.every((byte) => byte === 0)) return true;
  }
  return false;
}

/** A salt for a segment: 32 bits, no byte of which is zero. */
export function randomSalt(random: Random): number {
  let salt = 0;
  for (let byte = 0; byte < 4; byte++) salt = salt * 256 + 1 + random.below(255);
  return salt;
}

function stamp(frame: Buffer, salt: number): void {
  for (let at = sectorBytes; at < frame.length; at += sectorBytes) {
    frame.writeUInt32LE((frame.readUInt32LE(at) ^ salt) >>> 0, at);
  }
}

function headerCrc(frame: Buffer, salt: number): number {
  return crc32(frame.subarray(0, headerCrcAt), salt);
}

function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / sectorBytes) * sectorBytes;
}
