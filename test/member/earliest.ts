/** When each lease may end at the earliest, as its clients know it. */
export class Earliest {
  readonly #ends = new Map<bigint, number>();
  /** Leases that may have been granted again, nobody knows when. */
  readonly #unknown = new Set<bigint>();
  /** Leases that ended before that. */
  readonly early: bigint[] = [];

  /** A lease was granted or renewed, or its member began to serve, no sooner than `sinceMs`. */
  begins(lease: bigint, ttlSeconds: number, sinceMs: number): void {
    this.#ends.set(lease, sinceMs + ttlSeconds * 1000);
  }

  /** The outcome of a grant is unknown: it may take place yet. */
  mayBegin(lease: bigint): void {
    this.#unknown.add(lease);
  }

  /** The member itself ends a lease. */
  ends(lease: bigint, nowMs: number): void {
    if (!this.#unknown.has(lease) && nowMs < (this.#ends.get(lease) ?? 0)) this.early.push(lease);
  }
}
