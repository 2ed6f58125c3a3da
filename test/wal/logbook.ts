/** What the tests of the log share: entries, an open log with what it replayed, and the expectation. */
import { expect } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { chainHash } from "../../src/lib/checksum.ts";
import type { Disk } from "../../src/lib/disk.ts";
import { createLogger, type Logger } from "../../src/lib/logger.ts";
import { noCounter, noHistogram } from "../../src/lib/meter.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import type { Entry } from "../../src/model/entry.ts";
import { encodeEntry } from "../../src/model/record.ts";
import { indexOf, origin, type Position, revisionOf, termOf } from "../../src/model/revision.ts";
import { Log } from "../../src/wal/log.ts";
import type { LogLimits, LogOptions } from "../../src/wal/options.ts";
import { segmentName } from "../../src/wal/segment.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";

export const directory = "/data/wal";
export const cluster = 0xc1n;

/** An entry that puts `value` under a key that names its index. */
export function entryOf(index: number, value: Uint8Array, term = 1): Entry {
  const revision = revisionOf(index + 1);
  return {
    index: indexOf(index),
    term: termOf(term),
    revision,
    action: {
      kind: "write",
      changes: [
        {
          kind: "put",
          key: `/entry/${index}`,
          value,
          lease: 0n,
          createRevision: revision,
          version: 1,
          previousLease: 0n,
        },
      ],
    },
  };
}

/** `length` bytes: all zero in a fifth of the cases, random otherwise. */
export function randomValue(random: Random, length: number): Buffer {
  const value = Buffer.alloc(length);
  if (random.below(5) === 0) return value;
  for (let at = 0; at < length; at++) value[at] = random.below(256);
  return value;
}

/** A log, what it replayed, and the lines it logged. */
export interface Opened {
  readonly log: Log;
  readonly replayed: Entry[];
  readonly lines: string[];
}

export const largeLimits: LogLimits = { segmentBytesMax: 2 ** 26, segmentAgeMsMax: 10_000 };

/** Opens the log on `disk`. */
export async function openLog(disk: Disk, options: Partial<LogOptions> = {}): Promise<Opened> {
  const replayed: Entry[] = [];
  const lines: string[] = [];
  const log = await Log.open({
    disk,
    directory,
    cluster,
    clock: new SimClock(),
    random: new SeededRandom(1),
    logger: loggerInto(lines),
    limits: largeLimits,
    meters: { fsyncSeconds: noHistogram, bytes: noCounter },
    applied: origin,
    replay: (entry) => replayed.push(entry),
    ...options,
  });
  return { log, replayed, lines };
}

function loggerInto(lines: string[]): Logger {
  const write = (line: string) => lines.push(line);
  return createLogger({ level: "warn", format: "text", wall: () => 0, write });
}

/** Stages entries with these values and syncs them as one frame. */
export async function append(log: Log, ...values: Uint8Array[]): Promise<void> {
  for (const value of values) log.stage(entryOf(log.position.index + 1, value));
  await log.sync();
}

/** The name of the segment that begins with entry `first`, made by start `opening`. */
export function nameOf(first: number, opening: number): string {
  return segmentName(indexOf(first), opening).name;
}

/** Limits that let a segment hold a few small frames. */
export const smallLimits: LogLimits = { segmentBytesMax: 2048, segmentAgeMsMax: 10_000 };

/** A disk with entries 1 to 12 in frames of two sectors, one frame a segment, and its log. */
export async function severalSegments(): Promise<{ disk: SimDisk; log: Log }> {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits: smallLimits });
  const value = Buffer.alloc(300, 7);
  for (let frame = 0; frame < 6; frame++) await append(log, value, value);
  return { disk, log };
}

/** A SimDisk with these files on it, by path. */
export function diskWith(files: ReadonlyMap<string, Uint8Array>): SimDisk {
  const disk = new SimDisk();
  for (const [path, bytes] of files) disk.plant(path, bytes);
  return disk;
}

/** The files of `disk`, by path. */
export function filesOf(disk: SimDisk): Map<string, Buffer> {
  return new Map(disk.paths().map((path) => [path, Buffer.from(disk.peek(path))]));
}

/** The entry's bytes, as text that compares quickly. */
export function print(entry: Entry): string {
  return Buffer.from(encodeEntry(entry)).toString("latin1");
}

/**
 * What a log must hold: entries that were staged, how many of them are acknowledged, and how many
 * were on their way when the lights went out.
 */
export class Logbook {
  /** What index i holds is at i; nothing is at 0. */
  readonly #prints: string[] = [""];
  readonly #positions: Position[] = [origin];
  #acknowledged = 0;
  #sent = 0;

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** After entry `index`. */
  positionAt(index: number): Position {
    return must(this.#positions[index], `entry ${index} was staged`);
  }

  stage(log: Log, entry: Entry): void {
    log.stage(entry);
    const { chain } = this.positionAt(entry.index - 1);
    const bytes = encodeEntry(entry);
    this.#prints.push(print(entry));
    this.#positions.push({ index: entry.index, term: entry.term, chain: chainHash(chain, bytes) });
    expect(log.position).toEqual(this.positionAt(entry.index));
  }

  /** Syncs `log`. Between the call and its end, `meanwhile` runs. */
  async sync(log: Log, meanwhile: () => void = () => undefined): Promise<void> {
    const end = this.#prints.length - 1;
    this.#sent = end;
    const done = log.sync();
    meanwhile();
    await done;
    this.#acknowledged = end;
  }

  /** What is staged and not acknowledged did not happen, for certain. */
  discard(log: Log): void {
    log.discard();
    this.#cut(this.#acknowledged);
    expect(log.position).toEqual(this.positionAt(this.#acknowledged));
  }

  /**
   * Holds what was replayed after `applied` against the expectation: all that is acknowledged, and
   * of the rest nothing or the one frame that was on its way, whole. From now on that is the truth.
   */
  reopened({ log, replayed }: Opened, applied: number): void {
    const last = applied + replayed.length;
    expect([this.#acknowledged, this.#sent]).toContain(last);
    const expected = this.#prints.slice(applied + 1, last + 1);
    expect(replayed.map(print)).toEqual(expected);
    expect(log.position).toEqual(this.positionAt(last));
    this.#cut(last);
    this.#acknowledged = last;
  }

  /** The process is gone: what was never sent to the disk is too. */
  crashed(): void {
    this.#cut(Math.max(this.#sent, this.#acknowledged));
  }

  #cut(last: number): void {
    this.#prints.length = last + 1;
    this.#positions.length = last + 1;
    this.#sent = Math.min(this.#sent, last);
  }
}
