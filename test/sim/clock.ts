/**
 * A clock that stands still until it is told to move, or, where looking at it takes time, moves a
 * little with every look: then work in slices is cut into slices. Whoever sleeps wakes in the order
 * of time, and what it does next is done before the following sleeper wakes.
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
  readonly #lookMs: number;
  readonly #sleepers = new Heap<Sleeper>((a, b) => a.at < b.at);

  /** Begins at 0, the wall clock at `wallMs`; a look at it takes `lookMs`. */
  constructor(wallMs = Date.UTC(2026, 0, 1), lookMs = 0) {
    this.#wall = wallMs;
    this.#lookMs = lookMs;
  }

  now(): number {
    this.#pass(this.#lookMs);
    return this.#now;
  }

  elapsed(): number {
    return this.now();
  }

  wall(): number {
    return Math.floor(this.#wall);
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
      this.#passTo(next.at);
      next.wake();
      await this.yield();
    }
    this.#passTo(end);
  }

  /** Sets the wall clock, which may go either way, and leaves `now` as it is. */
  setWall(milliseconds: number): void {
    this.#wall = milliseconds;
  }

  #passTo(now: number): void {
    this.#pass(Math.max(0, now - this.#now));
  }

  #pass(milliseconds: number): void {
    this.#now += milliseconds;
    this.#wall += milliseconds;
  }
}
