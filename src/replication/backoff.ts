/**
 * Trying again while the bucket does not answer: pauses that double up to a second, partly random
 * so that many who wait do not come back at once.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { ObjectError } from "../object/store.ts";

const pauseMsMin = 10;
const pauseMsMax = 1000;

export interface BackoffOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Ends the waiting; what was tried last may still happen. */
  readonly signal?: AbortSignal | undefined;
}

export class Backoff {
  readonly #options: BackoffOptions;
  #pauses = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
  }

  /**
   * Lets the next pause pass. Rejects with an ObjectError of kind "unknown" when given up, now or
   * meanwhile; `operation` and `key` are what it says was being tried.
   */
  async wait(operation: string, key: string): Promise<void> {
    const { clock, random, signal } = this.#options;
    const pauseMs = Math.min(pauseMsMin * 2 ** this.#pauses++, pauseMsMax);
    await clock.sleep(pauseMs * (0.5 + random.float() / 2), signal);
    if (signal?.aborted) throw new ObjectError("unknown", operation, key, "given up");
  }
}

/** Whether a call that failed so may go well, or show what came of it, when tried again. */
export function isTransient(error: unknown): error is ObjectError {
  if (!(error instanceof ObjectError)) return false;
  return ["conflict", "unknown", "throttled", "damaged"].includes(error.kind);
}
