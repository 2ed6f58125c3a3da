/**
 * One pass over the segments of an earlier start, from the last one that holds, or follows, the
 * entry up to which the tables hold the log; older ones are not read, and what is missing from them
 * is not needed. Each segment is read up to the first index of the next, whose header repeats where
 * the log stands there; what follows in it is an append that failed for want of room, and is
 * ignored. The last one is read to its end. A torn frame there is cut off, said once. Any other
 * broken frame, gap or contradiction is a CorruptionError: nothing is skipped to go on.
 */
import { must } from "../lib/assert.ts";
import { chainHash } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk, DiskFile } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Entry } from "../model/entry.ts";
import { decodeEntry } from "../model/record.ts";
import { type Index, indexOf, origin, type Position } from "../model/revision.ts";
import { openFrame } from "./frame.ts";
import { type BrokenFrame, Scan, type WholeFrame } from "./scan.ts";
import { damageHint, readSegmentHeader, type SegmentName } from "./segment.ts";

export interface ReplayOptions {
  readonly disk: Pick<Disk, "open">;
  /** Where the segments are. */
  readonly directory: string;
  /** Whose log this is; another cluster's is refused. */
  readonly cluster: bigint;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Up to where the tables hold the log durably. */
  readonly applied: Position;
  /** No frame after `applied` is stamped earlier, in milliseconds since 1970; absent: 0. */
  readonly wallMsMin?: number | undefined;
  /**
   * Takes every entry after `applied`, in order, with the position after it and the wall clock of
   * its frame. Values are views of memory that is theirs.
   */
  readonly replay: (entry: Entry, position: Position, wallMs: number) => void;
  /**
   * The last entry to be taken, where a frame must end; what follows it is dropped. Absent: all
   * there are.
   */
  readonly end?: Index | undefined;
  /** Told now and then how many bytes have been read, of how many. */
  readonly progress?: (doneBytes: number, totalBytes: number) => void;
}

/** One file of the log. */
export interface Segment extends SegmentName {
  /** Bytes that hold header and whole frames. */
  bytes: number;
}

const sliceMs = 5;

/** The last segment, read to its end. */
export interface LastSegment extends SegmentName {
  readonly file: DiskFile;
  readonly salt: number;
  readonly previous: Position;
  readonly scan: Scan;
}

/** The pass; keeps where it stands. */
export class Replay {
  readonly #options: ReplayOptions;
  readonly #names: readonly SegmentName[];
  /** Every segment but the last, those before the pass included. */
  readonly sealed: Segment[] = [];
  /** The segments after `end`. */
  beyond: readonly SegmentName[] = [];
  /** After the last entry read. */
  position: Position = origin;
  /** Wall clock of the last frame read, or the least it may be. */
  wallMs: number;
  #doneBytes = 0;
  #totalBytes = 0;
  #yieldedAt = 0;

  constructor(options: ReplayOptions, names: readonly SegmentName[]) {
    this.#options = options;
    this.#names = names;
    this.wallMs = options.wallMsMin ?? 0;
  }

  /** Reads all that is needed. The last segment's file is left open, for the caller to close. */
  async run(): Promise<LastSegment> {
    const { applied, clock, directory, progress } = this.#options;
    const names = this.#names;
    const start = names.findLastIndex(({ first }) => first <= applied.index + 1);
    if (start < 0) {
      const { first } = at(names, 0);
      const why = `the log begins at entry ${first}`;
      throw missing(directory, applied.index + 1, first - 1, why);
    }
    this.#totalBytes = this.#listSizes(start);
    this.#yieldedAt = clock.now();
    let last = await this.#read(at(names, start), names[start + 1], true);
    let next = start + 1;
    for (; next < names.length && !this.#isAtEnd; next++) {
      last.file.close();
      // The file may be longer: room that was not used, or an append that failed.
      must(this.sealed[next - 1], "all but the last are sealed").bytes = last.scan.offset;
      last = await this.#read(at(names, next), names[next + 1], false);
    }
    this.beyond = names.slice(next);
    this.sealed.length -= this.beyond.length;
    progress?.(this.#totalBytes, this.#totalBytes);
    return last;
  }

  /** Reads one segment, up to the first entry of `next` or to its end. */
  async #read(
    name: SegmentName,
    next: SegmentName | undefined,
    isStart: boolean,
  ): Promise<LastSegment> {
    const { cluster, directory, disk } = this.#options;
    const file = disk.open(`${directory}/${name.name}`);
    try {
      const { previous, salt } = readSegmentHeader(file, name, cluster);
      if (isStart) this.#begin(previous, file.path);
      else this.#follows(previous, file.path);
      const scan = new Scan(file, salt);
      await this.#readFrames(file.path, salt, scan, next);
      return { ...name, file, salt, previous, scan };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  async #readFrames(
    path: string,
    salt: number,
    scan: Scan,
    next: SegmentName | undefined,
  ): Promise<void> {
    const before = this.#doneBytes;
    while (!this.#isAtEnd && (next === undefined || this.position.index + 1 < next.first)) {
      const frame = scan.next();
      if (frame === undefined) {
        if (next === undefined) break;
        const why = `the next segment begins at entry ${next.first}`;
        throw missing(path, this.position.index + 1, next.first - 1, why, scan.offset);
      }
      if (frame.kind === "broken") {
        this.#cutOff(path, frame, next === undefined);
        break;
      }
      await this.#take(path, frame, salt);
      this.#doneBytes = before + scan.offset;
    }
    if (this.#isAtEnd) return;
    if (next === undefined && this.position.index < this.#options.applied.index) {
      throw this.#contradiction(path, scan.offset);
    }
  }

  get #isAtEnd(): boolean {
    return this.position.index === this.#options.end;
  }

  /** Says that a torn frame is cut off; CorruptionError when it is not torn. */
  #cutOff(path: string, frame: BrokenFrame, isLast: boolean): void {
    const expected = this.position.index + 1;
    if (!isLast || !frame.torn) {
      const what = `${frame.what}, entry ${expected} is expected there`;
      throw new CorruptionError(path, frame.offset, what, damageHint);
    }
    const bytes = frame.end - frame.offset;
    const fields = { path, offset: frame.offset, bytes, index: expected, found: frame.what };
    this.#options.logger.warn("cut off an append that a crash had interrupted", fields);
  }

  async #take(path: string, frame: WholeFrame, salt: number): Promise<void> {
    const { header, offset } = frame;
    const { applied } = this.#options;
    const damaged = (what: string) => new CorruptionError(path, offset, what, damageHint);
    if (header.first !== this.position.index + 1) {
      throw damaged(`entry ${header.first} follows entry ${this.position.index}`);
    }
    const { end = Infinity } = this.#options;
    if (header.first + header.count - 1 > end) throw damaged(`no frame ends with entry ${end}`);
    const content = openFrame(frame.bytes, header, salt);
    if (content === undefined) throw damaged("the lengths in a frame do not add up");
    this.wallMs = Math.max(this.wallMs, content.wallMs);
    for (const bytes of content.entries) {
      const index = indexOf(this.position.index + 1);
      const chain = chainHash(this.position.chain, bytes);
      if (index <= applied.index) {
        this.position = { index, term: applied.term, chain };
        if (index === applied.index) this.#agrees(path, offset);
        continue;
      }
      const entry = decoded(bytes, damaged);
      if (entry.index !== index) throw damaged(`entry ${entry.index} is in the place of ${index}`);
      if (entry.term < this.position.term) throw damaged(`the term falls at entry ${index}`);
      this.position = { index, term: entry.term, chain };
      this.#options.replay(entry, this.position, this.wallMs);
      if ((index & 0xff) === 0) await this.#breathe();
    }
    if (this.position.chain !== header.chain) throw damaged("the chain of entries is broken");
    await this.#breathe();
  }

  /** Takes the position that the first segment to be read begins at. */
  #begin(previous: Position, path: string): void {
    const { applied } = this.#options;
    this.position = previous;
    if (previous.index !== applied.index) return;
    if (previous.term !== applied.term) throw this.#contradiction(path, 0);
    this.#agrees(path, 0);
  }

  /** Checks that a segment begins where the one before ended. */
  #follows(previous: Position, path: string): void {
    const { chain, index, term } = this.position;
    if (previous.index === index && previous.chain === chain && previous.term === term) return;
    const what = `it does not follow entry ${index} of the segment before`;
    throw new CorruptionError(path, 0, what, damageHint);
  }

  /** Checks that the tables were made from this log. */
  #agrees(path: string, offset: number): void {
    if (this.position.chain !== this.#options.applied.chain) {
      throw this.#contradiction(path, offset);
    }
  }

  #contradiction(path: string, offset: number): CorruptionError {
    const { applied } = this.#options;
    const what =
      this.position.index < applied.index
        ? `the log ends with entry ${this.position.index}, the tables with ${applied.index}`
        : `log and tables disagree about the entries up to ${applied.index}`;
    return new CorruptionError(path, offset, what, damageHint);
  }

  /** Lets the event loop turn when this has run for a while. */
  async #breathe(): Promise<void> {
    const { clock, progress } = this.#options;
    if (clock.now() - this.#yieldedAt < sliceMs) return;
    progress?.(this.#doneBytes, this.#totalBytes);
    await clock.yield();
    this.#yieldedAt = clock.now();
  }

  /** Notes the segments before the last; returns how many bytes there are from `start` on. */
  #listSizes(start: number): number {
    const { directory, disk } = this.#options;
    const segments = this.#names.map((name) => {
      return { ...name, bytes: sizeOf(disk, `${directory}/${name.name}`) };
    });
    this.sealed.push(...segments.slice(0, -1));
    return segments.slice(start).reduce((sum, { bytes }) => sum + bytes, 0);
  }
}

function at(names: readonly SegmentName[], place: number): SegmentName {
  return must(names[place], "a segment is there");
}

function decoded(bytes: Buffer, damaged: (what: string) => Error): Entry {
  try {
    return decodeEntry(bytes);
  } catch (error) {
    throw damaged(`an entry cannot be read: ${(error as Error).message}`);
  }
}

function sizeOf(disk: Pick<Disk, "open">, path: string): number {
  const file = disk.open(path);
  try {
    return file.size();
  } finally {
    file.close();
  }
}

/** The log in `path` lacks entries `from` to `to`. */
export function missing(
  path: string,
  from: number,
  to: number,
  why: string,
  offset = 0,
): CorruptionError {
  return new CorruptionError(
    path,
    offset,
    `entries ${from} to ${to} are missing: ${why}`,
    damageHint,
  );
}
