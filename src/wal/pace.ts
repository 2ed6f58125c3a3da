/**
 * How long syncs take, for who may wait on the event loop itself: that spares waking another thread,
 * a third of the time that a quick device takes. After a sync that was slow the next ones are made
 * elsewhere, so that a slow device holds the loop once in a hundred syncs and not more. A device that
 * stalls holds it for as long as it stalls, that once: only where few write and nobody reads.
 */

const quickMsMax = 1;
const slowSyncs = 100;

export class Pace {
  #slow = 0;

  /** Whether the newest syncs were quick. */
  get isQuick(): boolean {
    return this.#slow === 0;
  }

  /** Notes how long a sync took, in milliseconds. */
  took(milliseconds: number): void {
    if (milliseconds > quickMsMax) this.#slow = slowSyncs;
    else if (this.#slow > 0) this.#slow--;
  }
}
