import { expect, test } from "bun:test";
import { Registry } from "../../src/lib/registry.ts";

const lines = async (registry: Registry) =>
  (await registry.text()).split("\n").filter((line) => line !== "");

test("a counter is shown with its help, type and labels, and starts at zero", async () => {
  const registry = new Registry();
  const metric = { kind: "counter", name: "a_total", help: "Things.", labels: ["op"] } as const;
  const puts = registry.counter(metric, { op: "put" });
  registry.counter(metric, { op: 'odd "one"\n' });
  puts.add(2);
  puts.add(0.5);
  expect(await lines(registry)).toEqual([
    "# HELP a_total Things.",
    "# TYPE a_total counter",
    'a_total{op="put"} 2.5',
    'a_total{op="odd \\"one\\"\\n"} 0',
  ]);
});

test("the same labels are the same instrument", async () => {
  const registry = new Registry();
  const metric = { kind: "counter", name: "a_total", help: "A.", labels: ["x", "y"] } as const;
  registry.counter(metric, { x: "1", y: "2" }).add(1);
  registry.counter(metric, { y: "2", x: "1" }).add(1);
  expect(await lines(registry)).toContain('a_total{x="1",y="2"} 2');
});

test("a histogram's buckets are cumulative, and a bound belongs to its bucket", async () => {
  const registry = new Registry();
  const metric = {
    kind: "histogram",
    name: "h",
    help: "H.",
    labels: [],
    buckets: [1, 2, 5],
  } as const;
  const histogram = registry.histogram(metric, {});
  for (const value of [0, 1, 1.5, 2, 5, 6]) histogram.observe(value);
  expect((await lines(registry)).slice(2)).toEqual([
    'h_bucket{le="1"} 2',
    'h_bucket{le="2"} 4',
    'h_bucket{le="5"} 5',
    'h_bucket{le="+Inf"} 6',
    "h_sum 15.5",
    "h_count 6",
  ]);
});

test("what is read on demand is read each time, with as many samples as there are", async () => {
  const registry = new Registry();
  let now = 1;
  registry.read({ kind: "gauge", name: "g", help: "G.", labels: [] }, () => now);
  registry.read({ kind: "gauge", name: "roles", help: "R.", labels: ["role"] }, () =>
    now === 1 ? [] : [{ labels: { role: "leader" }, value: 1 }],
  );
  expect((await lines(registry)).filter((line) => !line.startsWith("#"))).toEqual(["g 1"]);
  now = 2;
  expect((await lines(registry)).filter((line) => !line.startsWith("#"))).toEqual([
    "g 2",
    'roles{role="leader"} 1',
  ]);
});

test("an alias shows the same numbers under its own name", async () => {
  const registry = new Registry();
  const metric = {
    kind: "counter",
    name: "a_total",
    help: "A.",
    labels: [],
    alias: "b_total",
  } as const;
  registry.counter(metric, {}).add(3);
  expect(registry.names()).toEqual(["a_total", "b_total"]);
  expect(await lines(registry)).toEqual([
    "# HELP a_total A.",
    "# TYPE a_total counter",
    "a_total 3",
    "# HELP b_total A.",
    "# TYPE b_total counter",
    "b_total 3",
  ]);
});

test("labels that are not the metric's, and names that are taken, are bugs", () => {
  const registry = new Registry();
  const metric = { kind: "counter", name: "a", help: "A.", labels: ["x"] as string[] } as const;
  expect(() => registry.counter(metric, { y: "1" })).toThrow("a has its labels, not y");
  const gauge = { kind: "gauge", name: "a", help: "A.", labels: [] } as const;
  expect(() => registry.read(gauge, () => 1)).toThrow("already been registered");
});
