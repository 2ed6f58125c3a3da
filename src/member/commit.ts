/**
 * The one write path. A command becomes visible in this order, and nothing skips a step:
 *
 *   1 decide    against everything decided before, synchronously
 *   2 stage     the entry joins the open batch; the caller waits
 *   3 sync      when no sync is in flight the batch is closed, written and synced, and, where the
 *               bucket is a member, put there at the same time; entries that arrive meanwhile form
 *               the next batch (group commit, without a timer)
 *   4 apply     readers and watchers see the entries, in order
 *   5 answer    the callers of the batch get their replies
 *
 * While batch n+1 is on its way to the disk, batch n is applied: the disk and the processor work at
 * the same time. A reply that needs no entry but was decided on uncommitted ones waits for them, and
 * fails as they do. It is a read: that nobody else led when it was decided is proved like for one.
 *
 * A full disk drops the open batches as if they had never been decided; the log goes on when there is
 * room. Any other failure of the log ends this member's service: what was in flight may or may not
 * be on the disk, and its callers are told that it is unknown.
 */
import type { Clock } from "../lib/clock.ts";
import type { Tree } from "../lsm/tree.ts";
import type { Batch as LogBatch } from "../model/batch.ts";
import type { Command } from "../model/command.ts";
import type { Action, Entry } from "../model/entry.ts";
import { Refusal, type RefusalKind } from "../model/refusal.ts";
import type { Reply } from "../model/reply.ts";
import { indexOf, type Position, type Revision, type Term } from "../model/revision.ts";
import type { Store } from "../mvcc/store.ts";
import { StoppedError } from "../replication/archive.ts";
import { LogFullError } from "../wal/failure.ts";
import type { Log } from "../wal/log.ts";
import { type Checkpoint, checkpointOf } from "./durable.ts";
import { gather } from "./gather.ts";
import { isGrave } from "./grave.ts";
import type { Limits } from "./limits.ts";
import type { CommitMeters } from "./meters.ts";

/** Takes the answer to a command. What it throws ends the member. */
export type Settle = (answer: Reply | Refusal) => void;

/** Takes the error that a command met. */
export type Fail = (error: unknown) => void;

interface Waiter {
  readonly reply: Reply | Refusal;
  /** Undefined once it has been called. */
  settle: Settle | undefined;
  readonly action: Action | undefined;
  readonly since: number;
}

interface Batch {
  readonly entries: Entry[];
  readonly waiters: Waiter[];
}

export interface CommitterOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly meters: CommitMeters;
  readonly store: Store;
  readonly term: Term;
  readonly tree: Tree<Checkpoint>;
  /**
   * Called with each batch once it is written, while it is synced; resolves when everyone else who
   * must hold it does. Undefined: nobody else.
   */
  readonly ship?: ((batch: LogBatch) => Promise<void>) | undefined;
  /** Least milliseconds from one batch to the next: fewer, larger puts, each of which costs. */
  readonly batchDelayMs?: number | undefined;
  /** As `proveLead`. Undefined: nobody else can lead. */
  readonly prove?: (() => Promise<Refusal | undefined> | undefined) | undefined;
  /** How many reads there were. */
  readonly reads: () => number;
  /** Whether there is no more room for what only this disk holds. */
  readonly isFull?: (() => boolean) | undefined;
  /** Takes the error after which nothing can be written any more. */
  readonly fatal: (error: unknown) => void;
}

type Phase = "serving" | "stopping" | "failed";

export class Committer {
  readonly #options: CommitterOptions;
  #open: Batch = { entries: [], waiters: [] };
  /** On its way to the disk. */
  #inFlight: Batch | undefined;
  /** Durable; what it did is being made visible. */
  #applying: Batch | undefined;
  #pump: Promise<void> | undefined;
  #phase: Phase = "serving";
  /** Reads there were when the last batch was synced. */
  #reads = 0;
  #appliedPosition: Position;
  /** Callers there were when the last batch was durable, if few: as many may come together again. */
  #expected = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#appliedPosition = options.log.position;
  }

  /** Position of the last applied entry. */
  get applied(): Position {
    return this.#appliedPosition;
  }

  /** Whether writes are taken. */
  get isServing(): boolean {
    return this.#phase === "serving";
  }

  /**
   * Decides `command` and calls `settle` once the decision is durable and applied, or is a refusal.
   * Refusals of this step: stopped, tooManyRequests, noSpace (nothing was written), outcomeUnknown.
   * When deciding or the proof that an answer needs meets an error, `fail` gets it, after `fatal`
   * where the member does not survive it (grave.ts). One of the two is called, once, maybe before
   * this returns; nothing is thrown.
   */
  submit(command: Command, settle: Settle, fail: Fail): void {
    const refusal = this.#admit();
    if (refusal !== undefined) this.#tell(settle, refusal);
    else this.#decide(command, settle, fail);
  }

  /** As `submit`; rejects where that calls `fail`. */
  propose(command: Command): Promise<Reply | Refusal> {
    return new Promise((resolve, reject) => this.submit(command, resolve, reject));
  }

  #decide(command: Command, settle: Settle, fail: Fail): void {
    const { prove, store } = this.#options;
    let proof: Promise<Refusal | undefined> | undefined;
    let reply: Reply | Refusal;
    try {
      const decision = store.decide(command);
      const { action, revision } = decision;
      ({ reply } = decision);
      if (action !== undefined) {
        this.#stage(action, revision, reply, settle);
        return;
      }
      proof = prove?.();
    } catch (error) {
      this.#blame(error, fail);
      return;
    }
    if (proof === undefined) this.#answer(reply, settle);
    else this.#answerProven(reply, proof, settle, fail);
  }

  /** Answers what needs no entry, once what it was decided on is durable. */
  #answer(reply: Reply | Refusal, settle: Settle): void {
    const { meters, store } = this.#options;
    if (store.pendingCount === 0) {
      meters.answered(reply);
      this.#tell(settle, reply);
    } else {
      const newest = this.#open.entries.length > 0 ? this.#open : this.#inFlight;
      this.#wait(newest ?? this.#open, reply, undefined, settle);
    }
  }

  /** As `#answer`, if the proof that it may be given goes well; else tells what came of the proof. */
  #answerProven(
    reply: Reply | Refusal,
    proof: Promise<Refusal | undefined>,
    settle: Settle,
    fail: Fail,
  ): void {
    const answered = new Promise<Reply | Refusal>((resolve) => this.#answer(reply, resolve));
    proof.then(
      async (refusal) => this.#tell(settle, refusal ?? (await answered)),
      (error: unknown) => this.#blame(error, fail),
    );
  }

  #tell(settle: Settle, answer: Reply | Refusal): void {
    try {
      settle(answer);
    } catch (error) {
      this.#options.fatal(error);
    }
  }

  #blame(error: unknown, fail: Fail): void {
    if (isGrave(error)) this.#options.fatal(error);
    try {
      fail(error);
    } catch (another) {
      this.#options.fatal(another);
    }
  }

  /** Writes the entry that begins the term; resolves when it is applied. */
  async begin(): Promise<void> {
    const { store } = this.#options;
    const reply = { kind: "compact", revision: store.revision } as const;
    const answer = await new Promise<Reply | Refusal>((resolve) =>
      this.#stage({ kind: "begin" }, store.revision, reply, resolve),
    );
    if (answer instanceof Refusal && answer.kind === "noSpace") {
      throw new Error(
        "the disk is full: the term could not begin; free some space and start again",
      );
    }
  }

  /**
   * Seals the memtable at the last applied entry. Not in a member that failed, and false: it may
   * have applied a part of what comes after.
   */
  seal(): boolean {
    if (this.#phase === "failed") return false;
    const { log, store, tree } = this.#options;
    tree.seal(checkpointOf(this.#appliedPosition, store.state, log.wallMs));
    return true;
  }

  /** Answers callers that have waited too long; what they wait for goes on. */
  expireWaiters(): void {
    const before = this.#options.clock.now() - this.#options.limits.requestMsMax;
    for (const batch of [this.#inFlight, this.#open]) {
      for (const waiter of batch?.waiters ?? []) {
        if (waiter.since > before) break;
        this.#settle(waiter, new Refusal("outcomeUnknown"));
      }
    }
  }

  /** Takes no more writes. Those it took go their way. */
  halt(): void {
    if (this.#phase === "serving") this.#phase = "stopping";
  }

  /** Takes no more writes; resolves when those it took are settled. */
  async stop(): Promise<void> {
    this.halt();
    await this.#pump;
  }

  #admit(): Refusal | undefined {
    const { isFull, limits, log, store } = this.#options;
    if (this.#phase !== "serving" || log.hasFailed) return new Refusal("stopped");
    if (isFull?.()) return new Refusal("noSpace");
    const full =
      store.pendingCount >= limits.pendingEntriesMax || log.stagedBytes >= limits.pendingBytesMax;
    return full ? new Refusal("tooManyRequests") : undefined;
  }

  #stage(action: Action, revision: Revision, reply: Reply | Refusal, settle: Settle): void {
    const { log, store, term } = this.#options;
    const entry: Entry = { index: indexOf(log.position.index + 1), term, revision, action };
    log.stage(entry);
    store.pend(entry);
    this.#open.entries.push(entry);
    this.#wait(this.#open, reply, action, settle);
    this.#pump ??= this.#run();
  }

  #wait(batch: Batch, reply: Reply | Refusal, action: Action | undefined, settle: Settle): void {
    batch.waiters.push({ reply, settle, action, since: this.#options.clock.now() });
  }

  /** Answers a waiter, if nobody has. */
  #settle(waiter: Waiter, answer: Reply | Refusal): void {
    const { settle } = waiter;
    waiter.settle = undefined;
    if (settle !== undefined) this.#tell(settle, answer);
  }

  /** Runs while there is something to write. */
  async #run(): Promise<void> {
    try {
      for (;;) {
        const { clock, limits } = this.#options;
        const waiting = () => this.#open.waiters.length;
        await gather(clock, waiting, this.#expected, limits.fewCallersMax);
        const batch = this.#close();
        if (batch === undefined) break;
        await this.#commit(batch);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#pump = undefined;
  }

  #close(): Batch | undefined {
    if (this.#open.entries.length === 0) return undefined;
    const batch = this.#open;
    this.#open = { entries: [], waiters: [] };
    this.#inFlight = batch;
    return batch;
  }

  /** Makes a batch durable and visible, and after it all that gather behind it without a gap. */
  async #commit(first: Batch): Promise<void> {
    const { batchDelayMs = 0, clock, limits, log, tree } = this.#options;
    const started = clock.now();
    let batch = first;
    let position = log.position;
    let synced = this.#sync(batch);
    for (;;) {
      if (!(await synced)) return this.#dropAll("noSpace");
      await tree.room();
      const done = batch;
      // A few callers are answered first, and ask again in time to share a sync with those that wait:
      // else the two would take turns, and everybody would wait for two.
      const callers = done.waiters.length + this.#open.waiters.length;
      const areFew = callers <= limits.fewCallersMax;
      this.#expected = areFew ? callers : 0;
      const next = batchDelayMs > 0 || areFew ? undefined : this.#close();
      if (next === undefined) {
        this.#inFlight = undefined;
        this.#apply(done, position);
        if (batchDelayMs > 0) await clock.sleep(started + batchDelayMs - clock.now());
        return;
      }
      const nextPosition = log.position;
      synced = this.#sync(next);
      try {
        this.#apply(done, position);
      } catch (error) {
        // Whoever closes the log finds no sync under way.
        await Promise.allSettled([synced]);
        throw error;
      }
      batch = next;
      position = nextPosition;
    }
  }

  /**
   * Whether the event loop may stand still for a sync: where few write, so that there is not much to
   * do meanwhile. Readers would wait with it.
   */
  #maySyncHere({ waiters }: Batch): boolean {
    const { limits, log, reads, ship } = this.#options;
    const { fewCallersMax, quickSyncMsMax: msMax } = limits;
    if (ship !== undefined || waiters.length > fewCallersMax) return false;
    return log.isQuick(reads() === this.#reads ? msMax : msMax / 2);
  }

  /** Writes and syncs a closed batch; false when the disk is full and it was not written. */
  async #sync(batch: Batch): Promise<boolean> {
    const { clock, log, meters, reads, ship } = this.#options;
    const started = clock.now();
    meters.queueSeconds.observe((started - (batch.waiters[0]?.since ?? started)) / 1000);
    let shipped: Promise<void> | undefined;
    const isHere = this.#maySyncHere(batch);
    this.#reads = reads();
    try {
      await log.sync(
        ship &&
          ((written) => {
            shipped = ship(written);
            // It is waited for below; until then its failure is nobody's.
            shipped.catch(() => undefined);
          }),
        isHere,
      );
    } catch (error) {
      if (error instanceof LogFullError) return false;
      throw error;
    }
    await shipped;
    meters.syncSeconds.observe((clock.now() - started) / 1000);
    return true;
  }

  #apply(batch: Batch, position: Position): void {
    const { clock, meters, store, tree } = this.#options;
    const started = clock.now();
    this.#applying = batch;
    try {
      for (const entry of batch.entries) store.apply(entry);
    } catch (error) {
      this.#phase = "failed";
      throw error;
    }
    this.#appliedPosition = position;
    if (tree.isFull) this.seal();
    const now = clock.now();
    meters.applySeconds.observe((now - started) / 1000);
    this.#applying = undefined;
    for (const waiter of batch.waiters) {
      const { action, reply, since } = waiter;
      if (action !== undefined) meters.committed(action, (now - since) / 1000);
      meters.answered(reply);
      this.#settle(waiter, reply);
    }
  }

  /** Forgets everything decided and not applied, and answers its callers. */
  #dropAll(kind: RefusalKind): void {
    const { log, store } = this.#options;
    log.discard();
    store.forget();
    this.#answerAll(kind);
  }

  #fail(error: unknown): void {
    // What the bucket had not taken when the member was stopped is given up: that is no failure.
    const isGivenUp = this.#phase === "stopping" && error instanceof StoppedError;
    this.#phase = "failed";
    this.#answerAll("outcomeUnknown");
    if (!isGivenUp) this.#options.fatal(error);
  }

  /** Refuses whatever waits. */
  #answerAll(kind: RefusalKind): void {
    const batches = [this.#applying, this.#inFlight, this.#open];
    this.#applying = undefined;
    this.#inFlight = undefined;
    this.#open = { entries: [], waiters: [] };
    for (const waiter of batches.flatMap((batch) => batch?.waiters ?? [])) {
      if (waiter.action !== undefined) this.#options.meters.failed(waiter.action);
      this.#settle(waiter, new Refusal(kind));
    }
  }
}
