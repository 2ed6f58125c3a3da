/**
 * The process's metrics. Instruments are plain accumulators, because they sit on the hottest paths:
 * adding to one costs a few nanoseconds, where prom-client's own children cost 180 to 400 (they hash
 * their labels on every call). What is known elsewhere is not counted twice but read when somebody
 * asks, so it is right at all times. prom-client turns both into the text Prometheus reads.
 */
import { type Metric as Exposed, Registry as Exposition } from "prom-client";
import { assert } from "./assert.ts";
import type { Counter, Histogram } from "./meter.ts";

interface Family<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Label[];
  /** Another name the same numbers are shown under. */
  readonly alias?: string | undefined;
}

export interface CounterMetric<Label extends string = string> extends Family<Label> {
  readonly kind: "counter";
}

export interface GaugeMetric<Label extends string = string> extends Family<Label> {
  readonly kind: "gauge";
}

export interface HistogramMetric<Label extends string = string> extends Family<Label> {
  readonly kind: "histogram";
  /** Upper bounds of the buckets, ascending, without infinity. */
  readonly buckets: readonly number[];
}

/** A metric as defined: what it is called and what it means. */
export type Metric<Label extends string = string> =
  | CounterMetric<Label>
  | GaugeMetric<Label>
  | HistogramMetric<Label>;

export type Labels<Label extends string = string> = Readonly<Record<Label, string>>;

/** One number of a metric that is read on demand. */
export interface Sample<Label extends string = string> {
  readonly labels: Labels<Label>;
  readonly value: number;
}

/** One line of the text: prom-client prints `metricName{labels} value`. */
interface Line {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

type Collect = (name: string) => readonly Line[];

export class Registry {
  readonly #exposition = new Exposition();
  readonly #tallies = new Map<string, Map<string, Tally>>();
  readonly #distributions = new Map<string, Map<string, Distribution>>();

  /** The counter of `metric` for these label values; the same one each time it is asked for. */
  counter<Label extends string>(metric: CounterMetric<Label>, labels: Labels<Label>): Counter {
    const children = this.#children(this.#tallies, metric, (name, of) =>
      [...of.values()].map(({ labels, value }) => ({ metricName: name, labels, value })),
    );
    return child(children, metric, labels, () => new Tally(labels));
  }

  /** The histogram of `metric` for these label values; the same one each time it is asked for. */
  histogram<Label extends string>(
    metric: HistogramMetric<Label>,
    labels: Labels<Label>,
  ): Histogram {
    const children = this.#children(this.#distributions, metric, (name, of) =>
      [...of.values()].flatMap((distribution) => distribution.lines(name)),
    );
    return child(children, metric, labels, () => new Distribution(labels, metric.buckets));
  }

  /**
   * Shows `metric` with what `read` returns at the moment somebody asks: a number, or one sample
   * for each set of label values, none where there is nothing to tell.
   */
  read<Label extends string>(
    metric: CounterMetric<Label> | GaugeMetric<Label>,
    read: () => number | readonly Sample<Label>[],
  ): void {
    this.#expose(metric, (name) => {
      const now = read();
      if (typeof now === "number") return [{ metricName: name, labels: {}, value: now }];
      return now.map(({ labels, value }) => ({ metricName: name, labels, value }));
    });
  }

  /** The names shown, aliases included, in the order they were registered. */
  names(): string[] {
    return this.#exposition.getMetricsAsArray().map((metric) => metric.name);
  }

  /** The content type of `text`. */
  get contentType(): string {
    return this.#exposition.contentType;
  }

  /** Every metric in Prometheus's text format. */
  text(): Promise<string> {
    return this.#exposition.metrics();
  }

  #children<T>(
    families: Map<string, Map<string, T>>,
    metric: Metric,
    lines: (name: string, children: ReadonlyMap<string, T>) => readonly Line[],
  ): Map<string, T> {
    const known = families.get(metric.name);
    if (known !== undefined) return known;
    const children = new Map<string, T>();
    families.set(metric.name, children);
    this.#expose(metric, (name) => lines(name, children));
    return children;
  }

  #expose(metric: Metric, collect: Collect): void {
    for (const name of metric.alias === undefined ? [metric.name] : [metric.name, metric.alias]) {
      const { help, kind } = metric;
      const get = () =>
        Promise.resolve({ name, help, type: kind, values: collect(name), aggregator: "sum" });
      // prom-client asks a registered metric for its name and its values and for nothing else.
      this.#exposition.registerMetric({ name, get } as unknown as Exposed);
    }
  }
}

function child<T>(children: Map<string, T>, metric: Metric, labels: Labels, make: () => T): T {
  const key = metric.labels.map((label) => labels[label] ?? "").join("\0");
  const known = children.get(key);
  if (known !== undefined) return known;
  const given = Object.keys(labels).sort().join();
  assert(given === [...metric.labels].sort().join(), `${metric.name} has its labels, not ${given}`);
  const made = make();
  children.set(key, made);
  return made;
}

class Tally implements Counter {
  readonly labels: Labels;
  value = 0;

  constructor(labels: Labels) {
    this.labels = labels;
  }

  add(amount: number): void {
    this.value += amount;
  }
}

class Distribution implements Histogram {
  readonly #labels: Labels;
  readonly #bounds: readonly number[];
  /** How many fell into each bucket alone; the last is the one without a bound. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.#labels = labels;
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value <= (bounds[middle] as number)) high = middle;
      else low = middle + 1;
    }
    this.#counts[low] = (this.#counts[low] as number) + 1;
    this.#sum += value;
  }

  /** Cumulative buckets, then sum and count, as the text format wants them. */
  lines(name: string): Line[] {
    const labels = this.#labels;
    let count = 0;
    const buckets = [...this.#bounds, "+Inf"].map((le, at) => {
      count += this.#counts[at] as number;
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}
