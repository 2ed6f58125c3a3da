/**
 * A log object: what one put to `wal/<seq>` holds. Data, one or more batches; or a fence, with which
 * a leader begins its term and which keeps whoever led before out of that slot for ever.
 *
 *   0        8        12     13      16        24     32    40       48      56           88
 *   +--------+--------+------+-------+---------+------+-----+--------+-------+------------+
 *   | magic  | format | kind | zeros | cluster | term | seq | writer | nonce | previous   |
 *   |t4 walob| version| u8   |       | u64     | u64  | u64 | u64    | u64   | hash, 32   |
 *   +--------+--------+------+-------+---------+------+-----+--------+-------+------------+
 *   88                    112                   136       144       152     160     164    168
 *   +---------------------+---------------------+---------+---------+-------+-------+------+
 *   | base: index, term,  | end: index, term,   | first   | last    | wall  |batches|header|
 *   | chain (u64 each)    | chain (u64 each)    | revision| revision| ms u64| u32   |crc32 |
 *   +---------------------+---------------------+---------+---------+-------+-------+------+
 *   168, for each batch
 *   +---------+----------+----------+---------+----------+-----------+---------+-------+---------+
 *   | entries | first    | last     | wall    | end term | end chain | entries | crc32 | entries |
 *   | u32     |rev. u64  |rev. u64  | ms u64  | u64      | u64       |bytes u32| u32   | ...     |
 *   +---------+----------+----------+---------+----------+-----------+---------+-------+---------+
 *   last 32 bytes: SHA-256 of all before them
 *
 * Numbers are little-endian. `term` is the leader's who put it, `writer` its incarnation; the nonce
 * makes objects of two lives differ that are equal otherwise. `previous hash` is the SHA-256 at the
 * end of the object before this one, zeros for none. `base` is where the log stands before the
 * first entry, `end` after the last; a fence's are equal, and its revisions are the log's last. A
 * batch's CRC covers its 48 bytes before it and its entries (model/batch.ts).
 *
 * Magic, format version and the SHA-256 at the end stay where they are in every format to come, so
 * that damage is not taken for a newer format.
 */
import { assert } from "../lib/assert.ts";
import { crc32, sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import type { Batch } from "../model/batch.ts";
import { type Index, indexOf, type Position, type Term, termOf } from "../model/revision.ts";
import { logKey } from "../object/keys.ts";
import { refuseOtherCluster } from "./sealed.ts";

export const headerBytes = 168;
const batchHeaderBytes = 52;
const hashBytes = 32;
/** What a fence takes: a header and a hash. Data takes more. */
export const fenceBytes = headerBytes + hashBytes;
const formatVersion = 1;
const magic = Buffer.from("t4 walob", "latin1");
const headerCrcAt = headerBytes - 4;
const kinds = ["data", "fence"] as const;

/** The hash before the first object of a prefix. */
export const noHash = "0".repeat(2 * hashBytes);

/** What a log object says beside its batches. */
export interface LogHeader {
  readonly kind: (typeof kinds)[number];
  readonly cluster: bigint;
  /** Of the leader who put it. */
  readonly term: Term;
  /** Its slot, from 1. */
  readonly seq: number;
  /** Incarnation of that leader. */
  readonly writer: bigint;
  readonly nonce: bigint;
  /** `hash` of the object before it; `noHash` for none. */
  readonly previousHash: string;
  /** Where the log stands before it. */
  readonly base: Position;
  /** Revisions after the first and after the last entry; of a fence, after the last before it. */
  readonly firstRevision: number;
  readonly lastRevision: number;
  /** The writer's clock, in milliseconds since 1970; never goes back in a log. */
  readonly wallMs: number;
}

export interface LogObject extends LogHeader {
  /** Where the log stands after it. */
  readonly end: Position;
  /** None in a fence. Their entries are views of the bytes that were decoded. */
  readonly batches: readonly Batch[];
  /** SHA-256 of its bytes before their last 32, which hold it: lower-case hex. */
  readonly hash: string;
}

/** The bytes of a log object with these batches, which follow its base and each other. */
export function encodeLogObject(header: LogHeader, batches: readonly Batch[]): Buffer {
  assert((header.kind === "fence") === (batches.length === 0), "data has batches, a fence none");
  const parts: Buffer[] = [];
  let end = header.base;
  for (const batch of batches) {
    assert(isSame(batch.previous, end), "a batch follows the one before");
    parts.push(encodeBatchHeader(batch), batch.entries);
    end = batch.end;
  }
  const body = Buffer.concat([encodeHeader(header, end, batches.length), ...parts]);
  return Buffer.concat([body, Buffer.from(sha256(body), "hex")]);
}

/** Whether two positions are the same point of the same log. */
export function isSame(a: Position, b: Position): boolean {
  return a.index === b.index && a.term === b.term && a.chain === b.chain;
}

/** The hash at the end of a log object's bytes. */
export function hashOf(bytes: Buffer): string {
  return bytes.toString("hex", Math.max(0, bytes.length - hashBytes));
}

/**
 * The log object found in slot `seq`. CorruptionError when it is not what was put there;
 * ForeignError when it is of another cluster, or of a newer format. The entries are not decoded
 * (`decodeBatch`).
 */
export function decodeLogObject(seq: number, bytes: Buffer, cluster: bigint): LogObject {
  const key = logKey(seq);
  const end = bytes.length - hashBytes;
  const hash = hashOf(bytes);
  if (end < headerBytes || sha256(bytes.subarray(0, end)) !== hash) {
    throw damaged(key, damageAt(bytes), "it is not what was put there");
  }
  if (!bytes.subarray(0, magic.length).equals(magic)) {
    throw damaged(key, 0, "it does not begin as a log object does");
  }
  const version = bytes.readUInt32LE(8);
  if (version !== formatVersion) {
    const what = `has log object format ${version}, this T4 reads format ${formatVersion}`;
    throw new ForeignError(key, what, "start the version of T4 that wrote it, or a newer one");
  }
  const read = new Reader(key, bytes);
  refuseOtherCluster(key, read.big(16), cluster);
  if (read.number(32) !== seq)
    throw damaged(key, 32, `it is the object of slot ${read.number(32)}`);
  const header = readHeader(read, hash);
  const batches = readBatches(read, header.base, bytes.readUInt32LE(160), end);
  if (!isSame(batches.at(-1)?.end ?? header.base, header.end)) {
    throw damaged(key, 112, "it says it ends otherwise than with its last batch");
  }
  if ((header.kind === "fence") !== (batches.length === 0)) {
    throw damaged(key, 12, `it is a ${header.kind} object of ${batches.length} batches`);
  }
  return { ...header, batches };
}

function encodeHeader(header: LogHeader, end: Position, batches: number): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt8(kinds.indexOf(header.kind), 12);
  bytes.writeBigUInt64LE(header.cluster, 16);
  bytes.writeBigUInt64LE(BigInt(header.term), 24);
  bytes.writeBigUInt64LE(BigInt(header.seq), 32);
  bytes.writeBigUInt64LE(header.writer, 40);
  bytes.writeBigUInt64LE(header.nonce, 48);
  bytes.write(header.previousHash, 56, "hex");
  writePosition(bytes, header.base, 88);
  writePosition(bytes, end, 112);
  bytes.writeBigUInt64LE(BigInt(header.firstRevision), 136);
  bytes.writeBigUInt64LE(BigInt(header.lastRevision), 144);
  bytes.writeBigUInt64LE(BigInt(header.wallMs), 152);
  bytes.writeUInt32LE(batches, 160);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, headerCrcAt)), headerCrcAt);
  return bytes;
}

function writePosition(bytes: Buffer, { chain, index, term }: Position, at: number): void {
  bytes.writeBigUInt64LE(BigInt(index), at);
  bytes.writeBigUInt64LE(BigInt(term), at + 8);
  bytes.writeBigUInt64LE(chain, at + 16);
}

function encodeBatchHeader(batch: Batch): Buffer {
  const bytes = Buffer.alloc(batchHeaderBytes);
  bytes.writeUInt32LE(batch.count, 0);
  bytes.writeBigUInt64LE(BigInt(batch.firstRevision), 4);
  bytes.writeBigUInt64LE(BigInt(batch.lastRevision), 12);
  bytes.writeBigUInt64LE(BigInt(batch.wallMs), 20);
  bytes.writeBigUInt64LE(BigInt(batch.end.term), 28);
  bytes.writeBigUInt64LE(batch.end.chain, 36);
  bytes.writeUInt32LE(batch.entries.length, 44);
  bytes.writeUInt32LE(batchCrc(bytes, batch.entries), 48);
  return bytes;
}

function batchCrc(header: Buffer, entries: Buffer): number {
  return crc32(entries, crc32(header.subarray(0, batchHeaderBytes - 4)));
}

function readHeader(read: Reader, hash: string): Omit<LogObject, "batches"> {
  const { bytes, key } = read;
  const kind = kinds[bytes.readUInt8(12)];
  if (kind === undefined) throw damaged(key, 12, `it is of kind ${bytes.readUInt8(12)}`);
  return {
    kind,
    cluster: read.big(16),
    term: read.term(24),
    seq: read.number(32),
    writer: read.big(40),
    nonce: read.big(48),
    previousHash: bytes.toString("hex", 56, 88),
    base: read.position(88),
    end: read.position(112),
    firstRevision: read.number(136),
    lastRevision: read.number(144),
    wallMs: read.number(152),
    hash,
  };
}

function readBatches(read: Reader, base: Position, count: number, end: number): Batch[] {
  const batches: Batch[] = [];
  let previous = base;
  let at = headerBytes;
  while (batches.length < count && at + batchHeaderBytes <= end) {
    const next = at + batchHeaderBytes + read.bytes.readUInt32LE(at + 44);
    if (next > end) break;
    const batch = readBatch(read, previous, at, next);
    batches.push(batch);
    previous = batch.end;
    at = next;
  }
  if (at === end && batches.length === count) return batches;
  throw damaged(read.key, at, "the lengths of its batches do not add up");
}

function readBatch(read: Reader, previous: Position, at: number, next: number): Batch {
  const count = read.bytes.readUInt32LE(at);
  if (count === 0) throw damaged(read.key, at, "a batch is empty");
  const index = indexOf(previous.index + count);
  return {
    previous,
    end: { index, term: read.term(at + 28), chain: read.big(at + 36) },
    count,
    firstRevision: read.number(at + 4),
    lastRevision: read.number(at + 12),
    wallMs: read.number(at + 20),
    entries: read.bytes.subarray(at + batchHeaderBytes, next),
  };
}

/** Where the first part begins whose own checksum is wrong; the end when all of them are right. */
function damageAt(bytes: Buffer): number {
  if (bytes.length < headerBytes + hashBytes) return bytes.length;
  if (bytes.readUInt32LE(headerCrcAt) !== crc32(bytes.subarray(0, headerCrcAt))) return 0;
  const end = bytes.length - hashBytes;
  let at = headerBytes;
  for (let left = bytes.readUInt32LE(160); left > 0; left--) {
    if (at + batchHeaderBytes > end) return at;
    const next = at + batchHeaderBytes + bytes.readUInt32LE(at + 44);
    if (next > end) return at;
    const crc = batchCrc(bytes.subarray(at), bytes.subarray(at + batchHeaderBytes, next));
    if (crc !== bytes.readUInt32LE(at + 48)) return at;
    at = next;
  }
  return at;
}

/** Numbers out of an object; CorruptionError for those that T4 does not count up to. */
class Reader {
  readonly key: string;
  readonly bytes: Buffer;

  constructor(key: string, bytes: Buffer) {
    this.key = key;
    this.bytes = bytes;
  }

  big(at: number): bigint {
    return this.bytes.readBigUInt64LE(at);
  }

  number(at: number): number {
    const value = Number(this.big(at));
    if (Number.isSafeInteger(value)) return value;
    throw damaged(this.key, at, `${value} is no number that T4 counts up to`);
  }

  index(at: number): Index {
    return indexOf(this.number(at));
  }

  term(at: number): Term {
    return termOf(this.number(at));
  }

  position(at: number): Position {
    return { index: this.index(at), term: this.term(at + 8), chain: this.big(at + 16) };
  }
}

function damaged(key: string, offset: number, what: string): CorruptionError {
  return new CorruptionError(key, offset, what, damageHint);
}

/** What the operator can do about a damaged log object. */
export const damageHint = "put an older version of the object back where the store keeps versions";
