/**
 * A segment: one file of the log. Its name is `<first index, 20 digits>-<opening, 10 digits>.wal`;
 * the opening counts the starts of the directory. Its first sector is a header, frames follow.
 *
 *   0      8       12    16      24    32       40       48    52        512
 *   +------+-------+-----+-------+-----+--------+--------+-----+---------+---------+---------+--
 *   |magic |format |salt |cluster|first|previous|previous|crc32| zeros   | frame   | frame   | ...
 *   |      |version|     |       |index|term    |chain   |     |         |         |         |
 *   +------+-------+-----+-------+-----+--------+--------+-----+---------+---------+---------+--
 *
 * Numbers are little-endian. "Previous" is the entry before the first. Magic, format version, and
 * the CRC (of the 48 bytes before it) stay where they are in every format to come, so that damage
 * is not taken for a newer format.
 *
 * A segment is made under a temporary name, synced, and renamed. So whatever has the name of a
 * segment has a whole header; and where two have the same first index, the one with the higher
 * opening holds all that the other does.
 */
import { crc32 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, type DiskFile, removeIfThere, temporarySuffix } from "../lib/disk.ts";
import { type Index, indexOf, type Position, termOf } from "../model/revision.ts";
import { sectorBytes } from "./frame.ts";

/** Where the first frame of a segment begins. */
export const framesAt = sectorBytes;

export const segmentSuffix = ".wal";

const magic = Buffer.from("t4 log\r\n", "latin1");
const formatVersion = 1;
const headerCrcAt = 48;

/** What a segment's name says. */
export interface SegmentName {
  readonly name: string;
  /** Index of the first entry it holds, or will hold. */
  readonly first: Index;
  /** Which start of the directory made it, from 1. */
  readonly opening: number;
}

export interface SegmentHeader {
  readonly cluster: bigint;
  readonly salt: number;
  /** The entry before the first. */
  readonly previous: Position;
}

/** The name of the segment that begins with entry `first`, made by start number `opening`. */
export function segmentName(first: Index, opening: number): SegmentName {
  const digits = `${first}`.padStart(20, "0");
  const name = `${digits}-${`${opening}`.padStart(10, "0")}${segmentSuffix}`;
  return { name, first, opening };
}

/** What `name` says; undefined when it is not a segment's. */
function parseSegmentName(name: string): SegmentName | undefined {
  const [, first, opening] = /^(\d{20})-(\d{10})\.wal$/.exec(name) ?? [];
  if (first === undefined || !Number.isSafeInteger(Number(first))) return undefined;
  return { name, first: indexOf(Number(first)), opening: Number(opening) };
}

/** The names of a directory of the log. */
export interface Arranged {
  /** The segments that count, in order of their entries. */
  readonly names: SegmentName[];
  /** Segments of which there is a newer copy. */
  readonly replaced: SegmentName[];
  /** Names that are no segment's. */
  readonly others: string[];
}

/** Tells the names of a directory, which are sorted, from each other. */
export function arrange(listing: readonly string[]): Arranged {
  const names: SegmentName[] = [];
  const replaced: SegmentName[] = [];
  const others: string[] = [];
  for (const name of listing) {
    const parsed = parseSegmentName(name);
    if (parsed === undefined) {
      others.push(name);
      continue;
    }
    // Names sort by first index, then opening.
    if (names.at(-1)?.first === parsed.first) replaced.push(...names.splice(-1));
    names.push(parsed);
  }
  return { names, replaced, others };
}

/** Refuses a file that looks like a segment and is none. */
export function refuseForeign(directory: string, { others }: Arranged): void {
  const other = others.find((name) => name.endsWith(segmentSuffix));
  if (other === undefined) return;
  const path = `${directory}/${other}`;
  throw new ForeignError(path, "is not named as a segment of the log is", "move it elsewhere");
}

/**
 * Makes a file that is to become the segment `path`, by `writeHeader`, `file.sync`, a rename from
 * `file.path`, and `syncDirectory`, in that order. A draft left by an earlier try is replaced.
 */
export function draftSegment(disk: Disk, path: string): DiskFile {
  const draft = `${path}${temporarySuffix}`;
  removeIfThere(disk, draft);
  return disk.create(draft);
}

/** Writes the header of the segment in `file`. */
export function writeHeader(file: DiskFile, header: SegmentHeader): void {
  file.write(encodeHeader(header), 0);
}

function encodeHeader({ cluster, previous, salt }: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(sectorBytes);
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(salt, 12);
  bytes.writeBigUInt64LE(cluster, 16);
  bytes.writeBigUInt64LE(BigInt(previous.index) + 1n, 24);
  bytes.writeBigUInt64LE(BigInt(previous.term), 32);
  bytes.writeBigUInt64LE(previous.chain, 40);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, headerCrcAt)), headerCrcAt);
  return bytes;
}

/**
 * The header of the segment in `file`. CorruptionError when it is damaged, ForeignError when it is
 * of another cluster than `cluster`, where that is known, or of a newer format.
 */
export function readSegmentHeader(
  file: DiskFile,
  { first }: SegmentName,
  cluster: bigint | undefined,
): SegmentHeader {
  const { path } = file;
  const bytes = Buffer.alloc(sectorBytes);
  const whole = file.read(bytes, 0) === sectorBytes;
  const sound = bytes.readUInt32LE(headerCrcAt) === crc32(bytes.subarray(0, headerCrcAt));
  if (!whole || !sound || !bytes.subarray(0, magic.length).equals(magic)) {
    throw new CorruptionError(path, 0, "it does not begin with a segment header", damageHint);
  }
  const version = bytes.readUInt32LE(8);
  if (version !== formatVersion) {
    const what = `has log format ${version}, this T4 reads format ${formatVersion}`;
    throw new ForeignError(path, what, "start the version of T4 that wrote it, or a newer one");
  }
  const owner = bytes.readBigUInt64LE(16);
  if (cluster !== undefined && owner !== cluster) {
    const what = `is of cluster ${owner.toString(16)}, not of ${cluster.toString(16)}`;
    throw new ForeignError(path, what, "give each cluster its own data directory");
  }
  const found = Number(bytes.readBigUInt64LE(24));
  if (found !== first) {
    throw new CorruptionError(path, 24, `its header says it begins at entry ${found}`, damageHint);
  }
  const term = termOf(Number(bytes.readBigUInt64LE(32)));
  const previous = { index: indexOf(first - 1), term, chain: bytes.readBigUInt64LE(40) };
  return { cluster: owner, salt: bytes.readUInt32LE(12), previous };
}

/** What the operator can do about a damaged log. */
export const damageHint = "restore the data directory from a backup, and check the disk";
