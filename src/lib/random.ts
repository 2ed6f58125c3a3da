/** Randomness, passed in, so that one seed decides a whole run. */
export interface Random {
  /** A float, 0 up to but not including 1. */
  float(): number;
  /** An integer, 0 up to but not including `bound` (at most 2^32). */
  below(bound: number): number;
  /** An unsigned 64-bit integer. */
  u64(): bigint;
}

/** The operating system's generator: unpredictable, for identities and salts. */
export class SystemRandom implements Random {
  float(): number {
    return this.#u32() / 2 ** 32;
  }

  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  u64(): bigint {
    return (BigInt(this.#u32()) << 32n) | BigInt(this.#u32());
  }

  #u32(): number {
    return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  }
}

/** xoshiro128** (Blackman and Vigna, 2018): the same numbers for the same seed, everywhere. */
export class SeededRandom implements Random {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    // SplitMix32 spreads the seed, so that neighbouring seeds share nothing.
    let mix = seed >>> 0;
    this.#state = new Uint32Array(4).map(() => {
      mix = (mix + 0x9e3779b9) >>> 0;
      let z = mix;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    });
  }

  float(): number {
    return this.#next() / 2 ** 32;
  }

  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  u64(): bigint {
    return (BigInt(this.#next()) << 32n) | BigInt(this.#next());
  }

  #next(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#state;
    const product = Math.imul(b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = b << 9;
    const c2 = c ^ a;
    const d2 = d ^ b;
    this.#state.set([a ^ d2, b ^ c2, c2 ^ shifted, (d2 << 11) | (d2 >>> 21)]);
    return result;
  }
}
