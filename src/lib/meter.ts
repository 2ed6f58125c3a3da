/**
 * What the rooms measure with. A room is handed the instruments it needs; who collects them, and
 * under which names, is not its business (lib/registry.ts, model/metrics.ts).
 */
export interface Counter {
  /** Adds `amount`, at least 0. */
  add(amount: number): void;
}

export interface Histogram {
  /** Notes one observation, in the unit the metric's name ends with. */
  observe(value: number): void;
}

/** Instruments nobody reads. */
export const noCounter: Counter = { add: () => undefined };
export const noHistogram: Histogram = { observe: () => undefined };
