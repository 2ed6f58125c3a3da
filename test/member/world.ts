/**
 * Two machines and one bucket, from one seed: members are started on them, written to and read from,
 * killed, cut off from power, robbed of their disks; the bucket loses answers, carries out requests
 * late or twice, refuses. Members are started while others lead, on old disks and on new ones.
 *
 * What must hold, all the time:
 *
 *   L  whatever was acknowledged is in every later database, at its revision
 *   U  nothing is there that nobody asked for, or twice
 *   R  a read sees everything acknowledged before it was asked for
 */
import { expect } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { RetryingStore, retryLimits } from "../../src/object/retrying.ts";
import { SupersededError } from "../../src/replication/archive.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { chance, type Fault, FaultyStore } from "../sim/store.ts";
import { wholeQuery } from "../support/query.ts";
import { bucketOptions, noCauses } from "./bucket.ts";
import { putOf } from "./rig.ts";

export interface WorldOptions {
  readonly seed: number;
  readonly steps: number;
  /** Whether writes wait for the bucket; "either" changes it from start to start, on one machine. */
  readonly mode: "bucket" | "either";
}

const faults: readonly Fault[] = [
  "lost",
  "late",
  "twice",
  "again",
  "conflict",
  "throttled",
  "timeout",
  "slow",
];
const patienceMs = 600_000;

/** What one machine runs. */
interface Process {
  readonly member: Member;
  readonly store: FaultyStore;
  isDead: boolean;
}

interface Machine {
  readonly name: string;
  disk: SimDisk;
  process: Process | undefined;
}

/** What was asked, and what came of it. */
interface Put {
  readonly key: string;
  /** Of the acknowledgement. */
  revision: number | undefined;
  /** Certainly not done. */
  isRefused: boolean;
}

export class World {
  readonly #options: WorldOptions;
  readonly #random: SeededRandom;
  readonly #clock = new SimClock();
  readonly #bucket = new MemoryStore();
  readonly #machines: readonly Machine[];
  readonly #puts: Put[] = [];
  readonly #stores: FaultyStore[] = [];
  #isCalm = false;
  #starts = 0;
  readonly counts = { starts: 0, refused: 0, acknowledged: 0, unknown: 0, reads: 0, superseded: 0 };

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    const names = options.mode === "bucket" ? ["a", "b"] : ["a"];
    this.#machines = names.map((name) => ({ name, disk: new SimDisk(), process: undefined }));
  }

  /** Lives it all. Rejects with the first thing that does not hold. */
  async run(): Promise<void> {
    for (let step = 0; step < this.#options.steps; step++) await this.#step();
    await this.#end();
  }

  async #step(): Promise<void> {
    const random = this.#random;
    const machine = must(this.#machines[random.below(this.#machines.length)], "there is one");
    const { process } = machine;
    const choice = random.below(100);
    if (process === undefined) return await this.#start(machine);
    if (choice < 50) await this.#write(process, 1 + random.below(4));
    else if (choice < 70) await this.#read(process);
    else if (choice < 80) await this.#clock.advance(random.below(2000));
    else if (choice < 86) await this.#executeLate();
    else this.#kill(machine);
  }

  /** Starts a member; it may find that it may not. */
  async #start(machine: Machine): Promise<void> {
    const seed = ++this.#starts * 1000 + this.#options.seed;
    const random = new SeededRandom(seed);
    const plan = chance(random, 8, faults);
    const clock = this.#clock;
    const store = new FaultyStore(this.#bucket, {
      plan: (call) => (this.#isCalm ? "none" : plan(call)),
      clock,
      slowMs: 300,
    });
    this.#stores.push(store);
    const limits = { ...retryLimits, attemptMs: 2000, deadlineMs: 10_000 };
    const bucket = new RetryingStore(store, { clock, random, limits });
    const syncUpload = this.#options.mode === "bucket" || random.below(2) === 0;
    const process: { isDead: boolean; member?: Member } = { isDead: false };
    const fail = (error: unknown) => this.#failed(machine, process, error);
    const causes = { ...noCauses, intervalMs: 2000 };
    const options = bucketOptions({
      bucket,
      disk: machine.disk,
      clock,
      seed,
      name: machine.name,
      settings: { memtableBytesMax: 2 ** 20, segmentBytesMax: 2 ** 20 },
      options: { syncUpload, causes, strictReads: random.below(2) === 0 },
    });
    this.counts.starts++;
    try {
      const member = await this.#passing(Member.open({ ...options, fatal: fail }), process);
      if (member === undefined) throw new Error("a start hangs");
      machine.process = Object.assign(process, { member, store });
    } catch (error) {
      if (!(error instanceof SupersededError || error instanceof ForeignError)) throw error;
      // Only a disk that came too late may be refused.
      if (error instanceof ForeignError) throw error;
      this.counts.superseded++;
      this.#bury(machine, store);
    }
  }

  /** A member says that it cannot go on. */
  #failed(machine: Machine, process: { isDead: boolean }, error: unknown): void {
    if (process.isDead) return;
    if (!(error instanceof SupersededError)) throw error;
    this.counts.superseded++;
    process.isDead = true;
    const current = machine.process;
    if (current !== process) return;
    this.#bury(machine, current.store);
  }

  /** The process ends; its machine goes on. */
  #bury(machine: Machine, store: FaultyStore): void {
    store.die();
    machine.disk = machine.disk.processCrash();
    machine.process = undefined;
  }

  #kill(machine: Machine): void {
    const { process } = machine;
    if (process === undefined) return;
    process.isDead = true;
    process.store.die();
    const fate = this.#random.below(3);
    if (fate === 0) machine.disk = machine.disk.processCrash();
    else if (fate === 1 || !this.#mayLoseDisks) machine.disk = machine.disk.powerLoss(this.#random);
    else {
      machine.disk.unplug();
      machine.disk = new SimDisk();
    }
    machine.process = undefined;
  }

  get #mayLoseDisks(): boolean {
    return this.#options.mode === "bucket";
  }

  async #write(process: Process, count: number): Promise<void> {
    const asked = Array.from({ length: count }, () => {
      const put: Put = { key: `k${this.#puts.length}`, revision: undefined, isRefused: false };
      this.#puts.push(put);
      const answered = process.member.propose(putOf(put.key, put.key)).then((answer) => {
        // Whoever is dead tells nobody.
        if (process.isDead) return;
        if (!(answer instanceof Refusal)) put.revision = answer.revision;
        else put.isRefused = answer.kind !== "outcomeUnknown";
      });
      answered.catch(() => undefined);
      return { put, answered };
    });
    // A client may be impatient.
    if (this.#random.below(3) > 0) {
      await this.#passing(Promise.all(asked.map(({ answered }) => answered)), process);
    }
    for (const { put } of asked) {
      if (put.revision !== undefined) this.counts.acknowledged++;
      else if (put.isRefused) this.counts.refused++;
      else this.counts.unknown++;
    }
  }

  async #read(process: Process): Promise<void> {
    const before = this.#puts.filter(({ revision }) => revision !== undefined);
    let reply: Awaited<ReturnType<Member["range"]>> | undefined;
    try {
      const reading = process.member.range(wholeQuery({ key: "\0", end: "\0" }));
      reply = await this.#passing(Promise.resolve(reading), process);
    } catch (error) {
      if (error instanceof SupersededError) return;
      throw error;
    }
    if (reply === undefined || reply instanceof Refusal || process.isDead) return;
    this.counts.reads++;
    this.#check(reply.kvs, before);
  }

  /** L, U and R for what a database holds. */
  #check(
    kvs: readonly { key: string; modRevision: number; version: number }[],
    before: Put[],
  ): void {
    const found = new Map(kvs.map((pair) => [pair.key, pair]));
    for (const { key, revision } of before) {
      const pair = found.get(key);
      if (pair?.modRevision === revision) continue;
      throw new Error(`${key} was acknowledged at ${revision} and is at ${pair?.modRevision}`);
    }
    const asked = new Map(this.#puts.map((put) => [put.key, put]));
    for (const { key, version } of kvs) {
      const put = asked.get(key);
      if (put === undefined || put.isRefused) throw new Error(`${key} is there and was refused`);
      if (version !== 1) throw new Error(`${key} was put ${version} times`);
    }
    const revisions = kvs.map(({ modRevision }) => modRevision).sort((a, b) => a - b);
    expect(revisions).toEqual(revisions.map((_, at) => at + 2));
  }

  async #executeLate(): Promise<void> {
    const all = this.#stores.flatMap(({ late }) => late);
    await all[this.#random.below(Math.max(1, all.length))]?.execute();
  }

  /** Waits for `work` while time passes; undefined when the process dies meanwhile. */
  async #passing<T>(work: Promise<T>, process: { isDead: boolean }): Promise<T | undefined> {
    let isOpen = true;
    const done = work.finally(() => {
      isOpen = false;
    });
    done.catch(() => undefined);
    const end = this.#clock.now() + patienceMs;
    while (isOpen && !process.isDead) {
      if (this.#clock.now() > end) throw new Error("it hangs");
      await this.#clock.advance(20);
      await this.#clock.yield();
      if (this.#random.below(50) === 0) await this.#executeLate();
    }
    return isOpen ? undefined : await done;
  }

  /** The bucket behaves; a member starts, with nothing where the bucket has everything. */
  async #end(): Promise<void> {
    this.#isCalm = true;
    const [machine] = this.#machines as [Machine];
    for (const each of this.#machines) if (each.process !== undefined) this.#kill(each);
    if (this.#mayLoseDisks) machine.disk = new SimDisk();
    await this.#start(machine);
    const process = must(machine.process, "the last start leads");
    while (this.#stores.some(({ late }) => late.length > 0)) await this.#executeLate();
    await this.#read(process);
    await this.#write(process, 3);
    await this.#read(process);
    await this.#passing(process.member.close(), process);
  }
}
