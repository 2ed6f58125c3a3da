/**
 * How far the start has come, for /readyz and for whoever reads the log. A step that takes long is
 * logged once a second, with counts and rate, so that work can be told from a hang.
 */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";

/** Where the process is; only while it is `ready` are reads served. */
export interface Readiness {
  readonly ready: boolean;
  /** In words: "replaying the log". */
  readonly step: string;
  /** How many of `total` are done; undefined where the step has no counts. */
  readonly done?: number | undefined;
  readonly total?: number | undefined;
}

/** Counts of a step; a total of 0 means that there is nothing to count. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

const logEveryMs = 1000;

export class Start {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #began: number;
  #now: Readiness = { ready: false, step: "starting" };
  #stepBegan: number;
  #logged: number;

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
    this.#began = clock.now();
    this.#stepBegan = this.#began;
    this.#logged = this.#began;
  }

  get readiness(): Readiness {
    return this.#now;
  }

  /** Seconds since the process began to start. */
  get seconds(): number {
    return (this.#clock.now() - this.#began) / 1000;
  }

  /** Notes that `step` is being done, and how much of it. */
  at(step: string, progress: Progress = { done: 0, total: 0 }): void {
    const now = this.#clock.now();
    if (step !== this.#now.step) this.#stepBegan = now;
    const { done, total } = progress;
    this.#now = total === 0 ? { ready: false, step } : { ready: false, step, done, total };
    if (now - this.#logged < logEveryMs) return;
    this.#logged = now;
    const seconds = (now - this.#stepBegan) / 1000;
    const counts = total === 0 ? {} : { done, total, perSecond: Math.round(done / seconds) };
    this.#logger.info("starting", { step, ...counts });
  }

  /** Notes that reads are served. */
  ready(): void {
    this.#now = { ready: true, step: "serving" };
  }

  /** Notes that reads are served no more, and why. */
  over(step: string): void {
    this.#now = { ready: false, step };
  }
}
