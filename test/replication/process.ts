/**
 * One node in miniature, as far as the bucket goes: it takes over, puts its fence, replays, records
 * itself, and puts batches. And the history they all write: what clients were told, and what each
 * leader found, which must never contradict each other.
 */
import type { Clock } from "../../src/lib/clock.ts";
import type { Random } from "../../src/lib/random.ts";
import type { Batch } from "../../src/model/batch.ts";
import { origin, type Position, type Term } from "../../src/model/revision.ts";
import { logKey, logPrefix, seqOf } from "../../src/object/keys.ts";
import type { MemoryStore } from "../../src/object/memory.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { Archive, findEnd, type LogEnd, putFence } from "../../src/replication/archive.ts";
import { Backoff, isTransient } from "../../src/replication/backoff.ts";
import {
  type Observed,
  readHead,
  recordSelf,
  takeThroughBucket,
  writeHead,
} from "../../src/replication/lock.ts";
import { replayLog } from "../../src/replication/replay.ts";
import { batchAfter, cluster, keysOf, noMeters, objectAt } from "./rig.ts";

/** Rules that a node may break, so that it shows whether the history is watched. */
export type Bug = "puts no fence" | "replays before its fence" | "gc removes fences";

/** What a checkpoint holds: everything up to a position. */
interface Checkpoint {
  readonly position: Position;
  readonly seq: number;
  readonly keys: readonly string[];
}

export class History {
  /** By index from 1: the key it wrote, and the term it was acknowledged in. */
  readonly #told = new Map<number, { key: string; term: number }>();
  readonly #found: { term: number; keys: readonly string[] }[] = [];
  checkpoint: Checkpoint = { position: origin, seq: 0, keys: [] };
  /** Who reads the log just now: gc leaves it alone meanwhile. */
  readonly readers = new Set<unknown>();

  get acknowledged(): number {
    return this.#told.size;
  }

  /** A client is told that the batch is safe. */
  acknowledge(term: number, batch: Batch): void {
    for (const [at, key] of keysOf(batch).entries()) {
      const index = batch.previous.index + 1 + at;
      const told = this.#told.get(index);
      if (told !== undefined) {
        throw new Error(`entry ${index} was acknowledged as ${told.key} and as ${key}`);
      }
      this.#told.set(index, { key, term });
      for (const later of this.#found) {
        if (later.term > term) this.#mustHave(later, index, key);
      }
    }
  }

  /** A leader begins with these entries, from the first on. */
  found(term: number, keys: readonly string[]): void {
    this.#found.push({ term, keys });
    for (const [index, told] of this.#told) {
      if (told.term < term) this.#mustHave({ term, keys }, index, told.key);
    }
  }

  /** Deletes what the checkpoint makes superfluous, as gc does: never fences, never the newest. */
  async collect(store: MemoryStore, bug?: Bug): Promise<void> {
    if (this.readers.size > 0) return;
    const seqs = store.keys(logPrefix).map((key) => seqOf(key) ?? 0);
    for (const seq of seqs.slice(0, -1).filter((each) => each <= this.checkpoint.seq)) {
      const { kind } = await objectAt(store, seq);
      if (kind === "data" || bug === "gc removes fences") await store.delete(logKey(seq));
    }
  }

  #mustHave(leader: { term: number; keys: readonly string[] }, index: number, key: string): void {
    const has = leader.keys[index - 1];
    if (has === key) return;
    throw new Error(`entry ${index} was acknowledged as ${key}, term ${leader.term} has ${has}`);
  }
}

export interface ProcessOptions {
  readonly name: string;
  readonly incarnation: bigint;
  readonly store: ObjectStore;
  readonly history: History;
  readonly clock: Clock;
  readonly random: Random;
  readonly bug?: Bug | undefined;
  readonly lookMs?: number;
}

export class Process {
  readonly #options: ProcessOptions;
  /** Every entry this leader knows of, by key. */
  readonly keys: string[] = [];
  term = 0;
  #archive: Archive | undefined;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get archive(): Archive {
    if (this.#archive === undefined) throw new Error("it leads");
    return this.#archive;
  }

  /** Becomes leader. False when others took the lock `tries` times; SupersededError later. */
  async lead(tries = 3): Promise<boolean> {
    const { clock, lookMs, random, store, incarnation } = this.#options;
    const observed = await this.#take(tries);
    if (observed === undefined) return false;
    const { term } = observed.head;
    this.term = term;
    const end = await this.#fence(term);
    this.#options.history.found(term, this.keys);
    const self = recordSelf(observed.head, end.seq);
    const recorded = await writeHead(store, observed, self, this.#options);
    if (!recorded.won) return false;
    const reign = { store, cluster, term, writer: incarnation, end, clock, random };
    const look = lookMs === undefined ? {} : { lookMs };
    this.#archive = new Archive({ ...reign, ...look, meters: noMeters });
    return true;
  }

  /** Puts a batch of `count` entries and acknowledges it. Rejects as `Archive.put` does. */
  async write(count = 1): Promise<Batch> {
    const { archive, term } = this;
    const text = `${this.#options.name}.${term}.`;
    const batch = batchAfter(archive.end.position, term, count, text);
    await archive.put([batch]);
    this.keys.push(...keysOf(batch));
    this.#options.history.acknowledge(term, batch);
    return batch;
  }

  /** Publishes what is confirmed as a checkpoint, unless there is a newer one. */
  checkpoint(): void {
    const { history } = this.#options;
    const { position, seq } = this.archive.end;
    if (position.index <= history.checkpoint.position.index) return;
    history.checkpoint = { position, seq, keys: [...this.keys] };
  }

  async #take(tries: number): Promise<Observed | undefined> {
    const { incarnation, name, store } = this.#options;
    const self = { incarnation, name, address: "" };
    let observed = await this.#patiently(() => readHead(store, { cluster }));
    for (let left = tries; left > 0; left--) {
      const draft = takeThroughBucket({ head: observed?.head, self, cluster, pastTerm: 0 });
      const { now, won } = await writeHead(store, observed, draft, this.#options);
      if (won) return now;
      observed = now;
    }
    return undefined;
  }

  /** The fence, and everything before it. */
  async #fence(term: Term): Promise<LogEnd> {
    const { bug, history, incarnation, store } = this.#options;
    const reign = { store, cluster, term, writer: incarnation };
    history.readers.add(this);
    try {
      const end = await this.#patiently(() => findEnd(store, cluster));
      if (bug === "replays before its fence") await this.#replay(end.seq + 1, end.position);
      if (bug === "puts no fence") {
        await this.#replay(end.seq + 1, end.position);
        return end;
      }
      const fence = await this.#patiently(() => putFence(reign, end, this.#options));
      if (bug !== "replays before its fence") await this.#replay(fence.seq, fence.position);
      return fence;
    } finally {
      history.readers.delete(this);
    }
  }

  async #replay(to: number, end: Position): Promise<void> {
    const { clock, history, store } = this.#options;
    const { keys, position, seq } = history.checkpoint;
    await this.#patiently(async () => {
      this.keys.splice(0, Number.POSITIVE_INFINITY, ...keys);
      await replayLog(store, {
        cluster,
        from: position,
        fromSeq: Math.min(seq + 1, to),
        to,
        end,
        parallel: 2,
        clock,
        onBatch: (batch) => void this.keys.push(...keysOf(batch)),
      });
    });
  }

  /** `work`, until it goes well. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    for (const backoff = new Backoff(this.#options); ; await backoff.wait("read", "the log")) {
      try {
        return await work();
      } catch (error) {
        if (!isTransient(error)) throw error;
      }
    }
  }
}
