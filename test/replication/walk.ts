/**
 * Several nodes on one bucket, from one seed. Every call waits until the walk lets it go, carried
 * out or not, answered or not; writes are carried out late or twice; nodes die at any call, and what
 * they had sent may still happen. At the end a node leads undisturbed and must have everything.
 */
import { SeededRandom } from "../../src/lib/random.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { type Fault, FaultyStore, type HeldCall, type LateCall } from "../sim/store.ts";
import { type Bug, History, Process } from "./process.ts";
import { hurriedClock } from "./rig.ts";

const steps = 220;
const livesMax = 7;
const fates: readonly Exclude<Fault, "held">[] = [
  ...Array<"none">(24).fill("none"),
  ...(["lost", "lost", "late", "late", "late", "twice", "again"] as const),
  ...(["conflict", "throttled", "timeout"] as const),
];

export interface WalkResult {
  readonly acknowledged: number;
  readonly terms: number;
  readonly lateWrites: number;
  readonly superseded: number;
}

interface Life {
  readonly process: Process;
  readonly store: FaultyStore;
  isOver: boolean;
}

/** Walks. Rejects, naming the seed, when two acknowledged histories differ or one is lost. */
export async function walk(seed: number, bug?: Bug): Promise<WalkResult> {
  try {
    return await new Walk(seed, bug).run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
  }
}

class Walk {
  readonly #random: SeededRandom;
  readonly #bug: Bug | undefined;
  readonly #bucket = new MemoryStore();
  readonly #history = new History();
  readonly #lives: Life[] = [];
  #failure: Error | undefined;
  #lateWrites = 0;
  #superseded = 0;

  constructor(seed: number, bug: Bug | undefined) {
    this.#random = new SeededRandom(seed);
    this.#bug = bug;
  }

  async run(): Promise<WalkResult> {
    this.#begin();
    this.#begin();
    for (let step = 0; step < steps; step++) {
      await this.#settle();
      await this.#step();
    }
    for (const { store } of this.#lives) store.die();
    for (const call of this.#late()) await call.execute();
    const last = this.#process(this.#bucket, this.#lives.length);
    await last.lead();
    if (this.#failure !== undefined) throw this.#failure;
    return {
      acknowledged: this.#history.acknowledged,
      terms: last.term,
      lateWrites: this.#lateWrites,
      superseded: this.#superseded,
    };
  }

  async #step(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const chance = this.#random.below(100);
    const living = this.#lives.filter(({ isOver }) => !isOver);
    if (living.length === 0 || (chance < 3 && living.length < 3)) return this.#begin();
    if (chance < 5) return this.#end(this.#pick(living));
    if (chance < 8) return await this.#history.collect(this.#bucket, this.#bug);
    const late = this.#late();
    if (late.length > 0 && chance < 18) {
      this.#lateWrites++;
      return await this.#pick<LateCall>(late).execute();
    }
    const held = this.#lives.flatMap(({ store }) => store.held);
    if (held.length > 0) await this.#pick<HeldCall>(held).go(this.#pick(fates));
  }

  #begin(): void {
    if (this.#lives.length >= livesMax) return;
    const store = new FaultyStore(this.#bucket, { plan: () => "held" });
    const process = this.#process(store, this.#lives.length + 1);
    const life = { process, store, isOver: false };
    this.#lives.push(life);
    this.#live(process).then(
      () => this.#end(life),
      (error: Error) => {
        this.#end(life);
        if (error.name === "SupersededError") this.#superseded++;
        else this.#failure ??= error;
      },
    );
  }

  async #live(process: Process): Promise<void> {
    if (!(await process.lead())) return;
    for (;;) {
      await process.write(1 + this.#random.below(3));
      if (this.#random.below(3) === 0) process.checkpoint();
    }
  }

  /** A node dies, or has ended. */
  #end(life: Life): void {
    life.isOver = true;
    life.store.die();
    this.#history.readers.delete(life.process);
  }

  #process(store: FaultyStore | MemoryStore, number: number): Process {
    return new Process({
      name: `n${number}`,
      // Two directories, used again and again.
      incarnation: BigInt(1 + (number % 2)),
      store,
      history: this.#history,
      clock: hurriedClock(),
      random: this.#random,
      bug: store === this.#bucket ? undefined : this.#bug,
    });
  }

  #late(): LateCall[] {
    return this.#lives.flatMap(({ store }) => store.late);
  }

  #pick<T>(from: readonly T[]): T {
    const picked = from[this.#random.below(from.length)];
    if (picked === undefined) throw new Error("there is something to pick from");
    return picked;
  }

  async #settle(): Promise<void> {
    const clock = hurriedClock();
    for (let turn = 0; turn < 3; turn++) await clock.yield();
  }
}
