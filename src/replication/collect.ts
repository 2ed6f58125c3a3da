/**
 * gc: deletes what no checkpoint that is kept, no pin and no checkpoint in the making needs. Any
 * number of runs may go on at once, beside a leader, readers, forks, and processes that wake up
 * after a long sleep.
 *
 *   1 read everything (survey.ts). One object that cannot be read: nothing is deleted
 *   2 attempts that did not finish for long: make it impossible for them (`giveUp`), delete what
 *     they said
 *   3 move manifest/latest forward to the newest checkpoint, should its maker have died before
 *   4 choose: checkpoints beyond the retention, tables that only they or nobody names, pins let go
 *   5 add all these to gc/condemned.json, and forget what is gone and was left there (`forgettable`)
 *   6 read everything again. Spare what is needed now; a checkpoint that is not the same now, is
 *     pinned or being made anew; a pin that is not the same
 *   7 delete: checkpoints first, so that none is left whose tables are gone; tables; pins
 *   8 take this run off gc/condemned.json
 *   9 move gc/boundary to the oldest checkpoint that is left or pinned, by the slot it says
 *  10 delete data objects of the log below it, never the newest object, and never a fence
 *
 * checkpoint.ts and pin.ts say why nothing goes that anybody needs. `graceMs` decides only what is
 * tried: younger objects are left for another time. 3 goes before 7, so that `manifest/latest`
 * cannot come to name a checkpoint that is gone: who is late to move it finds it moved.
 */
import type { Random } from "../lib/random.ts";
import { checkpointKey, logPrefix, seqOf } from "../object/keys.ts";
import { type CallOptions, type ListedObject, listAll, type ObjectStore } from "../object/store.ts";
import { advanceBoundary } from "./boundary.ts";
import { moveLatest } from "./checkpoint.ts";
import { absolve, condemn } from "./condemned.ts";
import { encodeAbandoned, encodeManifest, nonceOf, readManifest } from "./manifest.ts";
import { inParallel } from "./parallel.ts";
import { fenceBytes } from "./record.ts";
import { type FoundPending, type Survey, survey, type Unreadable } from "./survey.ts";
import { forgettable, judge, type Verdict, type VerdictOptions } from "./verdict.ts";

export interface CollectOptions extends CallOptions, VerdictOptions {
  readonly random: Random;
  /** After how many milliseconds an attempt to make a checkpoint is given up for its maker. */
  readonly attemptMsMax: number;
  /** Deletes under way at once. */
  readonly parallel: number;
  /** Says what would be deleted, writes and deletes nothing. */
  readonly isDryRun?: boolean;
}

/** What was deleted, or would be in a dry run. */
export interface Collected {
  readonly checkpoints: readonly string[];
  /** Keys; `tableBytes` is their size. */
  readonly tables: readonly string[];
  readonly tableBytes: number;
  readonly logObjects: number;
  readonly logBytes: number;
  /** Between which slots those are; fences and the newest object, which stay, may be among them. */
  readonly logSlots: { readonly first: number; readonly last: number } | undefined;
  /** Checkpoints that stay though their tables are not all there. */
  readonly broken: readonly string[];
  /** Why nothing was deleted; empty when something could be. */
  readonly unreadable: readonly Unreadable[];
}

/** One run. ObjectError when the store fails: what was not deleted yet, the next run deletes. */
export async function collect(store: ObjectStore, options: CollectOptions): Promise<Collected> {
  const run = new Run(store, options);
  return await run.collect();
}

class Run {
  readonly #store: ObjectStore;
  readonly #options: CollectOptions;
  readonly #id: string;
  /** Keys of attempts that cannot finish any more. */
  readonly #givenUp = new Set<string>();

  constructor(store: ObjectStore, options: CollectOptions) {
    this.#store = store;
    this.#options = options;
    this.#id = nonceOf(options.random);
  }

  async collect(): Promise<Collected> {
    const first = await survey(this.#store, this.#options);
    if (first.unreadable.length > 0) return refused(first);
    await this.#giveUpAttempts(first);
    const verdict = judge(first, this.#givenUp, this.#options);
    if (verdict.newest === undefined) return this.#report(first, verdict, []);
    if (this.#options.isDryRun) {
      return this.#report(first, verdict, await this.#spentLog(verdict));
    }
    await moveLatest(this.#store, verdict.newest, this.#options);
    const targets = [...verdict.checkpoints.keys(), ...verdict.tables, ...verdict.pins.keys()];
    const gone = forgettable(first, verdict.newest);
    if (targets.length + gone.length === 0) return await this.#sweepLog(first, verdict);
    await condemn(this.#store, this.#id, targets, gone, this.#options);
    return await this.#sweep(verdict);
  }

  /** Steps 6 to 10. */
  async #sweep(before: Verdict): Promise<Collected> {
    const second = await survey(this.#store, this.#options);
    if (second.unreadable.length > 0) {
      await absolve(this.#store, this.#id, this.#options);
      return refused(second);
    }
    const verdict = judge(second, this.#givenUp, this.#options, before);
    for (const keys of [verdict.checkpoints.keys(), verdict.tables, verdict.pins.keys()]) {
      await this.#delete(keys);
    }
    await absolve(this.#store, this.#id, this.#options);
    return await this.#sweepLog(second, verdict);
  }

  /** Step 2. */
  async #giveUpAttempts({ pendings }: Survey): Promise<void> {
    const { attemptMsMax, isDryRun, nowMs } = this.#options;
    for (const pending of pendings) {
      if (nowMs - pending.modifiedMs < attemptMsMax) continue;
      if (!isDryRun && !(await this.#giveUp(pending))) continue;
      this.#givenUp.add(pending.attempt);
      if (!isDryRun) await this.#store.delete(pending.key, this.#options);
    }
  }

  /**
   * Makes sure that the attempt does not put its manifest any more, which it does only while the
   * same content stands there, or none, as when it began. Whether that went well.
   */
  async #giveUp({ attempt, revision, term }: FoundPending): Promise<boolean> {
    const key = checkpointKey(term, revision);
    const found = await readManifest(this.#store, key, this.#options);
    const touched = nonceOf(this.#options.random);
    if (found === undefined) {
      const bytes = encodeAbandoned(touched);
      return (await this.#store.putIfAbsent(key, bytes, this.#options)) !== undefined;
    }
    const { manifest, tag } = found;
    if (manifest?.attempt === attempt) return true;
    const bytes = manifest ? encodeManifest(manifest, touched) : encodeAbandoned(touched);
    return (await this.#store.putIfMatch(key, bytes, tag, this.#options)) !== undefined;
  }

  async #delete(keys: Iterable<string>): Promise<void> {
    await inParallel(keys, this.#options.parallel, (key) => this.#store.delete(key, this.#options));
  }

  /** Steps 9 and 10. */
  async #sweepLog(at: Survey, verdict: Verdict): Promise<Collected> {
    const log = await this.#spentLog(verdict);
    const { oldest } = verdict;
    if (oldest !== undefined && log.length > 0) {
      const target = { seq: oldest.lastSeq + 1, index: oldest.position.index };
      await advanceBoundary(this.#store, target, this.#options);
      await this.#delete(log.map(({ key }) => key));
    }
    return this.#report(at, verdict, log);
  }

  /** The data objects that no checkpoint which stays needs, and no pin. */
  async #spentLog({ oldest }: Verdict): Promise<ListedObject[]> {
    const spent: ListedObject[] = [];
    let newest: string | undefined;
    const { signal } = this.#options;
    for await (const object of listAll(this.#store, logPrefix, { signal })) {
      const seq = seqOf(object.key);
      if (seq === undefined) continue;
      newest = object.key;
      if (seq <= (oldest?.lastSeq ?? 0) && object.bytes > fenceBytes) spent.push(object);
    }
    return spent.filter(({ key }) => key !== newest);
  }

  #report(at: Survey, verdict: Verdict, log: readonly ListedObject[]): Collected {
    const tables = [...verdict.tables];
    const sum = (sizes: number[]) => sizes.reduce((total, bytes) => total + bytes, 0);
    return {
      checkpoints: [...verdict.checkpoints.keys()],
      tables,
      tableBytes: sum(tables.map((key) => at.tables.get(key)?.bytes ?? 0)),
      logObjects: log.length,
      logBytes: sum(log.map(({ bytes }) => bytes)),
      logSlots: slotsOf(log),
      broken: verdict.broken,
      unreadable: [],
    };
  }
}

function slotsOf(log: readonly ListedObject[]): Collected["logSlots"] {
  const [first, last] = [seqOf(log[0]?.key ?? ""), seqOf(log.at(-1)?.key ?? "")];
  return first === undefined || last === undefined ? undefined : { first, last };
}

function refused({ unreadable }: Survey): Collected {
  return {
    checkpoints: [],
    tables: [],
    tableBytes: 0,
    logObjects: 0,
    logBytes: 0,
    logSlots: undefined,
    broken: [],
    unreadable,
  };
}
