/**
 * How much a client may ask for that costs it nothing and us something: frames that change nothing,
 * streams that are taken back. Credit grows with time and with calls that are answered; who has used
 * it up is told to calm down (RFC 9113, section 10.5).
 */
import type { Clock } from "../../lib/clock.ts";
import { ConnectionError, errorCodes } from "./error.ts";

const creditMax = 20_000;
const creditPerMs = 10;

/** Of a frame that takes a call back, or makes us end one; of most others it is 1. */
export const costOfCall = 4;

export class Calm {
  readonly #clock: Clock;
  #credit = creditMax;
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.now();
  }

  /** Notes that something was sent with which so many frames of the client's usually go: they are free. */
  earn(frames: number): void {
    this.#credit = Math.min(creditMax, this.#credit + frames);
  }

  /** Notes a frame of this `cost`. ConnectionError when there were too many. */
  spend(cost: number, what: string): void {
    this.#credit -= cost;
    if (this.#credit >= 0) return;
    const now = this.#clock.now();
    const grown = this.#credit + (now - this.#since) * creditPerMs;
    this.#credit = Math.min(creditMax, grown);
    this.#since = now;
    if (grown < 0) throw new ConnectionError(errorCodes.enhanceYourCalm, `too many ${what}`);
  }
}
