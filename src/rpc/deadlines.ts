/**
 * Deadlines of calls: many, most of which never come. A wheel of slots, each of a few milliseconds;
 * to set and to clear one costs the same however many there are.
 *
 *   slot      0    1    2  ...  255        a hand goes around and looks at a slot in each step
 *   due at    . .       .         . .      what is due in a later round is left where it is
 */
import type { Clock } from "../lib/clock.ts";

const slots = 256;
const slotMs = 10;

/** Something that is to happen at a time. */
export interface Due {
  /** Monotonic milliseconds; set here. */
  dueMs: number;
  expire(): void;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #wheel = Array.from({ length: slots }, () => new Set<Due>());
  #count = 0;
  #hand = 0;
  #isRunning = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Has `due.expire` called in `milliseconds`, or a few later, unless it is cleared before. */
  set(due: Due, milliseconds: number): void {
    const now = this.#clock.now();
    due.dueMs = now + milliseconds;
    if (this.#count++ === 0) this.#hand = Math.floor(now / slotMs);
    this.#slot(due).add(due);
    if (!this.#isRunning) void this.#run();
  }

  /** Forgets one that was set and has not come. */
  clear(due: Due): void {
    if (this.#slot(due).delete(due)) this.#count--;
  }

  #slot(due: Due): Set<Due> {
    return this.#at(Math.floor(due.dueMs / slotMs) + 1);
  }

  #at(slot: number): Set<Due> {
    return this.#wheel[slot % slots] as Set<Due>;
  }

  /** Goes around while there is something to come. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#count > 0) {
      await this.#clock.sleep(slotMs);
      const now = this.#clock.now();
      const last = Math.floor(now / slotMs);
      // After a long pause one round sees everything.
      this.#hand = Math.max(this.#hand, last - slots);
      while (this.#hand < last) this.#expire(++this.#hand, now);
    }
    this.#isRunning = false;
  }

  #expire(slot: number, now: number): void {
    for (const due of this.#at(slot)) {
      if (due.dueMs > now) continue;
      this.clear(due);
      due.expire();
    }
  }
}
