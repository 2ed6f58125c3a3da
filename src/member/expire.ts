/**
 * Lease deadlines. Only a leader keeps them, on its own monotonic clock: they are not in the log,
 * so a lease starts afresh with its full TTL when a leader begins, and never ends early. What ends a
 * lease is an ordinary entry that the leader proposes once the deadline has passed.
 */
import type { Clock } from "../lib/clock.ts";
import { Heap } from "../lib/heap.ts";
import type { LeaseId } from "../model/revision.ts";

interface Life {
  readonly id: LeaseId;
  readonly ttlMs: number;
  /** Monotonic milliseconds. */
  deadline: number;
  /** Resolves those who wait for the end of an expired lease. */
  readonly ended: (() => void)[];
}

interface Alarm {
  readonly life: Life;
  readonly at: number;
}

export class Deadlines {
  readonly #clock: Clock;
  readonly #lives = new Map<LeaseId, Life>();
  /** One alarm for each lease; renewals move the deadline, and the alarm follows when it rings. */
  readonly #alarms = new Heap<Alarm>((a, b) => a.at < b.at);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts the full TTL of a lease. */
  start(id: LeaseId, ttlSeconds: number): void {
    const ttlMs = ttlSeconds * 1000;
    const deadline = this.#clock.now() + ttlMs;
    const life: Life = { id, ttlMs, deadline, ended: [] };
    this.#lives.set(id, life);
    this.#alarms.push({ life, at: deadline });
  }

  /** Forgets a lease that is gone. */
  stop(id: LeaseId): void {
    const life = this.#lives.get(id);
    this.#lives.delete(id);
    for (const ended of life?.ended ?? []) ended();
  }

  /** Seconds left, negative past the deadline; undefined when there is no such lease. */
  remainingSeconds(id: LeaseId): number | undefined {
    const life = this.#lives.get(id);
    return life === undefined ? undefined : (life.deadline - this.#clock.now()) / 1000;
  }

  /**
   * Starts a lease's TTL again and returns it in seconds. A lease past its deadline cannot be
   * renewed: the promise resolves to undefined once it is gone, as it does for an unknown one.
   */
  async renew(id: LeaseId): Promise<number | undefined> {
    const life = this.#lives.get(id);
    if (life === undefined) return undefined;
    const now = this.#clock.now();
    if (life.deadline <= now) {
      await new Promise<void>((resolve) => life.ended.push(resolve));
      return undefined;
    }
    life.deadline = now + life.ttlMs;
    return life.ttlMs / 1000;
  }

  /** All leases, the one with least time left first. */
  byRemaining(): LeaseId[] {
    return [...this.#lives.values()].sort((a, b) => a.deadline - b.deadline).map(({ id }) => id);
  }

  /** Up to `most` leases past their deadline. A lease stays among them until it is stopped. */
  expired(most: number): LeaseId[] {
    const now = this.#clock.now();
    const found: LeaseId[] = [];
    const again: Alarm[] = [];
    while (found.length < most) {
      const alarm = this.#alarms.peek();
      if (alarm === undefined || alarm.at > now) break;
      this.#alarms.pop();
      const { life } = alarm;
      if (this.#lives.get(life.id) !== life) continue;
      if (life.deadline <= now) found.push(life.id);
      again.push({ life, at: life.deadline });
    }
    for (const alarm of again) this.#alarms.push(alarm);
    return found;
  }
}
