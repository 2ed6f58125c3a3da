/**
 * The leases and the keys attached to them. Deterministic: deadlines are the business of whoever
 * leads (member/expire.ts), because only a leader has a clock to judge them by.
 */
import { must } from "../lib/assert.ts";
import type { ByteString } from "../lib/bytes.ts";
import type { LeaseId } from "../model/revision.ts";

/** The shortest TTL a lease is given, as with etcd's default election timeout of one second. */
export const ttlSecondsMin = 2;
/** The longest TTL a client may ask for. */
export const ttlSecondsMax = 9_000_000_000;

export interface Lease {
  readonly id: LeaseId;
  readonly ttlSeconds: number;
  readonly keys: ReadonlySet<ByteString>;
}

export class Leases {
  readonly #leases = new Map<LeaseId, Lease & { readonly keys: Set<ByteString> }>();

  get size(): number {
    return this.#leases.size;
  }

  get(id: LeaseId): Lease | undefined {
    return this.#leases.get(id);
  }

  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }

  grant(id: LeaseId, ttlSeconds: number): void {
    this.#leases.set(id, { id, ttlSeconds, keys: new Set() });
  }

  revoke(id: LeaseId): void {
    this.#leases.delete(id);
  }

  attach(id: LeaseId, key: ByteString): void {
    must(this.#leases.get(id), "a key is attached to a lease that exists").keys.add(key);
  }

  /** Takes a key off a lease, which may be gone already. */
  detach(id: LeaseId, key: ByteString): void {
    this.#leases.get(id)?.keys.delete(key);
  }
}
