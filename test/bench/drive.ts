/** Keeps a number of callers busy, each with one call at a time, and notes how long calls took. */

export interface Driven {
  readonly calls: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly latencies: Latencies;
}

export interface DriveOptions {
  /** Callers at work at any time. */
  readonly callers: number;
  /** Calls to make. */
  readonly count: number;
  /** No more calls are started once it says so. */
  readonly enough?: () => boolean;
  /** Makes call number `step`; both numbers count from 0. */
  readonly call: (step: number, caller: number) => Promise<void>;
}

/** Resolves when all callers are done; rejects with the first error of a call. */
export async function drive(options: DriveOptions): Promise<Driven> {
  const { call, callers, count, enough } = options;
  const latencies = new Latencies();
  let next = 0;
  const started = performance.now();
  const work = async (caller: number) => {
    while (next < count && enough?.() !== true) {
      const step = next++;
      const from = performance.now();
      await call(step, caller);
      latencies.add(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: Math.min(callers, count) }, (_, caller) => work(caller)));
  const seconds = (performance.now() - started) / 1000;
  return { calls: latencies.count, seconds, perSecond: latencies.count / seconds, latencies };
}

/** Milliseconds of many calls. */
export class Latencies {
  #all = new Float64Array(1024);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(milliseconds: number): void {
    if (this.#count === this.#all.length) {
      const grown = new Float64Array(this.#count * 2);
      grown.set(this.#all);
      this.#all = grown;
    }
    this.#all[this.#count++] = milliseconds;
  }

  /** What this share of the calls, 0 to 1, stayed within. NaN without calls. */
  quantile(share: number): number {
    const sorted = this.#all.slice(0, this.#count).sort();
    return sorted[Math.min(this.#count - 1, Math.floor(this.#count * share))] ?? NaN;
  }
}

/** The middle one, or the mean of the two in the middle; NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const at = sorted.length / 2;
  if (sorted.length % 2 === 1) return sorted[Math.floor(at)] ?? NaN;
  return ((sorted[at - 1] ?? NaN) + (sorted[at] ?? NaN)) / 2;
}
