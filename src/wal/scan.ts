/**
 * Reads the frames of a segment in order and judges the first that is not whole: an append that a
 * crash cut short, or damage. The next frame is written only after the sync of the one before, so
 * only the last frame can have been cut short, and it looks like one of these:
 *
 *   1. the file ends inside the frame (its header is good or short)
 *   2. its header's sector is all zero: it never reached the disk, whatever else did
 *   3. its header is good and a later sector of it is all zero, which no frame has by nature
 *
 * And no later sector of the file holds a frame header of this segment. All else is damage. A file
 * that goes on with nothing but zeros has room that was not used (spare.ts), and ends there.
 */
import { crc32 } from "../lib/checksum.ts";
import type { DiskFile } from "../lib/disk.ts";
import {
  type FrameHeader,
  frameBytesOf,
  frameHeaderBytes,
  hasZeroSector,
  payloadIsWhole,
  readFrameHeader,
  sectorBytes,
} from "./frame.ts";
import { framesAt } from "./segment.ts";

const readBytes = 2 ** 18;
const zeros = Buffer.alloc(2 ** 16);

/** A frame whose checksums hold. */
export interface WholeFrame {
  readonly kind: "whole";
  readonly offset: number;
  readonly header: FrameHeader;
  /** As on disk; the caller's to keep and to change. */
  readonly bytes: Buffer;
}

/** A frame whose checksums do not hold: the scan ends here. */
export interface BrokenFrame {
  readonly kind: "broken";
  readonly offset: number;
  readonly what: string;
  /** Whether it is what an interrupted append leaves, if this is the last segment. */
  readonly torn: boolean;
  /** Where what was written ends: behind it the file has zeros, or nothing. */
  readonly end: number;
}

export class Scan {
  readonly #file: DiskFile;
  readonly #salt: number;
  readonly #size: number;
  #offset: number;
  #checksum = 0;
  #window = Buffer.alloc(0);
  #windowAt = 0;

  /**
   * Begins at the first frame of the segment in `file`, whose header says `salt`; or at the frame at
   * `offset`, and takes the file to have `size` bytes.
   */
  constructor(
    file: DiskFile,
    salt: number,
    part: { offset?: number | undefined; size?: number } = {},
  ) {
    this.#file = file;
    this.#salt = salt;
    this.#size = part.size ?? file.size();
    this.#offset = part.offset ?? framesAt;
  }

  /** Where the whole frames read so far end, in bytes. */
  get offset(): number {
    return this.#offset;
  }

  /** CRC-32 of the whole frames read so far, as on disk. */
  get checksum(): number {
    return this.#checksum;
  }

  /** The next frame; undefined where nothing was written after the one before. */
  next(): WholeFrame | BrokenFrame | undefined {
    const offset = this.#offset;
    const left = this.#size - offset;
    if (left <= 0) return undefined;
    const head = this.#read(offset, Math.min(left, sectorBytes));
    const header = readFrameHeader(head, this.#salt);
    if (header === undefined) {
      if (left < frameHeaderBytes) return this.#broken("the file ends inside a frame", true);
      const broken = this.#broken("there is no frame header", hasZeroSector(head));
      return broken.end === offset ? undefined : broken;
    }
    const length = frameBytesOf(header);
    if (length > left) return this.#broken("the file ends inside a frame", true);
    const bytes = this.#read(offset, length);
    if (!payloadIsWhole(bytes, header)) {
      return this.#broken("a frame's checksum does not match", hasZeroSector(bytes));
    }
    this.#offset += length;
    this.#checksum = crc32(bytes, this.#checksum);
    return { kind: "whole", offset, header, bytes };
  }

  #broken(what: string, interrupted: boolean): BrokenFrame {
    const { end, hasFrame } = this.#remains();
    return { kind: "broken", offset: this.#offset, what, torn: interrupted && !hasFrame, end };
  }

  /**
   * What the file holds from the next frame on: where the last sector ends that is not all zero, and
   * whether a sector but the first holds a frame header of this segment.
   */
  #remains(): { readonly end: number; readonly hasFrame: boolean } {
    let end = this.#offset;
    let hasFrame = false;
    for (let at = this.#offset; at < this.#size; at += zeros.length) {
      const window = this.#read(at, Math.min(this.#size - at, zeros.length));
      if (window.equals(zeros.subarray(0, window.length))) continue;
      for (let from = 0; from < window.length; from += sectorBytes) {
        const sector = window.subarray(from, from + sectorBytes);
        if (hasZeroSector(sector)) continue;
        end = at + from + sector.length;
        const isLater = at + from > this.#offset;
        if (isLater && readFrameHeader(sector, this.#salt) !== undefined) hasFrame = true;
      }
    }
    return { end, hasFrame };
  }

  /** `length` bytes from `offset`, all inside the file. Read ahead; never into the same memory again. */
  #read(offset: number, length: number): Buffer {
    const from = offset - this.#windowAt;
    if (from < 0 || from + length > this.#window.length) {
      const wanted = Math.min(Math.max(length, readBytes), this.#size - offset);
      const window = Buffer.allocUnsafeSlow(wanted);
      this.#window = window.subarray(0, this.#file.read(window, offset));
      this.#windowAt = offset;
      return this.#window.subarray(0, length);
    }
    return this.#window.subarray(from, from + length);
  }
}
