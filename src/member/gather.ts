/**
 * How callers come to share a sync where they are few: each waits for his answer before he asks
 * again, so those who were answered together ask again almost together. The first of them is not
 * written before the others are there: he would be synced alone, and they would wait for two syncs.
 *
 *   answers to 16 ──► 3 are back, 7, 12, 16 ──► one sync for all
 *
 * Nobody is waited for long: a turn of an idle event loop takes less than a microsecond, and where
 * turns are long, a few are enough.
 */
import type { Clock } from "../lib/clock.ts";

/** Turns of the event loop, or milliseconds, that bring nobody: who is missing then will not come. */
const idleTurnsMax = 32;
const idleMsMax = 0.2;

/**
 * Resolves when `expected` callers wait and a turn has brought no other, or no more come, or they are
 * more than `fewMax`. `waiting` tells how many there are.
 */
export async function gather(
  clock: Pick<Clock, "now" | "yield">,
  waiting: () => number,
  expected: number,
  fewMax: number,
): Promise<void> {
  let count = waiting();
  let since = clock.now();
  for (let idle = 0; idle < idleTurnsMax && count < fewMax; idle++) {
    await clock.yield();
    const before = count;
    count = waiting();
    if (count !== before) {
      idle = -1;
      since = clock.now();
    } else if (count >= expected || clock.now() - since >= idleMsMax) return;
  }
}
