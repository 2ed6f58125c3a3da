/**
 * What the leader of a prefix does in the background: puts into the bucket what its own disk alone
 * holds, makes checkpoints, and looks whether it still leads while somebody watches.
 */
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { isFull } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { Registry } from "../lib/registry.ts";
import { Task } from "../lib/task.ts";
import { metrics } from "../model/metrics.ts";
import type { Position, Term } from "../model/revision.ts";
import { ObjectError } from "../object/store.ts";
import { StoppedError } from "../replication/archive.ts";
import { type CheckpointCauses, Checkpoints } from "./checkpoint.ts";
import type { Leadership } from "./leadership.ts";
import type { Rooms } from "./rooms.ts";

/** How the bucket is used. */
export interface BucketSettings {
  /** Least milliseconds between two puts of the log while writes wait for them. */
  readonly batchDelayMs: number;
  readonly causes: CheckpointCauses;
  /** How often the lock is read while somebody watches, in milliseconds. */
  readonly lookEveryMs: number;
  /** Bytes of log that may wait for the bucket on the disk; writes are refused beyond. */
  readonly localBytesMax: number;
}

export interface DutiesOptions {
  readonly settings: BucketSettings;
  readonly rooms: Rooms;
  readonly leadership: Leadership;
  readonly term: Term;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly registry: Registry;
  readonly applied: () => Position;
  readonly seal: () => boolean;
  readonly fatal: (error: unknown) => void;
}

/** Of the bucket, at one moment. */
export interface BucketVitals {
  readonly address: string;
  /** Whether a write is acknowledged only when the bucket has it. */
  readonly member: boolean;
  /** Up to where the bucket's log goes. */
  readonly revision: number;
  readonly index: number;
  readonly slot: number;
  /** Revisions that only this disk has. */
  readonly revisionsAtRisk: number;
  /** How long the bucket has not answered; 0 while it does. */
  readonly awayMs: number;
  readonly checkpointIndex: number | undefined;
  readonly checkpointAgeMs: number;
  /** How long reads go without asking the bucket. */
  readonly readLeaseMs: number;
}

/** What the disk alone has is put into the bucket this often. */
const uploadEveryMs = 500;
const checkEveryMs = 1000;
/** On a clean stop, for what the disk alone has. */
const finishMsMax = 3000;

export class Duties {
  readonly #options: DutiesOptions;
  readonly #checkpoints: Checkpoints;

  constructor(options: DutiesOptions) {
    const { logger, registry, settings } = options;
    this.#options = options;
    this.#checkpoints = new Checkpoints({
      ...options,
      causes: settings.causes,
      logger: logger.with({ component: "checkpoint" }),
      published: registry.counter(metrics.checkpoints, {}),
    });
  }

  /** Whether so much waits for the bucket that writes are refused. */
  get isFull(): boolean {
    const { leadership, rooms, settings } = this.#options;
    // Where writes wait for the bucket, the queue of those that wait is the bound.
    if (leadership.isRequired) return false;
    return rooms.log.bytesAfter(leadership.archive.end.position.index) >= settings.localBytesMax;
  }

  vitals(revision: number): BucketVitals {
    const { clock, leadership } = this.#options;
    const { awaySince, end } = leadership.archive;
    return {
      address: leadership.store.address,
      member: leadership.isRequired,
      revision: end.revision,
      index: end.position.index,
      slot: end.seq,
      revisionsAtRisk: leadership.isRequired ? 0 : Math.max(0, revision - end.revision),
      awayMs: awaySince === undefined ? 0 : clock.now() - awaySince,
      checkpointIndex: this.#checkpoints.index,
      checkpointAgeMs: this.#checkpoints.ageMs,
      readLeaseMs: leadership.leaseMs,
    };
  }

  /** The background jobs; they begin at once. */
  start(): readonly Task[] {
    const { clock, fatal, logger, settings } = this.#options;
    const task = (name: string, step: (signal: AbortSignal) => Promise<number>) =>
      new Task({ name, clock, logger, step, retryable: (error) => this.#mayRetry(error), fatal });
    return [
      task("log upload", () => this.#upload()),
      task("checkpoint", (signal) => this.#checkpoint(signal)),
      task("lock watch", async () => {
        if (this.#isWatched()) await this.#options.leadership.look();
        return settings.lookEveryMs;
      }),
    ];
  }

  /** Puts what the disk alone has, for a clean stop; as far as it can be done soon. Never rejects. */
  async finish(): Promise<void> {
    const { clock, leadership, rooms } = this.#options;
    if (leadership.isRequired) return;
    const done = leadership.upload(rooms.log).catch(() => undefined);
    await Promise.race([done, clock.sleep(finishMsMax)]);
  }

  async #upload(): Promise<number> {
    const { leadership, rooms } = this.#options;
    if (!leadership.isRequired) await leadership.upload(rooms.log);
    return uploadEveryMs;
  }

  async #checkpoint(signal: AbortSignal): Promise<number> {
    if (this.#checkpoints.isDue) await this.#checkpoints.make(signal);
    return checkEveryMs;
  }

  #isWatched(): boolean {
    const { leases, watchers } = this.#options.rooms.store;
    return leases.size > 0 || watchers.syncedCount + watchers.behindCount > 0;
  }

  /** What the bucket does or has is tried again; what ends leadership, or the own disk, is not. */
  #mayRetry(error: unknown): boolean {
    if (error instanceof ObjectError || error instanceof StoppedError || isFull(error)) return true;
    const { path } = this.#options.rooms.directory;
    return error instanceof CorruptionError && !error.path.startsWith(path);
  }
}
