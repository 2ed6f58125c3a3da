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
 * It begins small and grows up to a bound.
 */
import type { ByteString } from "../lib/bytes.ts";
import { bytesHash } from "../lsm/filter.ts";
import { RowKey } from "../lsm/rowkey.ts";
import { wordsOf } from "../lsm/view.ts";
import type { LeaseId, Revision } from "../model/revision.ts";
import type { VersionHead } from "./version.ts";

const ringBytesMin = 2 ** 14;
const ringBytesMax = 2 ** 24;
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
  readonly #ringBytesMax: number;
  readonly #probe = new RowKey();
  #ring = Buffer.allocUnsafeSlow(ringBytesMin);
  #words = wordsOf(this.#ring);
  #slots = new Float64Array(ringBytesMin / bytesPerSlot);
  /** Bytes written so far, where the next record begins; a slot with 0 is empty. */
  #end = lineBytes;

  /** Bytes of the ring at most, a power of two. */
  constructor(bytesMax = ringBytesMax) {
    this.#ringBytesMax = bytesMax;
  }

  /** The head of the newest version of `key`, null when that is deleted; undefined: not known here. */
  get(key: ByteString): VersionHead | null | undefined {
    if (key.length > keyBytesMax) return undefined;
    const at = this.#find(this.#hashOf(key), key.length);
    if (at < 0) return undefined;
    const words = this.#words;
    const createRevision = words.getFloat64(at + createAt) as Revision;
    if (createRevision === 0) return null;
    return {
      createRevision,
      modRevision: words.getFloat64(at + modAt) as Revision,
      version: words.getFloat64(at + versionAt),
      lease: leaseIn(words, at + leaseAt),
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
    const { length } = key;
    if (length > keyBytesMax) return;
    const hash = this.#hashOf(key);
    const known = this.#find(hash, length);
    const at = known < 0 ? this.#add(hash, length) : known;
    const words = this.#words;
    words.setFloat64(at + createAt, createRevision);
    words.setFloat64(at + modAt, modRevision);
    words.setFloat64(at + versionAt, version);
    words.setInt32(at + leaseAt, 0);
    words.setInt32(at + leaseAt + 4, 0);
    if (lease !== 0n) words.setBigInt64(at + leaseAt, lease);
  }

  /** Remembers that `key` is deleted. */
  setGone(key: ByteString): void {
    this.set(key, 0, 0, 0, 0n);
  }

  /** Forgets what is known of `key`. */
  forget(key: ByteString): void {
    if (key.length > keyBytesMax) return;
    const at = this.#find(this.#hashOf(key), key.length);
    // No key is that long.
    if (at >= 0) this.#words.setUint32(at + 4, keyBytesMax + 1);
  }

  /** Takes the bytes of `key` into #probe. */
  #hashOf(key: ByteString): number {
    return bytesHash(this.#probe.take(key), key.length);
  }

  /** Where the ring has the record of the key in #probe; -1 when it has none. */
  #find(hash: number, length: number): number {
    const ring = this.#ring;
    const from = this.#end - ring.length;
    const slot = hash & (this.#slots.length - 1);
    for (let way = 0; way < ways; way++) {
      const position = this.#slots[slot ^ way] as number;
      if (position === 0 || position < from) continue;
      const at = position & (ring.length - 1);
      if (this.#words.getUint32(at) === hash && this.#isProbe(at, length)) return at;
    }
    return -1;
  }

  #isProbe(at: number, length: number): boolean {
    const words = this.#words;
    if (words.getUint32(at + 4) !== length) return false;
    const { keyAt: probeAt, keyBytes, keyWords } = this.#probe;
    const whole = length & ~3;
    const from = at + keyAt;
    for (let index = 0; index < whole; index += 4) {
      if (words.getInt32(from + index) !== keyWords.getInt32(probeAt + index)) return false;
    }
    for (let index = whole; index < length; index++) {
      if (this.#ring[from + index] !== keyBytes[probeAt + index]) return false;
    }
    return true;
  }

  /** Makes a record for the key in #probe; returns where it is. */
  #add(hash: number, length: number): number {
    const size = Math.ceil((keyAt + length) / lineBytes) * lineBytes;
    while (this.#end + size > this.#ring.length && this.#ring.length < this.#ringBytesMax) {
      this.#grow();
    }
    const ring = this.#ring;
    const left = ring.length - (this.#end % ring.length);
    if (size > left) this.#end += left;
    const position = this.#end;
    const at = position % ring.length;
    this.#end += size;
    this.#words.setUint32(at, hash);
    this.#words.setUint32(at + 4, length);
    const { keyAt: probeAt, keyBytes, keyEnd } = this.#probe;
    keyBytes.copy(ring, at + keyAt, probeAt, keyEnd);
    this.#place(hash, position);
    return at;
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

  /** Doubles the ring, which nothing has been written over yet. */
  #grow(): void {
    const before = this.#ring;
    this.#ring = Buffer.allocUnsafeSlow(before.length * 2);
    this.#words = wordsOf(this.#ring);
    before.copy(this.#ring);
    const positions = this.#slots;
    this.#slots = new Float64Array(positions.length * 2);
    for (const position of positions) {
      if (position > 0) this.#place(this.#words.getUint32(position), position);
    }
  }
}

function leaseIn(words: DataView, at: number): LeaseId {
  const isNone = words.getInt32(at) === 0 && words.getInt32(at + 4) === 0;
  return isNone ? 0n : words.getBigInt64(at);
}
