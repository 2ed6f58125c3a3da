/** Equal time for unequal servers: how many calls one makes in so many seconds. */

/** Of the time to come, each of which also warms the server up. */
const shares = [0, 1 / 8, 1 / 4];

/**
 * Makes calls, a few and then more, until their rate is known; how many to make in `seconds`. `make`
 * makes so many, in flight at a time are `callers`.
 */
export async function callsIn(
  seconds: number,
  callers: number,
  make: (calls: number) => Promise<{ readonly perSecond: number }>,
): Promise<number> {
  let rate = 0;
  const callsFor = (share: number) => Math.max(4 * callers, Math.ceil(rate * seconds * share));
  for (const share of shares) rate = (await make(callsFor(share))).perSecond;
  return callsFor(1);
}

/** Says so once that much time is over. */
export function over(seconds: number): () => boolean {
  const end = performance.now() + seconds * 1000;
  return () => performance.now() >= end;
}
