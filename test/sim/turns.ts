/**
 * Processes that share a bucket and take turns, one call at a time, in an order a seed decides: so
 * any of them may do anything between any two calls of another. A process may sleep through many
 * turns, or die; a write may be carried out twice, the second time much later, or only much later,
 * after its sender was told that nobody knows.
 */
import type { Random } from "../../src/lib/random.ts";
import { type CallOptions, ObjectError, type ObjectStore } from "../../src/object/store.ts";

/** One that does something with the bucket. */
export interface Process {
  readonly name: string;
  /** Ended, well or not, or dead. */
  isDone: boolean;
  /** What ended it, if that was an error. */
  error: unknown;
  isDead: boolean;
  asleepUntil: number;
}

interface Call {
  readonly process: Process;
  readonly what: string;
  readonly isWrite: boolean;
  readonly key: string;
  readonly run: () => Promise<unknown>;
  readonly answer: (result: unknown) => void;
  readonly fail: (error: unknown) => void;
}

interface Stray {
  readonly atTurn: number;
  readonly what: string;
  readonly run: () => Promise<unknown>;
}

/** How often, of a thousand calls. */
export interface Chances {
  readonly sleep: number;
  readonly twice: number;
  readonly late: number;
}

const sleepTurnsMax = 400;

export class Turns {
  /** What was carried out, in order. */
  readonly log: string[] = [];
  turn = 0;
  readonly #random: Random;
  readonly #chances: Chances;
  readonly #processes: Process[] = [];
  #calls: Call[] = [];
  #strays: Stray[] = [];

  constructor(random: Random, chances: Chances) {
    this.#random = random;
    this.#chances = chances;
  }

  /** Lets `work` run, with a store whose every call waits for its turn. */
  spawn(
    name: string,
    bucket: ObjectStore,
    work: (store: ObjectStore, process: Process) => Promise<void>,
  ): Process {
    const process = { name, isDone: false, error: undefined, isDead: false, asleepUntil: 0 };
    this.#processes.push(process);
    this.#follow(process, work(this.storeOf(process, bucket), process));
    return process;
  }

  /** It does nothing any more; what it has sent may still happen. */
  kill(process: Process): void {
    process.isDone = true;
    process.isDead = true;
    this.log.push(`${this.turn} ${process.name} dies`);
    for (const call of this.#calls.filter((each) => each.process === process)) {
      if (call.isWrite && this.#random.below(2) === 0) this.#later(call);
    }
    this.#calls = this.#calls.filter((each) => each.process !== process);
  }

  /** Takes turns until nobody has anything to do, or `turnsMax`; `after` is called after each. */
  async run(turnsMax: number, after: () => void): Promise<void> {
    for (let end = this.turn + turnsMax; this.turn < end; this.turn++) {
      await settle();
      const work = this.#next();
      if (work === undefined) return;
      await work();
      after();
    }
  }

  get isIdle(): boolean {
    return this.#processes.every(({ isDone }) => isDone);
  }

  storeOf(process: Process, bucket: ObjectStore): ObjectStore {
    const call = <T>(
      what: string,
      key: string,
      isWrite: boolean,
      run: () => Promise<T>,
    ): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        if (process.isDead) return;
        const answer = (result: unknown) => resolve(result as T);
        this.#calls.push({ process, what, key, isWrite, run, answer, fail: reject });
      });
    const read = (options: CallOptions | undefined) => ({ signal: options?.signal });
    return {
      address: bucket.address,
      versions: bucket.versions,
      get: (key, options) => call("get", key, false, () => bucket.get(key, read(options))),
      getIfChanged: (key, tag) => call("get", key, false, () => bucket.getIfChanged(key, tag)),
      put: (key, bytes) => call("put", key, true, () => bucket.put(key, bytes)),
      putIfAbsent: (key, bytes) =>
        call("put if absent", key, true, () => bucket.putIfAbsent(key, bytes)),
      putIfMatch: (key, bytes, tag) =>
        call("put if match", key, true, () => bucket.putIfMatch(key, bytes, tag)),
      delete: (key) => call("delete", key, true, () => bucket.delete(key)),
      list: (prefix, after) => call("list", prefix, false, () => bucket.list(prefix, after)),
    };
  }

  #next(): (() => Promise<void>) | undefined {
    const due = this.#strays.findIndex(({ atTurn }) => atTurn <= this.turn);
    if (due >= 0) return () => this.#runStray(due);
    const awake = this.#calls.filter(({ process }) => process.asleepUntil <= this.turn);
    const ready = awake.length > 0 ? awake : this.#calls;
    const call = ready[this.#random.below(Math.max(1, ready.length))];
    if (call !== undefined) return () => this.#runCall(call);
    return this.#strays.length > 0 ? () => this.#runStray(0) : undefined;
  }

  async #runStray(at: number): Promise<void> {
    const [stray] = this.#strays.splice(at, 1);
    this.log.push(`${this.turn} late: ${stray?.what}`);
    await stray?.run();
  }

  async #runCall(call: Call): Promise<void> {
    const { process } = call;
    this.#calls = this.#calls.filter((each) => each !== call);
    const { late, sleep, twice } = this.#chances;
    const dice = call.isWrite ? this.#random.below(1000) : 1000;
    const what = `${this.turn} ${process.name} ${call.what} ${call.key}`;
    if (this.#random.below(1000) < sleep) {
      process.asleepUntil = this.turn + this.#random.below(sleepTurnsMax);
    }
    if (dice < late) {
      this.log.push(`${what}: nobody knows`);
      this.#later(call);
      call.fail(new ObjectError("unknown", call.what, call.key, "the answer was lost"));
      return;
    }
    if (dice < late + twice) this.#later(call);
    try {
      const result = await call.run();
      this.log.push(`${what}${result === undefined && call.isWrite ? ": undefined" : ""}`);
      call.answer(result);
    } catch (error) {
      this.log.push(`${what}: ${error}`);
      call.fail(error);
    }
  }

  #later({ key, process, run, what }: Call): void {
    const atTurn = this.turn + this.#random.below(2 * sleepTurnsMax);
    this.#strays.push({ atTurn, what: `${process.name} ${what} ${key}`, run });
  }

  #follow(process: Process, work: Promise<void>): void {
    work
      .catch((error: unknown) => {
        if (process.isDead) return;
        process.error = error;
      })
      .finally(() => {
        process.isDone = true;
      });
  }
}

/** Until everybody who could go on has gone on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
