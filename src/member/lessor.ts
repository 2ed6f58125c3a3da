/** Leases as the leader keeps them: granted and revoked through the log, alive by its clock. */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { Command } from "../model/command.ts";
import { Refusal } from "../model/refusal.ts";
import type { Reply } from "../model/reply.ts";
import type { LeaseId } from "../model/revision.ts";
import type { Store } from "../mvcc/store.ts";
import type { Deadlines } from "./expire.ts";
import type { Limits } from "./limits.ts";
import type { MemberMeters } from "./meters.ts";

/** What is known of a lease. */
export interface LeaseLife {
  readonly ttlSeconds: number;
  /** Whole seconds left, rounded down; 0 or less when it is about to be revoked. */
  readonly remainingSeconds: number;
  /** The attached keys, sorted. */
  readonly keys: readonly string[];
}

export interface LessorOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly deadlines: Deadlines;
  readonly limits: Limits;
  readonly meters: MemberMeters;
  readonly store: Store;
  readonly isServing: () => boolean;
  readonly propose: (command: Command) => Promise<Reply | Refusal>;
  /** As Reader.prove, for a moment ago. Undefined: nobody else can lead. */
  readonly prove?: (() => Refusal | undefined | Promise<Refusal | undefined>) | undefined;
}

export class Lessor {
  readonly #options: LessorOptions;

  constructor(options: LessorOptions) {
    this.#options = options;
  }

  /** Grants a lease; an id of 0n lets the member choose one. */
  grant(lease: LeaseId, ttlSeconds: number): Promise<Reply | Refusal> {
    const id = lease === 0n ? this.#freshId() : lease;
    return this.#options.propose({ kind: "grant", lease: id, ttlSeconds });
  }

  /**
   * Renews a lease: its full TTL in seconds, or undefined when it is gone. Refusals: stopped, and
   * outcomeUnknown when an expired lease is not revoked in time, or nobody can tell who leads: it
   * has its full time all the same, if it is still this member. Rejects with SupersededError.
   */
  async keepAlive(lease: LeaseId): Promise<number | undefined | Refusal> {
    const { clock, deadlines, isServing, limits, meters, prove } = this.#options;
    if (!isServing()) return new Refusal("stopped");
    const done = new AbortController();
    const tooLate = clock
      .sleep(limits.requestMsMax, done.signal)
      .then(() => new Refusal("outcomeUnknown"));
    const renewed = await Promise.race([deadlines.renew(lease), tooLate]);
    done.abort();
    if (typeof renewed === "number") meters.leasesRenewed.add(1);
    if (renewed instanceof Refusal) return renewed;
    return (await prove?.()) ?? renewed;
  }

  /** What is known of a lease; undefined when there is none. Refuses when stopped. */
  life(id: LeaseId): LeaseLife | undefined | Refusal {
    const { deadlines, isServing, store } = this.#options;
    if (!isServing()) return new Refusal("stopped");
    const lease = store.lease(id);
    const remaining = deadlines.remainingSeconds(id);
    if (lease === undefined || remaining === undefined) return undefined;
    const { keys, ttlSeconds } = lease;
    return { ttlSeconds, remainingSeconds: Math.trunc(remaining), keys: [...keys].sort() };
  }

  /** All leases, the one with least time left first. Refuses when stopped. */
  all(): LeaseId[] | Refusal {
    const { deadlines, isServing } = this.#options;
    return isServing() ? deadlines.byRemaining() : new Refusal("stopped");
  }

  /** Revokes what has run out, some at a time; milliseconds until the next look. */
  async expire(): Promise<number> {
    const { deadlines, limits, meters, propose } = this.#options;
    const expired = deadlines.expired(limits.leaseExpiriesPerRound);
    const answers = await Promise.all(expired.map((lease) => propose({ kind: "revoke", lease })));
    meters.leasesExpired.add(answers.filter((answer) => !(answer instanceof Refusal)).length);
    return limits.leaseRoundMs;
  }

  #freshId(): LeaseId {
    const { random, store } = this.#options;
    for (;;) {
      const id = random.u64() >> 1n;
      if (id !== 0n && !store.hasLease(id)) return id;
    }
  }
}
