/**
 * A supervised loop: the one shape of every background job. It runs a step, waits as long as the
 * step said or until woken, and runs it again, never twice at once. An error the step may recover
 * from is logged and tried again with back-off; any other goes to `fatal`, and the loop ends. What
 * a step that is being stopped could not finish is no failure: its signal ended it.
 */
import type { Clock } from "./clock.ts";
import type { Logger } from "./logger.ts";

export interface TaskOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** One round. Resolves to the milliseconds until the next, Infinity for "only when woken". */
  readonly step: (signal: AbortSignal) => Promise<number>;
  /** Whether the step may be tried again after this error. */
  readonly retryable: (error: unknown) => boolean;
  /** Takes the error that ended the loop. */
  readonly fatal: (error: unknown) => void;
}

const retryMsMin = 100;
const retryMsMax = 10_000;

export class Task {
  readonly #options: TaskOptions;
  readonly #stop = new AbortController();
  readonly #loop: Promise<void>;
  #wake = new AbortController();
  #woken = false;
  #failures = 0;
  /** Monotonic milliseconds of the last round that went well; undefined before the first. */
  lastSuccess: number | undefined;

  /** Starts the loop; its first round begins in a later turn. */
  constructor(options: TaskOptions) {
    this.#options = options;
    this.#loop = this.#run();
  }

  get name(): string {
    return this.#options.name;
  }

  /** Makes the next round start now, or right after the one that runs. */
  wake(): void {
    this.#woken = true;
    this.#wake.abort();
  }

  /** Ends the loop after the round that runs, whose signal is aborted. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { clock, fatal, logger, name, retryable } = this.#options;
    await clock.yield();
    while (!this.#stop.signal.aborted) {
      this.#woken = false;
      this.#wake = new AbortController();
      let waitMs: number;
      try {
        waitMs = await this.#options.step(this.#stop.signal);
        this.#failures = 0;
        this.lastSuccess = clock.now();
      } catch (error) {
        if (this.#stop.signal.aborted && error === this.#stop.signal.reason) return;
        if (!retryable(error)) return fatal(error);
        if (this.#stop.signal.aborted) return;
        waitMs = Math.min(retryMsMin * 2 ** this.#failures++, retryMsMax);
        logger.warn("task failed, will retry", { task: name, error, retryMs: waitMs });
      }
      if (!this.#woken && waitMs > 0) await this.#pause(waitMs);
    }
  }

  #pause(milliseconds: number): Promise<void> {
    const { clock } = this.#options;
    if (milliseconds !== Number.POSITIVE_INFINITY) {
      return clock.sleep(milliseconds, this.#wake.signal);
    }
    return new Promise((resolve) => {
      this.#wake.signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }
}
