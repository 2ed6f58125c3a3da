/**
 * Checkpoints: the tables of one moment, put into the bucket beside the writes, so that a start
 * reads only the log after them and the log before them can go.
 *
 *   1 seal      the memtable at the last applied entry; flushed, in the background
 *   2 capture   a list of files that stay until it is released: microseconds
 *   3 publish   what the bucket has not, and the manifest (replication/checkpoint.ts)
 *
 * One is due when the log has moved since the last, and the interval is over, or enough entries, log
 * bytes or log objects came. One that fails is made again by the next; a bucket that is away is told
 * of by the writes.
 */
import { must } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Logger } from "../lib/logger.ts";
import type { Counter } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import type { Capture as Files } from "../lsm/tree.ts";
import { type Position, type Term, termOf } from "../model/revision.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { type Capture, knownTables, type Published, publish } from "../replication/checkpoint.ts";
import { keyOf, readLatest, readManifest, type TableRef } from "../replication/manifest.ts";
import type { Checkpoint } from "./durable.ts";
import type { Leadership } from "./leadership.ts";
import { positionOf, type Rooms } from "./rooms.ts";

/** When a checkpoint is due; 0 turns a cause off. */
export interface CheckpointCauses {
  readonly intervalMs: number;
  readonly entries: number;
  readonly logBytes: number;
  readonly objects: number;
}

export interface CheckpointsOptions {
  readonly rooms: Rooms;
  readonly leadership: Leadership;
  readonly term: Term;
  readonly causes: CheckpointCauses;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Counts those that were published. */
  readonly published: Counter;
  /** Where the log stands after the last applied entry. */
  readonly applied: () => Position;
  /** Seals the memtable there; false in a member that failed. */
  readonly seal: () => boolean;
}

export const uploadParallel = 4;
/** Milliseconds one table may take. */
export const tableMsMax = 300_000;

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  /** Tables that the bucket should have. */
  readonly #known = new Map<string, TableRef>();
  #knownIndex: number | undefined;
  /** At the last one: when, and how much the archive had put. */
  #at: number;
  #bytes = 0;
  #objects = 0;
  #isFirst = true;

  constructor(options: CheckpointsOptions) {
    this.#options = options;
    this.#at = options.clock.now();
  }

  /** The last entry that the newest one holds; undefined where none is known. */
  get index(): number | undefined {
    return this.#knownIndex;
  }

  /** Milliseconds since the last one, or since the start. */
  get ageMs(): number {
    return this.#options.clock.now() - this.#at;
  }

  /** Whether one is to be made now. */
  get isDue(): boolean {
    const { applied, causes, leadership } = this.#options;
    const { index } = applied();
    if (index === this.#knownIndex) return false;
    if (this.#isFirst) return true;
    const { bytes, objects } = leadership.archive;
    const reached = (limit: number, value: number) => limit > 0 && value >= limit;
    return (
      reached(causes.intervalMs, this.ageMs) ||
      reached(causes.entries, index - (this.#knownIndex ?? 0)) ||
      reached(causes.logBytes, bytes - this.#bytes) ||
      reached(causes.objects, objects - this.#objects)
    );
  }

  /**
   * Makes one. Undefined when there is nothing to make it of. CorruptionError, ForeignError,
   * ObjectError; DiskError of a flush.
   */
  async make(signal?: AbortSignal): Promise<Published | undefined> {
    const { leadership, rooms, seal } = this.#options;
    if (this.#isFirst) await this.#learn(signal);
    const { bytes, objects } = leadership.archive;
    if (!seal()) return undefined;
    await rooms.tree.flushed();
    const files = rooms.tree.capture();
    if (files === undefined) return undefined;
    try {
      // What a checkpoint holds, the bucket's log holds too: its end is never behind.
      if (!leadership.isRequired) await leadership.upload(rooms.log);
      const published = await this.#publish(files, signal);
      const isThere = published.outcome === "published" || published.outcome === "present";
      if (isThere) {
        this.#isFirst = false;
        this.#at = this.#options.clock.now();
        this.#bytes = bytes;
        this.#objects = objects;
      }
      this.#note(published, files.position.index);
      return published;
    } finally {
      await files.release();
    }
  }

  async #publish(files: Files<Checkpoint>, signal: AbortSignal | undefined): Promise<Published> {
    const { clock, leadership, random, rooms, term } = this.#options;
    const lastSeq = leadership.slotAt(files.position.index);
    return await publish(leadership.store, captureOf(rooms, files, term, lastSeq), {
      clock,
      random,
      parallel: uploadParallel,
      tableMsMax,
      knownIndex: this.#knownIndex,
      known: this.#known,
      lockTerm: async () => {
        await leadership.look();
        return leadership.head.term;
      },
      ...(signal && { signal }),
    });
  }

  #note(published: Published, index: number): void {
    const { logger } = this.#options;
    if (published.outcome === "disturbed") {
      logger.info("a checkpoint was disturbed and is made again", { why: published.why });
      return;
    }
    if (published.outcome === "superseded") return;
    this.#knownIndex = index;
    if (published.outcome !== "published") return;
    const { manifest, uploaded } = published;
    this.#options.published.add(1);
    this.#options.leadership.forgetSlots(manifest.lastSeq);
    this.#known.clear();
    for (const [hash, table] of knownTables(manifest)) this.#known.set(hash, table);
    logger.info("checkpoint", { checkpoint: keyOf(manifest), index, ...uploaded });
  }

  /** What the newest checkpoint has, this one need not upload. */
  async #learn(signal: AbortSignal | undefined): Promise<void> {
    for (const [hash, table] of await tablesOfLatest(this.#options.leadership.store, { signal })) {
      this.#known.set(hash, table);
    }
  }
}

/** The tables of the newest checkpoint, by hash; none where it is damaged: publishing mends that. */
async function tablesOfLatest(
  store: ObjectStore,
  options: CallOptions,
): Promise<ReadonlyMap<string, TableRef>> {
  try {
    const found = await readLatest(store, options);
    const newest = found && (await readManifest(store, found.latest.checkpointKey, options));
    return newest?.manifest === undefined ? new Map() : knownTables(newest.manifest);
  } catch (error) {
    if (error instanceof CorruptionError) return new Map();
    throw error;
  }
}

/** What the tables of `files` are as a checkpoint of a leader in `term`. */
function captureOf(
  { directory, log }: Rooms,
  files: Files<Checkpoint>,
  term: Term,
  lastSeq: number,
): Capture {
  const { floor, revision } = files.position;
  return {
    cluster: directory.identity.clusterId,
    term,
    revision,
    position: positionOf(files.position),
    lastSeq,
    floor,
    wallMs: log.wallMs,
    tree: files.manifest.toString(),
    tables: files.tables.map(({ bytes, hash }) => ({
      hash,
      bytes,
      read: () => files.read(hash),
    })),
  };
}

export interface FirstOptions {
  readonly clock: Clock;
  readonly random: Random;
}

/** The checkpoint of a directory that comes to an empty prefix, before there is a lock. */
export async function publishOwn(
  { clock, random }: FirstOptions,
  store: ObjectStore,
  rooms: Rooms,
  seal: () => void,
): Promise<void> {
  seal();
  await rooms.tree.flushed();
  const files = must(rooms.tree.capture(), "a directory with data has tables once it is sealed");
  try {
    const term = termOf(Math.max(1, rooms.log.position.term));
    const capture = captureOf(rooms, files, term, 0);
    const known = new Map<string, TableRef>();
    const lockTerm = () => Promise.resolve(0);
    const limits = { parallel: uploadParallel, tableMsMax };
    const published = await publish(store, capture, { clock, random, ...limits, known, lockTerm });
    if (published.outcome === "published" || published.outcome === "present") return;
    throw new Error(`the first checkpoint could not be published: ${published.outcome}`);
  } finally {
    await files.release();
  }
}
