/**
 * The member as leader of a prefix in the bucket: the lock it holds, the log it puts there, and what
 * it may say of itself. It ends when someone else has taken the lock, and is told so by the bucket:
 * a slot that is taken, a lock that has changed. No clock decides who leads.
 *
 * Writes. With the bucket as member a batch is acknowledged when its log object is confirmed
 * (R6, R9). Without, the directory's own log suffices, and what it holds is put there within a second
 * (R10).
 *
 * Reads. What was read is answered once it is proved that nobody else led when it was read. The
 * directory alone holds everything: nobody else can lead. Else one conditional read of the lock, sent
 * after the state was read and shared by all who wait; or a read lease: the lock says that
 * challengers wait until they have seen it unchanged for 10 s, and ours is 8 s from before it was
 * written, on a clock that goes on while the machine sleeps. It is taken when reads follow each
 * other, renewed while they come, and given back on a clean stop.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { Batch } from "../model/batch.ts";
import { ObjectError, type ObjectStore } from "../object/store.ts";
import { type Archive, SupersededError } from "../replication/archive.ts";
import {
  bucketJoins,
  bucketLeaves,
  grantReadLease,
  type Head,
  type HeadDraft,
  type Observed,
  rereadHead,
  writeHead,
} from "../replication/lock.ts";
import type { Log } from "../wal/log.ts";

export const readLeaseMs = 8000;
const renewAfterMs = readLeaseMs / 2;
const uploadBytesMax = 4 * 2 ** 20;

export interface LeadershipOptions {
  readonly store: ObjectStore;
  /** The lock as this member wrote it. */
  readonly observed: Observed;
  readonly archive: Archive;
  readonly clock: Clock;
  readonly random: Random;
  /** Whether reads may go by a lease. */
  readonly leases: boolean;
  /** Takes the error after which this member leads no more, when it is met in the background. */
  readonly fatal: (error: unknown) => void;
}

export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #stop = new AbortController();
  #observed: Observed;
  /** Whether batches wait for the bucket. */
  #required: boolean;
  /** R2: the newest write of the lock; the next begins when it is over. */
  #intent: Promise<unknown> = Promise.resolve();
  /** The newest upload; one runs at a time. */
  #uploads: Promise<unknown> = Promise.resolve();
  /** The read of the lock that is under way, and the one that begins after it. */
  #asking: Promise<void> = Promise.resolve();
  #asked: Promise<void> | undefined;
  /** On Clock.elapsed: until when the lease holds, and when a read last had to ask. */
  #leaseUntil = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  /** Up to when nobody else led, as the last read of the lock has proved. */
  #provedAt = Number.NEGATIVE_INFINITY;
  #isRenewing = false;
  #isResigned = false;
  /** Where each log object put by this leader ends, its fence first. */
  #slots: { readonly seq: number; readonly index: number }[];

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#observed = options.observed;
    this.#required = options.observed.head.s3;
    const { position, seq } = options.archive.end;
    this.#slots = [{ seq, index: position.index }];
  }

  get archive(): Archive {
    return this.#options.archive;
  }

  /** The newest slot that holds nothing after entry `index`. */
  slotAt(index: number): number {
    return this.#slots.findLast((slot) => slot.index <= index)?.seq ?? 0;
  }

  /** Slots before `seq` are not asked for any more. */
  forgetSlots(seq: number): void {
    this.#slots = this.#slots.filter((slot) => slot.seq >= seq);
  }

  get store(): ObjectStore {
    return this.#options.store;
  }

  /** The lock as last written or read by this member. */
  get head(): Head {
    return this.#observed.head;
  }

  /** Whether a write is acknowledged only when the bucket has it. */
  get isRequired(): boolean {
    return this.#required;
  }

  /**
   * Takes a batch that is being written; resolves when everyone but the own disk holds it. Rejects
   * with SupersededError, StoppedError, CorruptionError.
   */
  async ship(batch: Batch): Promise<void> {
    if (this.#required) await this.#put([batch]);
  }

  /**
   * Puts what `log` holds durably beyond the bucket's log; resolves when the bucket has all of it.
   * Only while batches do not wait for the bucket. Rejects as `ship` does; DiskError.
   */
  async upload(log: Log): Promise<void> {
    const uploaded = this.#uploads.then(() => this.#uploadAll(log));
    this.#uploads = uploaded.catch(() => undefined);
    await uploaded;
  }

  /**
   * R3: makes the bucket a member. The tail of `log` is put first; nothing may be acknowledged
   * meanwhile. Rejects with SupersededError when someone else leads.
   */
  async requireBucket(log: Log): Promise<void> {
    if (this.head.s3) return;
    await this.upload(log);
    this.#required = true;
    await this.write(bucketJoins);
  }

  /** R3: the own disk suffices from when the lock without the bucket has been read back. */
  async releaseBucket(): Promise<void> {
    if (this.head.s3) await this.write(bucketLeaves);
    this.#required = false;
  }

  /** Writes the lock, after writes of it that are under way. Rejects with SupersededError when it is lost. */
  async write(change: (head: Head) => HeadDraft): Promise<void> {
    const { clock, random, store } = this.#options;
    const { signal } = this.#stop;
    const written = this.#intent.then(async () => {
      signal.throwIfAborted();
      const options = { clock, random, signal };
      const { now, won } = await writeHead(store, this.#observed, change(this.head), options);
      if (!won) throw supersededBy(now.head);
      this.#observed = now;
    });
    this.#intent = written.catch(() => undefined);
    await written;
  }

  /**
   * Proves that nobody else led up to now, or `ageMs` ago; undefined when that is known at once.
   * Rejects with SupersededError; with an ObjectError when the bucket does not answer.
   */
  prove(ageMs = 0): Promise<void> | undefined {
    if (!this.#required && !this.head.s3) return undefined;
    const now = this.#options.clock.elapsed();
    if (now - this.#provedAt < ageMs) return undefined;
    if (now < this.#leaseUntil) {
      if (now >= this.#leaseUntil - renewAfterMs) this.#renew();
      return undefined;
    }
    if (this.#options.leases && now - this.#askedAt < renewAfterMs) this.#renew();
    this.#askedAt = now;
    return this.look();
  }

  /** Reads the lock, shared by all who ask before it is sent. Rejects as `prove` does. */
  look(): Promise<void> {
    this.#asked ??= this.#asking.then(async () => {
      this.#asked = undefined;
      const answer = this.#reread();
      this.#asking = answer.catch(() => undefined);
      await answer;
    });
    return this.#asked;
  }

  /** Until when reads go by the lease, in milliseconds from now; 0 without one. */
  get leaseMs(): number {
    return Math.max(0, this.#leaseUntil - this.#options.clock.elapsed());
  }

  /** Gives back what others would wait for, and gives up what is under way. Never rejects. */
  async resign(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    this.#isResigned = true;
    this.archive.stop();
    this.#leaseUntil = Number.NEGATIVE_INFINITY;
    if (this.head.readLeaseMs > 0 || this.#isRenewing) {
      const returned = this.write((head) => grantReadLease(head, 0)).catch(() => undefined);
      await Promise.race([returned, clock.sleep(graceMs, this.#stop.signal)]);
    }
    this.#stop.abort();
  }

  async #uploadAll(log: Log): Promise<void> {
    for (;;) {
      const batches = log.reader(this.archive.end.position).read(uploadBytesMax);
      if (batches.length === 0) return;
      await this.#put(batches);
    }
  }

  async #put(batches: readonly Batch[]): Promise<void> {
    await this.archive.put(batches);
    const { position, seq } = this.archive.end;
    this.#slots.push({ seq, index: position.index });
  }

  async #reread(): Promise<void> {
    const { clock, store } = this.#options;
    const sentAt = clock.elapsed();
    const now = await rereadHead(store, this.#observed, { signal: this.#stop.signal });
    if (now === undefined) throw new SupersededError(this.head.term, undefined);
    if (now !== "same" && !this.#isOurs(now.head)) throw supersededBy(now.head);
    this.#provedAt = sentAt;
  }

  #isOurs({ leader, term }: Head): boolean {
    return term === this.head.term && leader.incarnation === this.head.leader.incarnation;
  }

  /** Takes or renews the lease in the background. */
  #renew(): void {
    if (this.#isRenewing || this.#isResigned || !this.#options.leases) return;
    this.#isRenewing = true;
    const before = this.#options.clock.elapsed();
    this.write((head) => grantReadLease(head, readLeaseMs))
      .then(
        () => {
          if (!this.#isResigned) this.#leaseUntil = before + readLeaseMs;
        },
        (error: unknown) => {
          // A bucket that refuses (credentials that expired) is waited out: reads ask it, and say so.
          if (error instanceof ObjectError || this.#stop.signal.aborted) return;
          this.#options.fatal(error);
        },
      )
      .finally(() => {
        this.#isRenewing = false;
      });
  }
}

function supersededBy({ leader, term }: Head): SupersededError {
  return new SupersededError(term, leader);
}
