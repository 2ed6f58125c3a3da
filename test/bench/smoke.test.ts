import { expect, test } from "bun:test";
import fs from "node:fs";
import { temporaryDirectory } from "../support/t4.ts";

/** Suites without anything of etcd's to hold beside. */
const lone = ["floor", "storage", "bucket"];

test("the benchmarks run: every suite has figures of both, and the page says them", async () => {
  using directory = temporaryDirectory();
  const [json, markdown] = [`${directory.path}/figures.json`, `${directory.path}/page.md`];
  const child = Bun.spawn(
    [process.execPath, "test/bench/main.ts", "--quick", "--rounds=1", "--json", json].concat([
      "--markdown",
      markdown,
    ]),
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const text = await child.stdout.text();
  expect(await child.exited, text).toBe(0);
  const { command, machine, rows, versions } = JSON.parse(fs.readFileSync(json, "utf8"));
  expect(command).toBe("bun run bench --quick --rounds 1");
  expect(machine.system).toMatch(/^\w+ \d+\.\d+, \w+$/);
  expect(versions.t4).toMatch(/^\d+\.\d+\.\d+ \(commit /);
  const page = fs.readFileSync(markdown, "utf8");
  const seen = new Set<string>();
  for (const { name, suite, values } of rows) {
    seen.add(suite);
    expect(values.t4, name).toEqual([expect.any(Number)]);
    expect(values.etcd, name).toEqual(lone.includes(suite) ? [] : [expect.any(Number)]);
    expect(page).toContain(`| ${name} |`);
  }
  expect([...seen]).toEqual(["door", "crowd", "floor", "million", "storage", "bucket"]);
}, 120_000);

test("a wrong flag of the benchmarks is one line", () => {
  const run = (flag: string) =>
    Bun.spawnSync([process.execPath, "test/bench/main.ts", flag], { stderr: "pipe" });
  for (const flag of ["--only=nothing", "--rounds=0", "--unknown"]) {
    const { exitCode, stdout } = run(flag);
    expect(exitCode).toBe(1);
    expect(stdout.toString()).toMatch(/^bench: .*\n$/);
  }
});
