/**
 * A member: it introduces the rooms to each other and does no work of its own.
 *
 *   open    recover.ts: directory, tables, log; then a new term begins, then it serves
 *   write   commit.ts      read   read.ts      watch   mvcc/watchers.ts      leases   expire.ts
 *   close   no new work; what was taken is settled; files are closed
 */
import type { Clock } from "../lib/clock.ts";
import { type Disk, isFull } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import type { Random } from "../lib/random.ts";
import type { Registry } from "../lib/registry.ts";
import { Task } from "../lib/task.ts";
import type { Command, RangeQuery, TxnCommand } from "../model/command.ts";
import { metrics } from "../model/metrics.ts";
import { Refusal } from "../model/refusal.ts";
import type { RangeReply, Reply, TxnReply } from "../model/reply.ts";
import { indexOf, type Position, type Revision, type Term, termOf } from "../model/revision.ts";
import { isReadOnly } from "../mvcc/txn.ts";
import type { WatchNotice, WatchRequest } from "../mvcc/watcher.ts";
import { LogFullError } from "../wal/failure.ts";
import { Committer, type Fail, type Settle } from "./commit.ts";
import type { Identity } from "./directory.ts";
import type { Checkpoint } from "./durable.ts";
import { type BucketSettings, Duties } from "./duties.ts";
import { Deadlines } from "./expire.ts";
import { Lessor } from "./lessor.ts";
import { type Limits, limitsOf, type Settings } from "./limits.ts";
import { archiveMeters, commitMeters, type MemberMeters, memberMeters } from "./meters.ts";
import { repeating } from "./progress.ts";
import { proveLead } from "./proof.ts";
import { type Answer, deadline, type Leaving, Reader } from "./read.ts";
import { recover } from "./recover.ts";
import type { BucketOptions, Rooms, StartStep } from "./rooms.ts";
import { Sweeper } from "./sweep.ts";
import { type Vitals, vitalsOf } from "./vitals.ts";

export interface MemberOptions {
  readonly dataDirectory: string;
  /** The bucket that is to survive the directory, and how it is used; undefined for none. */
  readonly bucket?: (BucketOptions & BucketSettings) | undefined;
  /** How people call it; MemberList shows it. */
  readonly name: string;
  /** Where clients reach it; MemberList shows them. */
  readonly clientUrls: () => readonly string[];
  readonly settings: Settings;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Told what the member is doing while it opens. */
  readonly onStep: (step: StartStep) => void;
  /** Takes the error after which the member no longer serves; called at most once. */
  readonly fatal: (error: unknown) => void;
}

/** What every response header tells. */
export interface Header {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: number;
  readonly term: Term;
}

/** A watcher, as its client's stream holds it. */
export interface WatchHandle {
  /** The revision the store was at when the watcher began. */
  readonly revision: Revision;
  /** The next notice; undefined when nothing waits. */
  take(): WatchNotice | undefined;
  /** Whether another waits. */
  isReady(): boolean;
  /** Whether the client has been handed everything up to the store's revision. */
  isCurrent(): boolean;
  cancel(): void;
}

/** For an answer to a renewed lease, whoever led this long ago may be taken for the leader. */
const keepAliveAgeMs = 1000;

export class Member {
  readonly #options: MemberOptions;
  /** Tells the owner of the first error after which nothing can be served. */
  readonly #fatal: (error: unknown) => void;
  readonly #rooms: Rooms;
  readonly #committer: Committer;
  readonly #reader: Reader;
  readonly #sweeper: Sweeper;
  readonly #meters: MemberMeters;
  /** With a bucket: what its leader owes it. */
  readonly #duties: Duties | undefined;
  /** The background jobs; none before it serves. */
  #tasks: readonly Task[] = [];
  readonly limits: Limits;
  readonly term: Term;
  readonly lessor: Lessor;
  #closing: Promise<void> | undefined;

  /**
   * Opens a member on its data directory and starts a term; resolves when it serves. Errors:
   * InUseError, ForeignError, CorruptionError, DiskError, each naming the file.
   */
  static open(options: MemberOptions): Promise<Member> {
    return repeating(options, (onStep) => Member.#open({ ...options, onStep }));
  }

  static async #open(options: MemberOptions): Promise<Member> {
    const limits = limitsOf(options.settings);
    const deadlines = new Deadlines(options.clock);
    let opened: Member | undefined;
    let failure: unknown;
    const fail = (error: unknown) => {
      if (failure !== undefined) return;
      failure = error;
      if (opened === undefined) return;
      opened.#committer.halt();
      options.fatal(error);
    };
    const rooms = await recover({
      ...options,
      limits,
      wakeWatchers: () => opened?.wake("watch catch-up"),
      leaseChanged: (lease, ttlSeconds) => {
        // What is replayed has its deadlines when the member serves.
        if (opened === undefined) return;
        if (ttlSeconds === undefined) deadlines.stop(lease);
        else deadlines.start(lease, ttlSeconds);
      },
      checkpointed: () => opened?.wake("log trim"),
      fatal: fail,
    });
    options.onStep({ name: "term", done: 0, total: 0 });
    const member = new Member(options, limits, rooms, deadlines, fail);
    try {
      await member.#committer.begin();
      if (failure !== undefined) throw failure;
    } catch (error) {
      await member.close();
      throw error;
    }
    for (const lease of rooms.store.leases.all()) deadlines.start(lease.id, lease.ttlSeconds);
    member.#tasks = member.#startTasks();
    opened = member;
    return member;
  }

  private constructor(
    options: MemberOptions,
    limits: Limits,
    rooms: Rooms,
    deadlines: Deadlines,
    fatal: (error: unknown) => void,
  ) {
    this.#options = options;
    this.#fatal = fatal;
    this.#rooms = rooms;
    this.#meters = memberMeters(options.registry);
    // Shown, all zero, by a member without a bucket too.
    archiveMeters(options.registry);
    options.registry.counter(metrics.checkpoints, {});
    this.limits = limits;
    const { leadership } = rooms;
    this.term = leadership?.head.term ?? termOf(rooms.log.position.term + 1);
    this.#committer = new Committer({
      clock: options.clock,
      limits,
      log: rooms.log,
      meters: commitMeters(options.registry),
      store: rooms.store,
      term: this.term,
      tree: rooms.tree,
      fatal,
      prove: leadership && (() => proveLead(leadership, { clock: options.clock, limits })),
      ship: leadership && ((batch) => leadership.ship(batch)),
      batchDelayMs: options.bucket?.batchDelayMs,
      reads: () => this.#reader.reads,
      isFull: () => this.#duties?.isFull ?? false,
    });
    const settings = options.bucket;
    this.#duties =
      leadership &&
      settings &&
      new Duties({
        ...options,
        settings,
        rooms,
        leadership,
        term: this.term,
        applied: () => this.applied,
        seal: () => this.#committer.seal(),
        fatal,
      });
    this.#reader = new Reader({
      ...options,
      limits,
      store: rooms.store,
      leadership,
      meters: this.#meters,
      isLeader: () => this.isLeader,
      isClosed: () => this.#closing !== undefined,
      fatal,
    });
    this.#sweeper = new Sweeper(this.#committer, rooms.tree);
    this.lessor = new Lessor({
      ...options,
      deadlines,
      limits,
      meters: this.#meters,
      store: rooms.store,
      isServing: () => this.isLeader,
      propose: (command) => this.propose(command),
      prove: leadership && (() => this.#reader.prove(keepAliveAgeMs)),
    });
  }

  get identity(): Identity {
    return this.#rooms.directory.identity;
  }

  get name(): string {
    return this.#options.name;
  }

  get clientUrls(): readonly string[] {
    return this.#options.clientUrls();
  }

  /** The revision that readers see. */
  get revision(): Revision {
    return this.#rooms.store.revision;
  }

  /** Whether this member leads: reads are served and writes are taken. */
  get isLeader(): boolean {
    return this.#committer.isServing;
  }

  /** Position of the last applied entry. */
  get applied(): Position {
    return this.#committer.applied;
  }

  /** What the member tells of itself at this moment. */
  vitals(): Vitals {
    const { disk, name } = this.#options;
    const { isLeader: leads, term } = this;
    const bucket = this.#duties?.vitals(this.revision);
    return vitalsOf(this.#rooms, { name, term, leads, applied: this.applied, disk, bucket });
  }

  /** How long writes have waited for a bucket that does not answer; 0 when none does. */
  get bucketAwayMs(): number {
    const { leadership } = this.#rooms;
    const since = leadership?.isRequired ? leadership.archive.awaySince : undefined;
    return since === undefined ? 0 : this.#options.clock.now() - since;
  }

  /** For a response about `revision`; the current one when left out. */
  header(revision: number = this.revision): Header {
    return { ...this.identity, revision, term: this.term };
  }

  /** Runs a command through the log: see Committer.submit. */
  submit(command: Command, settle: Settle, fail: Fail): void {
    this.#committer.submit(command, settle, fail);
  }

  /** As `submit`, as a promise: see Committer.propose. */
  propose(command: Command): Promise<Reply | Refusal> {
    return this.#committer.propose(command);
  }

  /** Reads a range: see Reader.range. */
  range(query: RangeQuery, signal?: Leaving): Answer<RangeReply> {
    return this.#reader.range(query, signal);
  }

  /** Whether a transaction can only read, so that nothing of it goes into the log. */
  readsOnly(command: TxnCommand): boolean {
    return isReadOnly(command);
  }

  /** Runs a transaction that can only read: see Reader.txn. */
  read(command: TxnCommand): Answer<TxnReply> {
    return this.#reader.txn(command);
  }

  /** Runs a transaction; one that can only read takes the read path. */
  async txn(command: TxnCommand): Promise<TxnReply | Refusal> {
    if (this.readsOnly(command)) return await this.read(command);
    return (await this.propose(command)) as TxnReply | Refusal;
  }

  /**
   * Raises the compaction floor; with `physical`, resolves once what fell below it is gone, or with
   * outcomeUnknown when the member stops before that.
   */
  async compact(revision: number, physical: boolean): Promise<Reply | Refusal> {
    const reply = await this.propose({ kind: "compact", revision });
    let isDone = true;
    if (reply instanceof Refusal) {
      if (physical && reply.kind === "compacted") isDone = await this.#sweeper.done();
    } else if (physical) isDone = await this.#sweeper.sweep();
    else this.#rooms.tree.reconsider();
    return isDone ? reply : new Refusal("outcomeUnknown");
  }

  /** Starts a watcher. `onReady` is called when take() has something new. */
  watch(request: WatchRequest, onReady: () => void): WatchHandle {
    const { revision, watchers } = this.#rooms.store;
    const watcher = watchers.watch(request, onReady);
    return {
      revision,
      take: () => watchers.take(watcher),
      isReady: () => watcher.isReady,
      isCurrent: () => watchers.isCurrent(watcher),
      cancel: () => watchers.cancel(watcher),
    };
  }

  /** Starts a background job's next round now. */
  wake(task: string): void {
    this.#tasks.find(({ name }) => name === task)?.wake();
  }

  /** Takes no more work, settles what was taken, closes the files. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { leadership } = this.#rooms;
    const settled = this.#committer.stop();
    if (leadership !== undefined) {
      const { clock } = this.#options;
      // What waits for a bucket that is away is told that its outcome is unknown.
      if (this.bucketAwayMs === 0) {
        await Promise.race([settled, clock.sleep(this.limits.settleMsMax)]);
      }
      await this.#duties?.finish();
      await leadership.resign(this.limits.resignMsMax);
    }
    await settled;
    await Promise.all(this.#tasks.map((task) => task.stop()));
    await this.#rooms.tree.close();
    await this.#rooms.log.close();
    this.#rooms.directory.lock.release();
  }

  #startTasks(): readonly Task[] {
    const { clock, logger } = this.#options;
    const retryable = (error: unknown) => isFull(error) || error instanceof LogFullError;
    const task = (name: string, step: (signal: AbortSignal) => Promise<number>) =>
      new Task({ name, clock, logger, step, retryable, fatal: this.#fatal });
    return [
      task("watch catch-up", (signal) => this.#catchUpWatchers(signal)),
      task("lease expiry", () => this.lessor.expire()),
      task("log trim", () => this.#trimLog()),
      task("request timeout", () => this.#expireRequests()),
      ...(this.#duties?.start() ?? []),
    ];
  }

  async #catchUpWatchers(signal: AbortSignal): Promise<number> {
    const { clock } = this.#options;
    const { watchers } = this.#rooms.store;
    while (!signal.aborted) {
      const started = clock.now();
      const slice = watchers.catchUp(deadline(clock, this.limits.sliceMsMax));
      if (slice === undefined) break;
      this.#meters.scanned(slice, (clock.now() - started) / 1000);
      await clock.yield();
    }
    return Infinity;
  }

  async #trimLog(): Promise<number> {
    const { leadership, log, tree } = this.#rooms;
    await log.rotateIfOld();
    const checkpoint: Checkpoint | undefined = tree.durable;
    const archived = leadership?.archive.end.position.index ?? Number.POSITIVE_INFINITY;
    if (checkpoint !== undefined) log.trim(indexOf(Math.min(checkpoint.index, archived)));
    if (log.status().segments > this.limits.segmentsMax) this.#committer.seal();
    return this.limits.segmentAgeMsMax;
  }

  #expireRequests(): Promise<number> {
    this.#committer.expireWaiters();
    return Promise.resolve(this.limits.requestMsMax / 20);
  }
}
