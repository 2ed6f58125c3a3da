/**
 * What a challenger waits for before it takes the lock: the lock may say that its leader answers
 * reads by a lease. Whoever waits until it has seen the lock unchanged for longer than the lease, on
 * its own clock, knows that the lease is over, if no clock runs a tenth too fast or too slow. A lock
 * that names this very directory is not waited for: we hold the directory's own lock, so the process
 * it means is gone; if, that is, the directory is no copy, which the place in the bucket's lock tells.
 */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { ObjectStore } from "../object/store.ts";
import { type Observed, readHead } from "../replication/lock.ts";
import type { Identity } from "./directory.ts";

const marginFactor = 1.25;
const lookEveryMs = 500;

export interface PatienceOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly place: string;
}

/** The lock as it stands when the waiting is over. ObjectError, CorruptionError, ForeignError. */
export async function outwait(
  observed: Observed | undefined,
  { clusterId, memberId }: Identity,
  { place, clock, logger, store }: PatienceOptions,
): Promise<Observed | undefined> {
  if (observed === undefined || observed.head.readLeaseMs === 0) return observed;
  const { leader: last } = observed.head;
  if (last.incarnation === memberId && last.place === place) return observed;
  const leader = observed.head.leader.name;
  let seen = observed;
  let since = clock.elapsed();
  while (seen.head.readLeaseMs > 0) {
    const waitMs = since + seen.head.readLeaseMs * marginFactor - clock.elapsed();
    if (waitMs <= 0) break;
    logger.info("waiting for the read lease of the leader to end", { leader, waitMs });
    await clock.sleep(Math.min(waitMs, lookEveryMs));
    const now = await readHead(store, { cluster: clusterId });
    if (now === undefined) return now;
    if (now.head.nonce !== seen.head.nonce) since = clock.elapsed();
    seen = now;
  }
  return seen;
}
