/**
 * Reads every segment of a log, those that a start would not need too, and holds all that they claim
 * against each other and against the tables. Unlike a replay it goes on behind a damage: with the
 * next frame whose header is whole, or with the next segment.
 */
import { chainHash } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import type { DiskFile } from "../lib/disk.ts";
import type { Entry } from "../model/entry.ts";
import { decodeEntry } from "../model/record.ts";
import type { Position } from "../model/revision.ts";
import { openFrame, readFrameHeader, sectorBytes } from "./frame.ts";
import type { HeldLog } from "./hold.ts";
import { type BrokenFrame, Scan, type WholeFrame } from "./scan.ts";
import { framesAt, readSegmentHeader, type SegmentName } from "./segment.ts";

/** What is wrong with a log. */
export interface LogDamage {
  readonly path: string;
  /** In bytes; undefined where it is no place of a file. */
  readonly offset: number | undefined;
  readonly what: string;
  /** The entries it concerns, where they are known: the first of them, */
  readonly first: number | undefined;
  /** and the last. */
  readonly last: number | undefined;
}

export interface LogCheckOptions {
  /** Whose log it is; undefined when that cannot be told. */
  readonly cluster: bigint | undefined;
  /** Up to where the tables hold the log; undefined when that cannot be told. */
  readonly applied: Position | undefined;
  /** Takes each entry that can be read, in order; returns what is wrong with it. */
  readonly visit: (entry: Entry) => string | undefined;
}

export class LogCheck {
  readonly #log: HeldLog;
  readonly #options: LogCheckOptions;
  readonly damages: LogDamage[] = [];
  frames = 0;
  entries = 0;
  /** Of an append at the end that a crash, or this moment, has interrupted. */
  tornBytes = 0;
  /** The last entry read; undefined while that is not known. */
  index: number | undefined;
  #term = 0;
  /** After the last entry read; undefined behind a damage. */
  #chain: bigint | undefined;
  #path: string;
  /** Of what is looked at. */
  #offset = 0;

  constructor(log: HeldLog, options: LogCheckOptions) {
    this.#log = log;
    this.#options = options;
    this.#path = log.directory;
  }

  /** Reads it all. DiskError. */
  run(): void {
    const { names } = this.#log;
    const applied = this.#options.applied?.index ?? 0;
    const first = names[0]?.first;
    if (first === undefined) {
      if (applied > 0) this.#missing(undefined, 1, applied, "there is no segment");
      return;
    }
    if (first > applied + 1) {
      this.#missing(undefined, applied + 1, first - 1, `the log begins at entry ${first}`);
    }
    for (const [at, name] of names.entries()) this.#segment(name, names[at + 1]);
    if (this.index !== undefined && this.index < applied) {
      const why = `the log ends with entry ${this.index}, the tables with ${applied}`;
      this.#missing(this.#offset, this.index + 1, applied, why);
    }
  }

  #segment(name: SegmentName, next: SegmentName | undefined): void {
    this.#path = `${this.#log.directory}/${name.name}`;
    this.#offset = 0;
    const file = this.#log.open(this.#path);
    try {
      const { previous, salt } = readSegmentHeader(file, name, this.#options.cluster);
      this.#follow(previous);
      this.#frames(file, salt, next);
    } catch (error) {
      if (!(error instanceof CorruptionError || error instanceof ForeignError)) throw error;
      this.#offset = error instanceof CorruptionError ? error.offset : 0;
      this.#damage(error.what, name.first, next && next.first - 1);
      this.#lose(undefined);
    }
  }

  /** Goes to where a segment says that it begins. */
  #follow(previous: Position): void {
    if (this.index !== undefined) {
      const same =
        previous.index === this.index &&
        previous.term === this.#term &&
        (this.#chain === undefined || previous.chain === this.#chain);
      const [first, last] =
        previous.index > this.index ? [this.index + 1, previous.index] : [undefined, undefined];
      const what = `it does not follow entry ${this.index} of the segment before`;
      if (!same) this.#damage(what, first, last);
    }
    this.index = previous.index;
    this.#term = previous.term;
    this.#chain = previous.chain;
    this.#agree();
  }

  #frames(file: DiskFile, salt: number, next: SegmentName | undefined): void {
    let scan = new Scan(file, salt);
    while (next === undefined || (this.index ?? 0) + 1 < next.first) {
      this.#offset = scan.offset;
      const frame = scan.next();
      if (frame === undefined) {
        if (next === undefined) return;
        const why = `the next segment begins at entry ${next.first}`;
        this.#missing(scan.offset, (this.index ?? 0) + 1, next.first - 1, why);
        return;
      }
      if (frame.kind === "whole") {
        this.#take(frame, salt);
        continue;
      }
      const offset = this.#broken(file, salt, frame, next);
      if (offset === undefined) return;
      scan = new Scan(file, salt, { offset });
    }
  }

  /** Where the next frame is that may be read; undefined when there is none. */
  #broken(
    file: DiskFile,
    salt: number,
    frame: BrokenFrame,
    next: SegmentName | undefined,
  ): number | undefined {
    if (frame.torn && next === undefined) {
      this.tornBytes = frame.end - frame.offset;
      return undefined;
    }
    const after = frameAfter(file, salt, frame.offset);
    const expected = (this.index ?? 0) + 1;
    const end = after?.first ?? next?.first;
    this.#damage(frame.what, expected, end && Math.max(expected, end - 1));
    this.#lose(after && after.first - 1);
    return after?.offset;
  }

  #take(frame: WholeFrame, salt: number): void {
    const { header } = frame;
    this.frames++;
    if (header.first !== (this.index ?? 0) + 1) {
      const what = `entry ${header.first} follows entry ${this.index}`;
      this.#damage(what, (this.index ?? 0) + 1, header.first - 1);
      this.#lose(header.first - 1);
    }
    const last = header.first + header.count - 1;
    const content = openFrame(frame.bytes, header, salt);
    for (const bytes of content?.entries ?? []) this.#entry(bytes);
    if (content === undefined) {
      this.#damage("the lengths in a frame do not add up", header.first, last);
    } else if (this.#chain !== undefined && this.#chain !== header.chain) {
      this.#damage("the chain of entries is broken", header.first, last);
    }
    this.index = last;
    this.#chain = header.chain;
  }

  #entry(bytes: Buffer): void {
    const index = (this.index ?? 0) + 1;
    this.index = index;
    this.entries++;
    if (this.#chain !== undefined) this.#chain = chainHash(this.#chain, bytes);
    const what = this.#judge(bytes, index);
    if (what !== undefined) this.#damage(what, index, index);
    this.#agree();
  }

  /** What is wrong with an entry. */
  #judge(bytes: Buffer, index: number): string | undefined {
    let entry: Entry;
    try {
      entry = decodeEntry(bytes);
    } catch (error) {
      return `an entry cannot be read: ${(error as Error).message}`;
    }
    if (entry.index !== index) return `entry ${entry.index} is in the place of ${index}`;
    if (entry.term < this.#term) return `the term falls at entry ${index}`;
    this.#term = entry.term;
    return this.#options.visit(entry);
  }

  /** Where the tables end, holds the log against them. */
  #agree(): void {
    const { applied } = this.#options;
    if (applied === undefined || applied.index !== this.index || applied.index === 0) return;
    const sameChain = this.#chain === undefined || this.#chain === applied.chain;
    if (sameChain && this.#term === applied.term) return;
    const what = `log and tables disagree about the entries up to ${applied.index}`;
    this.#damage(what, undefined, applied.index);
  }

  /** Behind a damage: `index` is the last entry before what is read next, if that is known. */
  #lose(index: number | undefined): void {
    this.index = index;
    this.#chain = undefined;
  }

  #missing(offset: number | undefined, first: number, last: number, why: string): void {
    this.#offset = offset ?? 0;
    this.#damage(`entries ${first} to ${last} are missing: ${why}`, first, last);
  }

  #damage(what: string, first: number | undefined, last: number | undefined): void {
    const offset = this.#path === this.#log.directory ? undefined : this.#offset;
    this.damages.push({ path: this.#path, offset, what, first, last });
  }
}

/** The first frame header of this segment after the sector at `offset`. */
function frameAfter(
  file: DiskFile,
  salt: number,
  offset: number,
): { readonly offset: number; readonly first: number } | undefined {
  const size = file.size();
  const sector = Buffer.alloc(sectorBytes);
  for (let at = Math.max(framesAt, offset + sectorBytes); at < size; at += sectorBytes) {
    const header = readFrameHeader(sector.subarray(0, file.read(sector, at)), salt);
    if (header !== undefined) return { offset: at, first: header.first };
  }
  return undefined;
}
