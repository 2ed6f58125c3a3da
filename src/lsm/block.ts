/**
 * A block: rows in ascending key order, each key written without what it shares with the key before
 * it. At every sixteenth row, a restart, the key is written whole, so that a search can start there.
 *
 *   +-----+-----+-   -+-----+--------------------+----------+-------+
 *   | row | row | ... | row | restart offsets .. | restarts | crc32 |
 *   |     |     |     |     | u32 each           | u32      | u32   |
 *   +-----+-----+-   -+-----+--------------------+----------+-------+
 *
 *   row:  shared, varint | unshared, varint | value bytes + 1, varint | unshared key bytes | value
 *
 * A third number of 0 marks a deletion. Fixed-size numbers are little-endian, varints LEB128: seven
 * bits a byte, low ones first. The CRC covers everything before it and starts from a seed that
 * stands for the place of the block, so that a good block in the wrong place is noticed.
 */
import { assert } from "../lib/assert.ts";
import { type ByteString, copyShort } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import type { WholeKeys } from "./fences.ts";
import { RowKey } from "./rowkey.ts";
import { commonBytes, type KeyView, keyText, noRow, type RowView, slabFor } from "./view.ts";

const restartInterval = 16;
const trailerBytes = 8;
const varintBytesMax = 5;
const keyBytesMin = 128;

/** Encodes one block after the other, in a buffer of its own. */
export class BlockWriter {
  #bytes = Buffer.allocUnsafeSlow(8192);
  #at = 0;
  #rows = 0;
  #restarts: number[] = [];
  readonly #last = new RowKey();
  #hasLast = false;

  /** Bytes the block has when it is closed now. */
  get size(): number {
    return this.#at + this.#restarts.length * 4 + trailerBytes;
  }

  /** The key added last, in this block or an earlier one. */
  get last(): KeyView {
    return this.#last;
  }

  /** Rows added to the open block. */
  get rows(): number {
    return this.#rows;
  }

  /**
   * Adds a row, whose key must be after the one before, in this block or an earlier one; the value
   * as in RowView. Returns how many bytes the key shares with the one before.
   */
  add(key: KeyView, value: Buffer, start: number, end: number): number {
    const length = key.keyEnd - key.keyAt;
    const shared = this.#share(key);
    const valueBytes = start < 0 ? 0 : end - start;
    this.#reserve(3 * varintBytesMax + length + valueBytes);
    const bytes = this.#bytes;
    let skipped = shared;
    if (this.#rows++ % restartInterval === 0) {
      this.#restarts.push(this.#at);
      skipped = 0;
    }
    let at = writeVarint(bytes, this.#at, skipped);
    at = writeVarint(bytes, at, length - skipped);
    at = writeVarint(bytes, at, start < 0 ? 0 : valueBytes + 1);
    at = copyShort(key.keyBytes, key.keyAt + skipped, key.keyEnd, bytes, at);
    if (valueBytes > 0) at += value.copy(bytes, at, start, end);
    this.#at = at;
    this.#last.copy(key, length, shared);
    this.#hasLast = true;
    return shared;
  }

  /** The whole block, valid until the next `add`, which starts a new one. */
  close(seed: number): Buffer {
    this.#reserve(this.#restarts.length * 4 + trailerBytes);
    const bytes = this.#bytes;
    let at = this.#at;
    for (const restart of this.#restarts) at = bytes.writeUInt32LE(restart, at);
    at = bytes.writeUInt32LE(this.#restarts.length, at);
    const end = bytes.writeUInt32LE(crc32(bytes.subarray(0, at), seed), at);
    this.#at = 0;
    this.#rows = 0;
    this.#restarts = [];
    return bytes.subarray(0, end);
  }

  /** How many bytes `key` shares with the one before it. */
  #share(key: KeyView): number {
    if (!this.#hasLast) return 0;
    const last = this.#last;
    const shared = commonBytes(last, key);
    const ascends =
      shared === last.length
        ? key.keyEnd - key.keyAt > shared
        : key.keyAt + shared < key.keyEnd &&
          (last.keyBytes[last.keyAt + shared] as number) <
            (key.keyBytes[key.keyAt + shared] as number);
    assert(ascends, "keys ascend");
    return shared;
  }

  #reserve(more: number): void {
    const wanted = this.#at + more;
    if (wanted <= this.#bytes.length) return;
    assert(wanted < 2 ** 31, "a block has less than 2 GiB");
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.#bytes.length * 2));
    this.#bytes.copy(grown, 0, 0, this.#at);
    this.#bytes = grown;
  }
}

/** Whether `block`, as read from a disk, is what BlockWriter.close returned for this seed. */
export function blockIsWhole(block: Buffer, seed: number): boolean {
  const crcAt = block.length - 4;
  return crcAt >= 4 && block.readUInt32LE(crcAt) === crc32(block.subarray(0, crcAt), seed);
}

const nothing = Buffer.alloc(0);

/** Walks and searches one block after the other. The blocks must be whole. */
export class BlockCursor implements RowView {
  bytes: Buffer = nothing;
  start = -1;
  end = 0;
  /** Of the row that `seek` moved to, only after `takeKey`. */
  keyBytes: Buffer = noRow.keyBytes;
  keyWords: DataView = noRow.keyWords;
  keyAt = 0;
  keyEnd = 0;
  /** How long a key may be that is taken into #keyBytes at #keyAt. */
  #room = 0;
  /** Where the next row begins, where the rows end, and how many restarts there are. */
  #next = 0;
  #rowsEnd = 0;
  #restarts = 0;
  /** The numbers of the row read last, and where its own key bytes begin. */
  #shared = 0;
  #unshared = 0;
  #unsharedAt = 0;
  /** How many bytes the last comparison found equal. */
  #common = 0;
  #matched = 0;
  /** What the key shares is to be taken from here; undefined when the key is taken. */
  #target: ByteString | undefined;

  /** Stands before the first row of `block`. */
  open(block: Buffer): void {
    this.bytes = block;
    this.#restarts = block.readUInt32LE(block.length - trailerBytes);
    this.#rowsEnd = block.length - trailerBytes - this.#restarts * 4;
    this.#next = 0;
    this.#target = undefined;
  }

  get key(): ByteString {
    this.takeKey();
    return keyText(this);
  }

  /** How many bytes of its target the row that `seek` moved to begins with. */
  get matched(): number {
    return this.#matched;
  }

  /** Moves to the next row; false after the last. */
  next(): boolean {
    if (this.#next >= this.#rowsEnd) return false;
    this.takeKey();
    readNumbers(this.bytes, this.#next);
    this.#stand();
    this.#takeUnshared();
    return true;
  }

  /** Moves past all rows that begin with `prefix`, as the one it stands on does; false after the last. */
  pass(prefix: KeyView): boolean {
    this.takeKey();
    const rowsEnd = this.#rowsEnd;
    const length = prefix.keyEnd - prefix.keyAt;
    for (let at = this.#next; at < rowsEnd; at = rowEnd) {
      readNumbers(this.bytes, at);
      if (shared >= length) continue;
      // A restart shares more than it says.
      if (shared === 0 && this.#beginsWith(prefix)) continue;
      this.#stand();
      this.#takeUnshared();
      return true;
    }
    this.#next = rowsEnd;
    return false;
  }

  /**
   * Moves to the first row whose key is at or after `target`; false when there is none. Whoever
   * wants its key takes it.
   */
  seek(target: ByteString): boolean {
    return this.seekFrom(this.#restartBefore(target), target);
  }

  /** As `seek`, when `restart` is known to be the last before `target`, or the first. */
  seekFrom(restart: number, target: ByteString): boolean {
    const rowsEnd = this.#rowsEnd;
    // How many of target's bytes the row before begins with. That row is before target, so a row
    // that shares more with it is too, and one that shares less lies after target: most rows are
    // passed without looking at their keys.
    let matched = 0;
    for (let at = this.#restart(restart); at < rowsEnd; at = rowEnd) {
      readNumbers(this.bytes, at);
      if (shared > matched) continue;
      if (shared === matched && this.#isBefore(target, matched, 0)) {
        matched += this.#common;
        continue;
      }
      this.#stand();
      // Whatever this row shares with the one before, it shares with target.
      this.#target = target;
      // A restart shares more than it says.
      if (shared === 0 && matched > 0) this.#isBefore(target, 0, 0);
      this.#matched = shared > 0 && shared < matched ? shared : shared + this.#common;
      return true;
    }
    this.#next = rowsEnd;
    this.#target = undefined;
    return false;
  }

  /** Makes the key's bytes those of the row it stands on. */
  takeKey(): void {
    const target = this.#target;
    if (target === undefined) return;
    this.#target = undefined;
    this.#fit(this.#shared);
    this.keyBytes.write(target, this.keyAt, this.#shared, "latin1");
    this.#takeUnshared();
  }

  /** Ordinal of the last restart whose key is before `target`; 0 when there is none. */
  #restartBefore(target: ByteString): number {
    let low = 0;
    let high = this.#restarts - 1;
    // What the keys on either side have in common with target, all keys between them have.
    let commonBelow = 0;
    let commonAbove = 0;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      readNumbers(this.bytes, this.#restart(middle));
      if (this.#isBefore(target, 0, Math.min(commonBelow, commonAbove))) {
        low = middle;
        commonBelow = this.#common;
      } else {
        high = middle - 1;
        commonAbove = this.#common;
      }
    }
    return low;
  }

  /**
   * Whether the unshared bytes of the row that was read are before target's from `targetAt`. The
   * first `known` of them are the same.
   */
  #isBefore(target: ByteString, targetAt: number, known: number): boolean {
    const { bytes } = this;
    const at = unsharedAt;
    const rest = target.length - targetAt;
    const limit = Math.min(unshared, rest);
    let common = known;
    while (common < limit && bytes[at + common] === target.charCodeAt(targetAt + common)) common++;
    this.#common = common;
    if (common === rest) return false;
    if (common === unshared) return true;
    return (bytes[at + common] as number) < target.charCodeAt(targetAt + common);
  }

  /** Whether the unshared bytes of the row that was read begin with `prefix`. */
  #beginsWith({ keyAt, keyBytes, keyEnd }: KeyView): boolean {
    const { bytes } = this;
    const length = keyEnd - keyAt;
    if (unshared < length) return false;
    let at = 0;
    while (at < length && bytes[unsharedAt + at] === keyBytes[keyAt + at]) at++;
    return at === length;
  }

  #restart(ordinal: number): number {
    return this.bytes.readUInt32LE(this.#rowsEnd + ordinal * 4);
  }

  /** Stands on the row whose numbers were read last; its key is not taken yet. */
  #stand(): void {
    this.#shared = shared;
    this.#unshared = unshared;
    this.#unsharedAt = unsharedAt;
    this.start = valueAt;
    this.end = rowEnd;
    this.#next = rowEnd;
  }

  /** Takes the unshared bytes of the row that was read into the key. */
  #takeUnshared(): void {
    const shared = this.#shared;
    const unshared = this.#unshared;
    this.#fit(shared + unshared);
    const end = this.keyAt + shared;
    const at = this.#unsharedAt;
    this.keyEnd = copyShort(this.bytes, at, at + unshared, this.keyBytes, end);
  }

  /** Makes room for a key; what is taken of it by now stays. */
  #fit(length: number): void {
    if (length <= this.#room) return;
    const room = Math.max(length * 2, keyBytesMin);
    const slab = slabFor(room);
    const at = slab.take(room);
    this.keyBytes.copy(slab.bytes, at, this.keyAt, this.keyAt + this.#room);
    this.keyBytes = slab.bytes;
    this.keyWords = slab.words;
    this.keyAt = at;
    this.#room = room;
  }
}

/** The keys of a block's restarts. */
export class RestartKeys implements WholeKeys {
  readonly bytes: Buffer;
  readonly count: number;
  at = 0;
  end = 0;
  readonly #restartsAt: number;

  constructor(block: Buffer) {
    this.bytes = block;
    this.count = block.readUInt32LE(block.length - trailerBytes);
    this.#restartsAt = block.length - trailerBytes - this.count * 4;
  }

  read(ordinal: number): void {
    const { bytes } = this;
    const shared = readVarint(bytes, bytes.readUInt32LE(this.#restartsAt + ordinal * 4));
    const unshared = readVarint(bytes, shared);
    const length = varint;
    this.at = readVarint(bytes, unshared);
    this.end = this.at + length;
  }
}

function writeVarint(bytes: Buffer, offset: number, value: number): number {
  let at = offset;
  let rest = value;
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** What readNumbers read last: of the row's key, and where its value begins, -1 for a deletion. */
let shared = 0;
let unshared = 0;
let unsharedAt = 0;
let valueAt = -1;
/** Where that row ends. */
let rowEnd = 0;

/** Reads the numbers of the row that begins at `offset`. */
function readNumbers(bytes: Buffer, offset: number): void {
  let at = offset;
  shared = bytes[at++] as number;
  unshared = bytes[at++] as number;
  if ((shared | unshared) >= 0x80) {
    at = readVarint(bytes, offset);
    shared = varint;
    at = readVarint(bytes, at);
    unshared = varint;
  }
  let value = bytes[at++] as number;
  if (value >= 0x80) {
    at = readVarint(bytes, at - 1);
    value = varint;
  }
  unsharedAt = at;
  const keyEnd = at + unshared;
  valueAt = value === 0 ? -1 : keyEnd;
  rowEnd = value === 0 ? keyEnd : keyEnd + value - 1;
}

/** What readVarint read last. */
let varint = 0;

/** Reads a varint into `varint`; returns where it ends. */
function readVarint(bytes: Buffer, offset: number): number {
  let at = offset;
  let value = 0;
  let shift = 0;
  for (;;) {
    const byte = bytes[at++] as number;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
    shift += 7;
  }
  varint = value >>> 0;
  return at;
}
