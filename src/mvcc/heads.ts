/**
 * What the newest versions of keys say besides their values, of the keys that were written or asked
 * for lately: a write looks up what its key was before, and finds it here instead of in a table. What
 * is remembered is true, what is forgotten is read again. Versions count from when they are decided.
 *
 *   ring    | record | record | ... | record |      the newest over the oldest
 *   slots   four for each hash: where the ring has a record; how many bytes were written before it
 *
 *   record  in whole lines of the processor's cache, 64 bytes each
 *           0       4       8               16              24              32      40
 *           +-------+-------+---------------+---------------+---------------+-------+-----+
 *           |hash   |key    |create revision|mod revision   |version        |lease  | key |
 *           |       |bytes  |double; 0: gone|double         |double         |       |     |
 *           +-------+-------+---------------+---------------+---------------+-------+-----+
 *
 * The ring is made in pieces, when they are first needed. A record lies in one piece.
 */
import type { ByteString } from "../lib/bytes.ts";
import { bytesHash } from "../lsm/filter.ts";
import { RowKey } from "../lsm/rowkey.ts";
import { wordsOf } from "../lsm/view.ts";
import type { LeaseId, Revision } from "../model/revision.ts";
import type { VersionHead } from "./version.ts";

const ringBytesMax = 2 ** 24;
const pieceBytesMax = 2 ** 20;
const piecesMin = 4;
/** One slot for so many bytes of the ring, about a record's. */
const bytesPerSlot = 64;
const ways = 4;
const keyBytesMax = 1024;
const lineBytes = 64;

const createAt = 8;
const modAt = 16;
const versionAt = 24;
const leaseAt = 32;
const keyAt = 40;

export class Heads {
  readonly #ringBytes: number;
  readonly #pieceBytes: number;
  readonly #pieces: DataView[] = [];
  readonly #slots: Float64Array;
  readonly #probe = new RowKey();
  /** Bytes written so far, where the next record begins; a slot with 0 is empty. */
  #end = lineBytes;
  /** The key looked for last, its hash, and where #piece has its record, -1 when none has. */
  #key: ByteString | undefined;
  #hash = 0;
  #at = -1;
  #piece: DataView = new DataView(new ArrayBuffer(0));

  /** Bytes of the ring, a power of two. */
  constructor(ringBytes = ringBytesMax) {
    this.#ringBytes = ringBytes;
    this.#pieceBytes = Math.min(pieceBytesMax, ringBytes / piecesMin);
    this.#slots = new Float64Array(ringBytes / bytesPerSlot);
  }

  /** The head of the newest version of `key`, null when that is deleted; undefined: not known here. */
  get(key: ByteString): VersionHead | null | undefined {
    if (key.length > keyBytesMax) return undefined;
    const at = this.#find(key);
    if (at < 0) return undefined;
    const piece = this.#piece;
    const createRevision = piece.getFloat64(at + createAt) as Revision;
    if (createRevision === 0) return null;
    return {
      createRevision,
      modRevision: piece.getFloat64(at + modAt) as Revision,
      version: piece.getFloat64(at + versionAt),
      lease: leaseIn(piece, at + leaseAt),
    };
  }

  /** Remembers the head of the newest version of `key`. */
  set(
    key: ByteString,
    createRevision: number,
    modRevision: number,
    version: number,
    lease: LeaseId,
  ): void {
    if (key.length > keyBytesMax) return;
    const known = this.#find(key);
    const at = known < 0 ? this.#add(this.#hash, key.length) : known;
    const piece = this.#piece;
    piece.setFloat64(at + createAt, createRevision);
    piece.setFloat64(at + modAt, modRevision);
    piece.setFloat64(at + versionAt, version);
    piece.setInt32(at + leaseAt, 0);
    piece.setInt32(at + leaseAt + 4, 0);
    if (lease !== 0n) piece.setBigInt64(at + leaseAt, lease);
  }

  /** Remembers that `key` is deleted. */
  setGone(key: ByteString): void {
    this.set(key, 0, 0, 0, 0n);
  }

  /** Forgets what is known of `key`. */
  forget(key: ByteString): void {
    if (key.length > keyBytesMax) return;
    const at = this.#find(key);
    // No key is that long.
    if (at >= 0) this.#piece.setUint32(at + 4, keyBytesMax + 1);
    this.#key = undefined;
  }

  /** Looks for `key`: where #piece has its record, -1 when none has. Who asks often writes next. */
  #find(key: ByteString): number {
    if (key === this.#key) return this.#at;
    this.#hash = bytesHash(this.#probe.take(key), key.length);
    this.#at = this.#lookUp(this.#hash, key.length);
    this.#key = key;
    return this.#at;
  }

  #lookUp(hash: number, length: number): number {
    const from = this.#end - this.#ringBytes;
    const slot = hash & (this.#slots.length - 1);
    for (let way = 0; way < ways; way++) {
      const position = this.#slots[slot ^ way] as number;
      if (position === 0 || position < from) continue;
      const at = this.#open(position);
      if (this.#piece.getUint32(at) === hash && this.#isProbe(at, length)) return at;
    }
    return -1;
  }

  /** Makes #piece the one that holds what is written at `position`; returns where in it. */
  #open(position: number): number {
    const at = position & (this.#ringBytes - 1);
    this.#piece = this.#pieces[Math.trunc(at / this.#pieceBytes)] as DataView;
    return at & (this.#pieceBytes - 1);
  }

  #isProbe(at: number, length: number): boolean {
    const piece = this.#piece;
    if (piece.getUint32(at + 4) !== length) return false;
    const { keyAt: probeAt, keyBytes, keyWords } = this.#probe;
    const whole = length & ~3;
    const from = at + keyAt;
    for (let index = 0; index < whole; index += 4) {
      if (piece.getInt32(from + index) !== keyWords.getInt32(probeAt + index)) return false;
    }
    for (let index = whole; index < length; index++) {
      if (piece.getUint8(from + index) !== keyBytes[probeAt + index]) return false;
    }
    return true;
  }

  /** Makes a record for the key in #probe; returns where #piece has it. */
  #add(hash: number, length: number): number {
    const size = Math.ceil((keyAt + length) / lineBytes) * lineBytes;
    const left = this.#pieceBytes - (this.#end & (this.#pieceBytes - 1));
    if (size > left) this.#end += left;
    const position = this.#end;
    this.#end += size;
    if (position >= this.#pieces.length * this.#pieceBytes && position < this.#ringBytes) {
      this.#pieces.push(wordsOf(Buffer.allocUnsafeSlow(this.#pieceBytes)));
    }
    const at = this.#open(position);
    const piece = this.#piece;
    piece.setUint32(at, hash);
    piece.setUint32(at + 4, length);
    this.#writeProbe(piece, at + keyAt, length);
    this.#place(hash, position);
    this.#at = at;
    return at;
  }

  #writeProbe(piece: DataView, from: number, length: number): void {
    const { keyAt: probeAt, keyBytes, keyWords } = this.#probe;
    const whole = length & ~3;
    for (let index = 0; index < whole; index += 4) {
      piece.setInt32(from + index, keyWords.getInt32(probeAt + index));
    }
    for (let index = whole; index < length; index++) {
      piece.setUint8(from + index, keyBytes[probeAt + index] as number);
    }
  }

  /** Puts a position into the slot of its hash that has the oldest. */
  #place(hash: number, position: number): void {
    const slots = this.#slots;
    const slot = hash & (slots.length - 1);
    let oldest = slot;
    for (let way = 1; way < ways; way++) {
      if ((slots[slot ^ way] as number) < (slots[oldest] as number)) oldest = slot ^ way;
    }
    slots[oldest] = position;
  }
}

function leaseIn(words: DataView, at: number): LeaseId {
  const isNone = words.getInt32(at) === 0 && words.getInt32(at + 4) === 0;
  return isNone ? 0n : words.getBigInt64(at);
}
