/**
 * The log: what was decided, in order, on this machine's disk. The caller stages entries and syncs;
 * while one sync waits for the device the next frame fills up, so that a busy log makes large
 * frames and an idle one waits for nobody (group commit without a timer):
 *
 *   stage, stage, stage | sync ─────────────► resolved: the three survive power loss
 *                         stage, stage, …   | sync ───►
 *
 * A segment that is large or old enough is left for a new one before the next frame is written; one
 * whose room is used up, as soon as there is a new one with room (spare.ts).
 *
 * Where there is no room the frame is certainly lost: the segment, whose end may now hold a part of
 * it, is written to no more, and after `discard` the log goes on in a new one. After any other
 * failure nothing is certain, and the log takes no more calls.
 */
import { assert } from "../lib/assert.ts";
import { chainHash } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { type Disk, type DiskFile, isFull } from "../lib/disk.ts";
import type { Random } from "../lib/random.ts";
import { type Batch, encodedEntries } from "../model/batch.ts";
import type { Entry } from "../model/entry.ts";
import { encodeEntry } from "../model/record.ts";
import { type Index, indexOf, type Position } from "../model/revision.ts";
import { LogFailedError, LogFullError } from "./failure.ts";
import { randomSalt } from "./frame.ts";
import { Gathering } from "./gathering.ts";
import type { LogLimits, LogMeters, LogOptions, LogStatus } from "./options.ts";
import { Pace } from "./pace.ts";
import { LogReader } from "./reader.ts";
import { begin, type Recovered, recover } from "./recover.ts";
import type { Segment } from "./replay.ts";
import { draftSegment, framesAt, type SegmentName, segmentName, writeHeader } from "./segment.ts";
import { Spare } from "./spare.ts";

/** From so many bytes on a segment is worth room for the next. */
const spareFromBytes = 2 ** 20;
/** The next has so many times the bytes that this one has by then: when half of its room is used, or more. */
const spareGrowth = 4;

/** The segment that frames are appended to. */
interface Active {
  readonly file: DiskFile;
  readonly salt: number;
  readonly segment: Segment;
  /** Bytes that the file had, zeros, before anything was written to it; 0: it grows. */
  readonly room: number;
  /** Monotonic milliseconds when its first frame was written; undefined while it has none. */
  since: number | undefined;
}

export class Log {
  readonly #clock: Clock;
  readonly #cluster: bigint;
  readonly #directory: string;
  readonly #disk: Disk;
  readonly #limits: LogLimits;
  readonly #meters: LogMeters;
  readonly #opening: number;
  readonly #random: Random;
  readonly #spare: Spare;
  /** In order of their entries. The active one is the last; without one, the last is given up. */
  readonly #segments: Segment[];
  #active: Active | undefined;
  /** After the last entry that is durable. */
  #synced: Position;
  /** After the last entry that is staged. */
  #staged: Position;
  #wallMs: number;
  #open = new Gathering();
  /** The other one: on its way to the disk while a sync runs, empty otherwise. */
  #other = new Gathering();
  #syncing = false;
  readonly #pace = new Pace();
  #rotation: Promise<unknown> | undefined;
  /** Set by a full disk until `discard`. */
  #full = false;
  #failure: LogFailedError | undefined;
  #closed = false;

  /**
   * Reads what is in the directory, calls `replay` for each entry after `applied`, and makes the
   * log ready for more. Throws CorruptionError, ForeignError or DiskError.
   */
  static async open(options: LogOptions): Promise<Log> {
    return new Log(options, await recover(options));
  }

  /**
   * Forgets whatever is in the directory and makes a log that goes on after `from`, which something
   * else must hold durably. Throws LogFailedError's cause: DiskError.
   */
  static async begin(options: LogOptions, from: Position): Promise<Log> {
    return new Log(options, await begin(options, from));
  }

  private constructor(options: LogOptions, recovered: Recovered) {
    const { file, opening, position, salt, segments, wallMs } = recovered;
    const segment = segments.at(-1);
    assert(segment !== undefined, "an open log has a segment");
    this.#clock = options.clock;
    this.#cluster = options.cluster;
    this.#directory = options.directory;
    this.#disk = options.disk;
    this.#limits = options.limits;
    this.#meters = options.meters;
    this.#random = options.random;
    this.#opening = opening;
    this.#spare = new Spare(options);
    this.#segments = segments;
    const since = segment.bytes > framesAt ? options.clock.now() : undefined;
    this.#active = { file, salt, segment, room: 0, since };
    this.#synced = position;
    this.#staged = position;
    this.#wallMs = wallMs;
  }

  /** After the last entry that is staged. */
  get position(): Position {
    return this.#staged;
  }

  /** After the last entry that is durable. */
  get synced(): Position {
    return this.#synced;
  }

  /** The leader's clock at the newest entry that is durable, in milliseconds since 1970. */
  get wallMs(): number {
    return this.#wallMs;
  }

  /** Bytes that the next sync would write. */
  get stagedBytes(): number {
    return this.#open.frame.size;
  }

  /** Whether a LogFailedError was thrown: the log takes no more calls. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether a sync that is made here, see DiskFile.sync, takes `msMax` milliseconds or less. */
  isQuick(msMax: number): boolean {
    return this.#pace.isQuick(msMax);
  }

  /** Adds `entry` to the open frame. It must be the one after `position`, its term no lower. */
  stage(entry: Entry): void {
    this.#check();
    const { chain, index, term } = this.#staged;
    assert(entry.index === index + 1, "entries are staged in order");
    assert(entry.term >= term, "terms never fall");
    const bytes = encodeEntry(entry);
    this.#open.add(bytes, entry.revision);
    this.#staged = { index: entry.index, term: entry.term, chain: chainHash(chain, bytes) };
  }

  /** Adds the entries of a batch that was checked (model/batch.ts) and follows `position`. */
  stageBatch(batch: Batch): void {
    this.#check();
    assert(batch.previous.chain === this.#staged.chain, "a batch follows what is staged");
    assert(batch.previous.index === this.#staged.index, "batches are staged in order");
    for (const bytes of encodedEntries(batch.entries, batch.count)) {
      this.#open.add(bytes, batch.firstRevision);
    }
    this.#open.lastRevision = batch.lastRevision;
    this.#staged = batch.end;
    this.#wallMs = Math.max(this.#wallMs, batch.wallMs);
  }

  /**
   * Makes all that is staged durable. One at a time; what is staged meanwhile waits for the next.
   * `written` is handed the batch once it is written and before it is synced: it was not refused for
   * want of room; `here` goes to DiskFile.sync. Rejects with LogFullError (then `discard` comes before anything else; `written` was
   * not called) or LogFailedError.
   */
  async sync(written?: (batch: Batch) => void, here = false): Promise<void> {
    this.#check();
    assert(!this.#syncing, "one sync at a time");
    assert(!this.#full, "after a full disk, what is staged is discarded");
    const gathered = this.#open;
    if (gathered.frame.count === 0) return;
    const end = this.#staged;
    this.#open = this.#other;
    this.#other = gathered;
    this.#syncing = true;
    try {
      await this.#append(gathered, end, written, here);
      gathered.frame.reset();
      this.#synced = end;
    } catch (error) {
      this.#full = error instanceof LogFullError;
      throw error;
    } finally {
      this.#syncing = false;
    }
  }

  /**
   * Leaves the active segment for a new one if it is old enough, for a log that nobody writes to.
   * A sync that starts meanwhile waits for it. Rejects as `sync` does, but has nothing to discard.
   */
  async rotateIfOld(): Promise<void> {
    this.#check();
    if (this.#syncing || this.#rotation !== undefined || !this.#isOld()) return;
    this.#rotation = this.#rotate();
    try {
      await this.#rotation;
    } finally {
      this.#rotation = undefined;
    }
  }

  /** Drops whatever is staged: `position` goes back to the last entry that is durable. */
  discard(): void {
    this.#check();
    assert(!this.#syncing, "what is being synced is not discarded");
    this.#open.frame.reset();
    this.#other.frame.reset();
    this.#staged = this.#synced;
    this.#full = false;
  }

  /**
   * Removes the segments that hold nothing after `applied`, up to which the tables must hold the
   * log durably. One that power loss brings back does no harm. Throws LogFullError or LogFailedError.
   */
  trim(applied: Index): void {
    this.#check();
    for (;;) {
      const [oldest, next] = this.#segments;
      if (oldest === undefined || next === undefined || next.first > applied + 1) return;
      this.#attempt(() => this.#disk.remove(this.#pathOf(oldest)));
      this.#segments.shift();
    }
  }

  /** Reads what is durable after `from`, while the log goes on; `trim` must not pass it. */
  reader(from: Position): LogReader {
    const source = {
      disk: this.#disk,
      directory: this.#directory,
      cluster: this.#cluster,
      segments: () => this.#segments,
      synced: () => this.#synced,
    };
    return new LogReader(source, from);
  }

  /** Bytes of the segments that hold something after entry `index`; 0 when none does. */
  bytesAfter(index: Index): number {
    if (this.#synced.index <= index) return 0;
    const from = this.#segments.findLastIndex(({ first }) => first <= index + 1);
    return this.#segments.slice(Math.max(0, from)).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  status(): LogStatus {
    const [oldest] = this.#segments;
    return {
      segments: this.#segments.length,
      bytes: this.#segments.reduce((sum, { bytes }) => sum + bytes, 0),
      firstIndex: oldest?.first ?? indexOf(this.#synced.index + 1),
      newestSegment: this.#segments.at(-1)?.name ?? "",
    };
  }

  /** Lets go of the active segment. No sync may be under way; what is staged is lost. */
  async close(): Promise<void> {
    assert(!this.#syncing, "no sync is under way when the log is closed");
    this.#closed = true;
    await this.#rotation?.catch(() => undefined);
    await this.#spare.close();
    this.#active?.file.close();
    this.#active = undefined;
  }

  async #append(
    gathered: Gathering,
    end: Position,
    written: ((batch: Batch) => void) | undefined,
    here: boolean,
  ): Promise<void> {
    const { firstRevision, frame, lastRevision } = gathered;
    // Whoever began that rotation has its error; if it was for want of room, this one tries again.
    await this.#rotation?.catch(() => undefined);
    this.#check();
    if (this.#isOld() || this.#isLong(frame.size) || this.#isFilled(frame.size)) {
      await this.#rotate();
    }
    const active = this.#active ?? (await this.#rotate());
    const { file, salt, segment } = active;
    this.#wallMs = Math.max(this.#wallMs, this.#clock.wall());
    const previous = this.#synced;
    const wallMs = this.#wallMs;
    const claims = { previous, end, count: frame.count, firstRevision, lastRevision, wallMs };
    const batch = written && { ...claims, entries: frame.entries() };
    const first = indexOf(previous.index + 1);
    const bytes = frame.close({ salt, first, chain: end.chain, wallMs });
    try {
      this.#attempt(() => file.write(bytes, segment.bytes));
    } catch (error) {
      this.#active = undefined;
      file.close();
      throw error;
    }
    if (batch !== undefined) written?.(batch);
    const started = this.#clock.now();
    await this.#settle(file.sync(here));
    const took = this.#clock.now() - started;
    if (here) this.#pace.took(took);
    else this.#pace.passed();
    this.#meters.fsyncSeconds.observe(took / 1000);
    this.#meters.bytes.add(bytes.length);
    active.since ??= started;
    segment.bytes += bytes.length;
    this.#makeRoom(active);
  }

  /** Has room made for the next segment, in time, where this one is worth it. */
  #makeRoom({ room, segment }: Active): void {
    const { segmentBytesMax, spareFromBytes: from = spareFromBytes } = this.#limits;
    if (segment.bytes < Math.max(from, room / 2)) return;
    this.#spare.prepare(Math.min(segment.bytes * spareGrowth, segmentBytesMax));
  }

  #isOld(): boolean {
    const since = this.#active?.since;
    return since !== undefined && this.#clock.now() - since >= this.#limits.segmentAgeMsMax;
  }

  #isLong(frameBytes: number): boolean {
    const bytes = this.#active?.segment.bytes ?? framesAt;
    return bytes > framesAt && bytes + frameBytes > this.#limits.segmentBytesMax;
  }

  /** Whether the frame would make the file longer, where that can be helped. */
  #isFilled(frameBytes: number): boolean {
    if (this.#active === undefined || !this.#spare.isReady) return false;
    return this.#active.segment.bytes + frameBytes > this.#active.room;
  }

  /** Makes the next segment, durably, and the active one. */
  async #rotate(): Promise<Active> {
    const previous = this.#synced;
    const salt = randomSalt(this.#random);
    const name = segmentName(indexOf(previous.index + 1), this.#opening);
    const path = this.#pathOf(name);
    const header = { cluster: this.#cluster, salt, previous };
    const spare = this.#spare.take();
    const file = spare?.file ?? this.#attempt(() => draftSegment(this.#disk, path));
    try {
      this.#attempt(() => writeHeader(file, header));
      await this.#settle(file.sync());
      this.#attempt(() => this.#disk.rename(file.path, path));
      await this.#settle(this.#disk.syncDirectory(this.#directory));
    } catch (error) {
      file.close();
      throw error;
    }
    this.#active?.file.close();
    const segment = { ...name, bytes: framesAt };
    // One that was given up before it had a frame has the same name: the rename replaced it.
    if (this.#segments.at(-1)?.first === segment.first) this.#segments.pop();
    this.#segments.push(segment);
    this.#active = { file, salt, segment, room: spare?.bytes ?? 0, since: undefined };
    return this.#active;
  }

  #pathOf({ name }: SegmentName): string {
    return `${this.#directory}/${name}`;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    assert(!this.#closed, "a closed log is not used");
  }

  /** Does `work`, which changes nothing durable when it throws for want of room. */
  #attempt<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (isFull(error)) throw new LogFullError(error);
      throw this.#fail(error);
    }
  }

  /** Waits for a sync. However it fails, the log has failed. */
  async #settle(sync: Promise<void>): Promise<void> {
    try {
      await sync;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  #fail(cause: unknown): LogFailedError {
    this.#failure ??= new LogFailedError(cause);
    return this.#failure;
  }
}
