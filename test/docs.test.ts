import { expect, test } from "bun:test";
import type { Metric } from "../src/lib/registry.ts";
import { metrics } from "../src/model/metrics.ts";
import { documents } from "./docs.ts";

test("the pages printed from the code are up to date; `bun run docs` prints them", async () => {
  const stale: string[] = [];
  for (const [path, text] of await documents()) {
    if ((await Bun.file(path).text()) !== text) stale.push(path);
  }
  expect(stale).toEqual([]);
});

test("every metric has a name of its own that Prometheus takes, and says its unit", () => {
  const all: Metric[] = Object.values(metrics);
  const names = all.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
  expect(new Set(names).size).toBe(names.length);
  for (const { name, kind, help } of all) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(help).toEndWith(".");
    if (kind === "counter") expect(name).toEndWith("_total");
  }
});

test("the bounds of every histogram ascend", () => {
  for (const metric of Object.values(metrics) as Metric[]) {
    if (metric.kind !== "histogram") continue;
    expect([...metric.buckets].sort((a, b) => a - b)).toEqual([...metric.buckets]);
  }
});

test("links in the pages lead to files", async () => {
  const broken: string[] = [];
  for (const page of [
    "README.md",
    "CHANGELOG.md",
    "docs/benchmarks.md",
    "docs/benchmarks-storage.md",
    "docs/durability.md",
    "docs/metrics.md",
    "docs/operations.md",
  ]) {
    const directory = page.startsWith("docs/") ? "docs/" : "";
    for (const [, target = ""] of (await Bun.file(page).text()).matchAll(
      /\]\((?!https?:)([^)#]+)/g,
    )) {
      if (!(await Bun.file(`${directory}${target}`).exists())) broken.push(`${page}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

test("the map names every source file, and no other", async () => {
  const map = await Bun.file("src/README.md").text();
  const named = map.split(/^### /m).flatMap((section) => {
    const room = section.slice(0, section.indexOf("\n"));
    return [...section.matchAll(/^\| `(\S+\.ts)` \|/gm)].map(([, name]) => `${room}/${name}`);
  });
  const files = [...new Bun.Glob("*/**/*.ts").scanSync("src")];
  expect(named.sort()).toEqual(files.sort());
});
