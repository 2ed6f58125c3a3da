/**
 * A table: an immutable file of rows in key order. Its name is the SHA-256 of all its bytes, in
 * lower-case hex, and ".sst".
 *
 *   +-------+-------+-   -+-------+--------+--------+------------+------+
 *   | block | block | ... | block | index  | filter | info       | tail |
 *   +-------+-------+-   -+-------+--------+--------+------------+------+
 *   |<--------- read as wanted -->|<----------- read at open ---------->|
 *
 *   block   see block.ts; the CRC's seed is salt xor the block's offset
 *   index   a block with one row for each block: a key at or after the block's last key and before
 *           the next block's first -> offset, u32 | length, u32
 *   filter  see filter.ts; of every different prefix of a key, as the schema cuts them
 *   info    JSON: rows, deletions, first and last key (base64), summary
 *
 *   tail    0       4       8       12      16      20      24      28      36
 *           +-------+-------+-------+-------+-------+-------+-------+-------+
 *           |index  |filter |info   |salt   |crc32  |format |crc32  |magic  |
 *           |bytes  |bytes  |bytes  |       |of them|version|of tail|       |
 *           +-------+-------+-------+-------+-------+-------+-------+-------+
 *
 * Numbers are u32, little-endian. "Of them" is index, filter and info together; "of tail" the bytes
 * before it. Magic, that CRC and the format version stay where they are in every format to come, so
 * that damage is not taken for a newer format. The salt is random: two tables with the same rows
 * have different names, and a block of one is not taken for a block of the other.
 */
import { type ByteString, byteStringOf, bytesOf } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, DiskError, type DiskFile } from "../lib/disk.ts";
import { BlockCursor, blockIsWhole, RestartKeys } from "./block.ts";
import type { CachedBlock } from "./cache.ts";
import { Fences } from "./fences.ts";
import type { TableInfo } from "./tree.ts";

export const tableSuffix = ".sst";
export const tailBytes = 36;
export const tableMagic = Buffer.from("t4 table", "latin1");
export const tableFormat = 1;

const damagedHint =
  "restore the file from a backup, or remove the data directory and restore the database";

/** What a table says about its rows, in its info and in the manifest. */
export interface TableClaims {
  /** Deletions included. */
  readonly rows: number;
  readonly deletions: number;
  readonly first: ByteString;
  readonly last: ByteString;
  /** What Schema.summary made of the rows. */
  readonly summary: Readonly<Record<string, number>>;
}

/** Gives the bytes of blocks that are whole. */
export interface BlockReader {
  /** The block of `length` bytes at `offset`. CorruptionError when it is not what was written. */
  read(table: Table, offset: number, length: number): Buffer;
}

/** The file of the table with this hash. */
export function tablePath(directory: string, hash: string): string {
  return `${directory}/${hash}${tableSuffix}`;
}

const sliceBytes = 2 ** 19;

/** All bytes of a table's file; whoever writes meanwhile waits for one slice at a time. DiskError. */
export async function readSliced(
  disk: Disk,
  path: string,
  clock: Pick<Clock, "yield">,
): Promise<Buffer> {
  const file = disk.open(path);
  try {
    const bytes = Buffer.allocUnsafeSlow(file.size());
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      file.read(bytes.subarray(at, at + sliceBytes), at);
      await clock.yield();
    }
    return bytes;
  } finally {
    file.close();
  }
}

/** TableClaims as JSON carries them: keys in base64. */
export function claimsToJson(claims: TableClaims) {
  const { deletions, first, last, rows, summary } = claims;
  return {
    rows,
    deletions,
    first: bytesOf(first).toString("base64"),
    last: bytesOf(last).toString("base64"),
    summary,
  };
}

/** What claimsToJson made. */
export type ClaimsJson = ReturnType<typeof claimsToJson>;

export function claimsFromJson(json: ClaimsJson): TableClaims {
  const { deletions, first, last, rows, summary } = json;
  return { rows, deletions, first: fromBase64(first), last: fromBase64(last), summary };
}

function fromBase64(text: string): ByteString {
  return byteStringOf(Buffer.from(text, "base64"));
}

/** An open table. */
export class Table {
  readonly info: TableInfo;
  readonly path: string;
  /** A whole block; see the picture above. */
  readonly index: Buffer;
  readonly filter: Buffer;
  readonly salt: number;
  /** What the cache has of its blocks, by their offsets. */
  readonly cached = new Map<number, CachedBlock>();
  readonly #file: DiskFile;
  #fences: Fences | undefined;

  private constructor(path: string, info: TableInfo, file: DiskFile, parts: Parts) {
    this.path = path;
    this.info = info;
    this.#file = file;
    this.index = parts.index;
    this.filter = parts.filter;
    this.salt = parts.salt;
  }

  /**
   * Opens the table that `info` is about and holds the file's claims against it. CorruptionError
   * when it is missing or not as claimed, ForeignError when a newer T4 wrote it.
   */
  static open(disk: Disk, directory: string, info: TableInfo): Table {
    const path = tablePath(directory, info.hash);
    const file = openTableFile(disk, path);
    try {
      return new Table(path, info, file, readParts(file, info));
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /** Where a search in the index begins; made when it is first wanted. */
  get fences(): Fences {
    this.#fences ??= new Fences(new RestartKeys(this.index));
    return this.#fences;
  }

  /** Fills `target` with the block at `offset`, which has that length. CorruptionError. */
  readBlock(target: Buffer, offset: number): void {
    const length = this.#file.read(target, offset);
    if (length < target.length) throw damaged(this.path, offset + length, "the file ends here");
    this.checkBlock(target, offset);
  }

  /** Throws a CorruptionError unless `block` is the one that was written at `offset`. */
  checkBlock(block: Buffer, offset: number): void {
    if (blockIsWhole(block, blockSeed(this.salt, offset))) return;
    throw damaged(this.path, offset, `a block of ${block.length} bytes has a wrong checksum`);
  }

  /** Fills `target` with what is at `offset`, unchecked; returns the bytes read. */
  readRaw(target: Buffer, offset: number): number {
    return this.#file.read(target, offset);
  }

  close(): void {
    this.#file.close();
  }
}

/** The seed of the CRC of the block at `offset`. */
export function blockSeed(salt: number, offset: number): number {
  return (salt ^ offset) >>> 0;
}

interface Parts {
  readonly index: Buffer;
  readonly filter: Buffer;
  readonly salt: number;
}

function openTableFile(disk: Disk, path: string): DiskFile {
  try {
    return disk.open(path);
  } catch (error) {
    if (!(error instanceof DiskError && error.code === "ENOENT")) throw error;
    throw damaged(path, 0, "the manifest names this table and it is not there");
  }
}

/** Reads and checks everything behind the blocks. */
function readParts(file: DiskFile, info: TableInfo): Parts {
  const size = file.size();
  if (size !== info.bytes) {
    const what = `the file has ${size} bytes where the manifest says ${info.bytes}`;
    throw damaged(file.path, Math.min(size, info.bytes), what);
  }
  const { crc, filterBytes, indexBytes, infoBytes, salt } = readTail(file, size);
  const restBytes = indexBytes + filterBytes + infoBytes;
  const indexAt = size - tailBytes - restBytes;
  if (indexAt < 0) throw damaged(file.path, size - tailBytes, "its parts are longer than the file");
  const rest = readExactly(file, indexAt, restBytes);
  if (crc32(rest) !== crc) throw damaged(file.path, indexAt, "index, filter or info are damaged");
  const index = rest.subarray(0, indexBytes);
  const filter = rest.subarray(indexBytes, indexBytes + filterBytes);
  const claims = JSON.parse(rest.toString("utf8", indexBytes + filterBytes)) as ClaimsJson;
  if (JSON.stringify(claims) !== JSON.stringify(claimsToJson(info))) {
    const what = `it claims ${JSON.stringify(claims)} where the manifest says otherwise`;
    throw damaged(file.path, indexAt + indexBytes + filterBytes, what);
  }
  if (!blockIsWhole(index, blockSeed(salt, indexAt)) || blocksEnd(index) !== indexAt) {
    throw damaged(file.path, indexAt, "the index does not cover the blocks");
  }
  return { index, filter, salt };
}

function readTail(file: DiskFile, size: number) {
  const at = size - tailBytes;
  if (at < 0) throw damaged(file.path, 0, `${size} bytes are too few for a table`);
  const tail = readExactly(file, at, tailBytes);
  if (!tail.subarray(28).equals(tableMagic)) throw damaged(file.path, at + 28, "it is no table");
  if (tail.readUInt32LE(24) !== crc32(tail.subarray(0, 24))) {
    throw damaged(file.path, at, "the tail has a wrong checksum");
  }
  const format = tail.readUInt32LE(20);
  if (format !== tableFormat) {
    const what = `has table format ${format}, this version reads ${tableFormat}`;
    throw new ForeignError(
      file.path,
      what,
      "start the version of T4 that wrote it, or a newer one",
    );
  }
  return {
    indexBytes: tail.readUInt32LE(0),
    filterBytes: tail.readUInt32LE(4),
    infoBytes: tail.readUInt32LE(8),
    salt: tail.readUInt32LE(12),
    crc: tail.readUInt32LE(16),
  };
}

/** Where the last block of an index ends; 0 when it has none. */
function blocksEnd(index: Buffer): number {
  const blocks = new BlockCursor();
  blocks.open(index);
  let end = 0;
  while (blocks.next()) {
    const offset = index.readUInt32LE(blocks.start);
    if (offset !== end) return -1;
    end = offset + index.readUInt32LE(blocks.start + 4);
  }
  return end;
}

function readExactly(file: DiskFile, offset: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length);
  const count = file.read(bytes, offset);
  if (count < length) throw damaged(file.path, offset + count, "the file ends here");
  return bytes;
}

function damaged(path: string, offset: number, what: string): CorruptionError {
  return new CorruptionError(path, offset, what, damagedHint);
}
