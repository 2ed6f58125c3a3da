/**
 * How long syncs take that are made on the event loop itself. That spares waking another thread and
 * being woken by it, which costs several times what a quick device takes; but the loop stands still
 * meanwhile. So whoever asks says how long it may; when the device turns out to be slower, it is left
 * alone for a while, and then tried again. A device that stalls holds the loop for as long as it
 * stalls, once.
 */

/** What the newest sync counts in the average. */
const weight = 1 / 8;
/** Syncs that are made elsewhere before one is tried again. */
const elsewhereMax = 100;

export class Pace {
  /** Milliseconds; undefined: to be tried. */
  #average: number | undefined;
  #elsewhere = 0;

  /** Whether a sync may be made here that should take `msMax` at most. */
  isQuick(msMax: number): boolean {
    return (this.#average ?? 0) <= msMax;
  }

  /** Notes that a sync was made here, and how long it took in milliseconds. */
  took(milliseconds: number): void {
    this.#elsewhere = 0;
    const average = this.#average ?? milliseconds;
    this.#average = average + (milliseconds - average) * weight;
  }

  /** Notes that a sync was made elsewhere: how long it took there says little. */
  passed(): void {
    this.#elsewhere++;
    if (this.#elsewhere < elsewhereMax) return;
    this.#elsewhere = 0;
    this.#average = undefined;
  }
}
