/**
 * Opens the log that an earlier start left behind.
 *
 *   1. List the segments; half-made ones are removed. Of two with the same first index the one with
 *      the higher opening counts: its copy is complete (step 3).
 *   2. Read them (replay.ts).
 *   3. Copy what is whole of the last segment into a new one and make that durable. So no file of
 *      an earlier start is written to again, and nothing that was read is lost after all: where an
 *      fsync had failed, the page cache may hold what the disk does not.
 *   4. Only then remove what step 3 and earlier copies have replaced. That it goes need not be
 *      durable: step 1 knows it when it comes back. What lies beyond the given end goes durably: it
 *      would be read in the place of what is written from now on.
 */
import { crc32 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Disk, type DiskFile, ensureDirectory, temporarySuffix } from "../lib/disk.ts";
import type { Random } from "../lib/random.ts";
import { indexOf, origin, type Position } from "../model/revision.ts";
import { randomSalt } from "./frame.ts";
import { missing, Replay, type ReplayOptions, type Segment } from "./replay.ts";
import type { Scan } from "./scan.ts";
import {
  arrange,
  damageHint,
  draftSegment,
  framesAt,
  refuseForeign,
  type SegmentName,
  segmentName,
  segmentSuffix,
  writeHeader,
} from "./segment.ts";

export interface RecoverOptions extends ReplayOptions {
  readonly disk: Disk;
  /** For salts. */
  readonly random: Random;
}

/** The log as it was found, ready to go on. */
export interface Recovered {
  /** In order of their entries; the last one is the active one. */
  readonly segments: Segment[];
  /** The active segment, open for writing. */
  readonly file: DiskFile;
  readonly salt: number;
  /** After the last entry. */
  readonly position: Position;
  /** Wall clock of the last frame, in milliseconds, or the least it may be. */
  readonly wallMs: number;
  /** The number of this start. */
  readonly opening: number;
}

const copyBytes = 2 ** 20;

/**
 * Reads the log in `options.directory`, which is made when absent, and leaves its active segment
 * open for writing. Throws CorruptionError, ForeignError or DiskError, and has then removed nothing
 * but half-made files.
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { applied, directory, disk, random, wallMsMin: wallMs = 0 } = options;
  await ensureDirectory(disk, directory);
  const { names, opening, replaced } = listSegments(options);
  if (names.length === 0) {
    if (applied.index > 0) throw missing(directory, 1, applied.index, "there is no segment");
    const salt = randomSalt(random);
    const { file, segment } = await makeActive(options, { opening, previous: origin, salt });
    return { segments: [segment], file, salt, position: origin, wallMs, opening };
  }
  const replay = new Replay(options, names);
  const last = await replay.run();
  try {
    const { file, segment } = await makeActive(options, { ...last, opening });
    for (const { name } of [...replaced, last, ...replay.beyond]) {
      disk.remove(`${directory}/${name}`);
    }
    if (replay.beyond.length > 0) await durably(file, disk.syncDirectory(directory));
    const { position, wallMs: lastMs } = replay;
    const { salt } = last;
    const segments = [...replay.sealed, segment];
    return { segments, file, salt, position, wallMs: lastMs, opening };
  } finally {
    last.file.close();
  }
}

/**
 * Makes a log in `options.directory` that goes on after `from`; whatever was there is removed. What a
 * crash leaves of it is a log that does not reach `from`, or this one.
 */
export async function begin(options: RecoverOptions, from: Position): Promise<Recovered> {
  const { directory, disk, random, wallMsMin: wallMs = 0 } = options;
  await ensureDirectory(disk, directory);
  const { names, opening, replaced } = listSegments(options);
  for (const { name } of [...replaced, ...names]) disk.remove(`${directory}/${name}`);
  await disk.syncDirectory(directory);
  const salt = randomSalt(random);
  const { file, segment } = await makeActive(options, { opening, previous: from, salt });
  return { segments: [segment], file, salt, position: from, wallMs, opening };
}

/** The segments in order, the ones that copies have replaced, and the number of this start. */
export function listSegments({
  directory,
  disk,
  logger,
}: Pick<RecoverOptions, "directory" | "disk" | "logger">): {
  names: SegmentName[];
  replaced: SegmentName[];
  opening: number;
} {
  const arranged = arrange(disk.list(directory));
  refuseForeign(directory, arranged);
  const { names, others, replaced } = arranged;
  for (const name of others) {
    const path = `${directory}/${name}`;
    if (name.endsWith(`${segmentSuffix}${temporarySuffix}`)) disk.remove(path);
    else logger.warn("a file in the log's directory is not the log's", { path });
  }
  const opening = Math.max(0, ...[...names, ...replaced].map((each) => each.opening)) + 1;
  return { names, replaced, opening };
}

interface Making {
  readonly opening: number;
  /** The entry before its first. */
  readonly previous: Position;
  readonly salt: number;
  /** The segment whose frames it takes over, and the scan that found them. */
  readonly file?: DiskFile;
  readonly scan?: Scan;
}

/** Makes the segment to append to, durably. */
async function makeActive(
  { clock, cluster, directory, disk }: RecoverOptions,
  { file: from, opening, previous, salt, scan }: Making,
): Promise<{ file: DiskFile; segment: Segment }> {
  const name = segmentName(indexOf(previous.index + 1), opening);
  const path = `${directory}/${name.name}`;
  const file = draftSegment(disk, path);
  try {
    writeHeader(file, { cluster, salt, previous });
    if (from !== undefined && scan !== undefined) await copyFrames(from, scan, file, clock);
    await file.sync();
    disk.rename(file.path, path);
    await disk.syncDirectory(directory);
  } catch (error) {
    file.close();
    throw error;
  }
  return { file, segment: { ...name, bytes: scan?.offset ?? framesAt } };
}

/** Waits for `synced`; closes `file` when it fails. */
async function durably(file: DiskFile, synced: Promise<void>): Promise<void> {
  try {
    await synced;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Copies the frames that `scan` found whole, salt and all, if they still are what it read. */
async function copyFrames(from: DiskFile, scan: Scan, to: DiskFile, clock: Clock): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(copyBytes);
  let checksum = 0;
  for (let at = framesAt; at < scan.offset; at += copyBytes) {
    const piece = buffer.subarray(0, Math.min(copyBytes, scan.offset - at));
    const read = from.read(piece, at);
    checksum = crc32(piece.subarray(0, read), checksum);
    to.write(piece, at);
    await clock.yield();
  }
  if (checksum !== scan.checksum) {
    throw new CorruptionError(from.path, framesAt, "two reads of it differ", damageHint);
  }
}
