/** A clock on which a minute passes in a second. */
import { type Clock, SystemClock } from "../../../src/lib/clock.ts";

const haste = 60;

export class HastyClock implements Clock {
  readonly #real = new SystemClock();

  now(): number {
    return this.#real.now() * haste;
  }

  elapsed(): number {
    return this.now();
  }

  wall(): number {
    return this.#real.wall();
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return this.#real.sleep(milliseconds / haste, signal);
  }

  yield(): Promise<void> {
    return this.#real.yield();
  }
}
