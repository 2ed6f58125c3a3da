/**
 * A clock that stands still until it is told to move. Whoever sleeps wakes in the order of time,
 * and what it does next is done before the following sleeper wakes.
 */
import type { Clock } from "../../src/lib/clock.ts";
import { Heap } from "../../src/lib/heap.ts";

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export class SimClock implements Clock {
  #now = 0;
  #wall: number;
  readonly #sleepers = new Heap<Sleeper>((a, b) => a.at < b.at);

  /** Begins at 0, the wall clock at `wallMs`. */
  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wall = wallMs;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#wall;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      signal?.addEventListener("abort", () => resolve(), { once: true });
      this.#sleepers.push({ at: this.#now + milliseconds, wake: resolve });
    });
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets `milliseconds` pass, and everybody act whose time has come. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (let next = this.#sleepers.peek(); next && next.at <= end; next = this.#sleepers.peek()) {
      this.#sleepers.pop();
      this.#pass(next.at - this.#now);
      next.wake();
      await this.yield();
    }
    this.#pass(end - this.#now);
  }

  /** Sets the wall clock, which may go either way, and leaves `now` as it is. */
  setWall(milliseconds: number): void {
    this.#wall = milliseconds;
  }

  #pass(milliseconds: number): void {
    this.#now += milliseconds;
    this.#wall += milliseconds;
  }
}
