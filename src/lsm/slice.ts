/**
 * Background work in slices, between which the event loop turns. A slice takes half as long as
 * others took before it, within bounds: where nobody has anything to do it is short, so that what
 * comes in does not wait for it; under load it grows, so that flushes keep up with writers.
 */
import type { Clock } from "../lib/clock.ts";

const share = 1 / 2;
/** The shortest slice, as a part of the longest. */
const shortest = 1 / 8;

export class Slice {
  readonly #clock: Clock;
  readonly #msMax: number;
  #end: number;

  /** Begins a slice; none takes longer than `msMax`. */
  constructor(clock: Clock, msMax: number) {
    this.#clock = clock;
    this.#msMax = msMax;
    this.#end = clock.now() + msMax * shortest;
  }

  get isOver(): boolean {
    return this.#clock.now() >= this.#end;
  }

  /** Lets `others` have their turn and begins the next slice. */
  async pause(others: () => Promise<void>): Promise<void> {
    const from = this.#clock.now();
    await others();
    const now = this.#clock.now();
    const wanted = (now - from) * share;
    this.#end = now + Math.min(this.#msMax, Math.max(this.#msMax * shortest, wanted));
  }
}
