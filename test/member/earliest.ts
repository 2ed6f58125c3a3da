/** When each lease may end at the earliest, as its clients know it. */
export class Earliest {
  readonly #ends = new Map<bigint, number>();
  /** Leases that ended before that. */
  readonly early: bigint[] = [];

  /** A lease was granted or renewed, or its member began to serve, no sooner than `sinceMs`. */
  begins(lease: bigint, ttlSeconds: number, sinceMs: number): void {
    this.#ends.set(lease, sinceMs + ttlSeconds * 1000);
  }

  /** The member itself ends a lease. */
  ends(lease: bigint, nowMs: number): void {
    if (nowMs < (this.#ends.get(lease) ?? 0)) this.early.push(lease);
  }
}
