/** The lint rules that are ours alone: they must fire, or nobody would know that they are gone. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import { dirname } from "node:path";
import { temporaryDirectory } from "./support/t4.ts";

const ambient = [
  "Date.now();",
  "Math.random();",
  "performance.now();",
  "new Date();",
  "crypto.randomUUID();",
  "crypto.getRandomValues(new Uint8Array(1));",
  "process.hrtime();",
  "process.hrtime([1, 2]);",
  "process.hrtime.bigint();",
  "Bun.nanoseconds();",
  "await Bun.sleep(1);",
  "setTimeout(print, 1);",
  "setInterval(print, 1);",
  "setImmediate(print);",
];
const files = [
  'import "node:fs";',
  'import "node:fs/promises";',
  'import "fs";',
  'import "fs/promises";',
];
const lines = [...files, ...ambient];

/** The lines of each file that Biome calls wrong, by its path. */
async function complaints(paths: readonly string[]): Promise<Record<string, string[]>> {
  using directory = temporaryDirectory();
  fs.copyFileSync(".biome.json", `${directory.path}/biome.json`);
  fs.cpSync("test/lint", `${directory.path}/test/lint`, { recursive: true });
  for (const path of paths) {
    fs.mkdirSync(dirname(`${directory.path}/${path}`), { recursive: true });
    fs.writeFileSync(`${directory.path}/${path}`, lines.join("\n"));
  }
  const biome = `${process.cwd()}/node_modules/.bin/biome`;
  const child = Bun.spawn(
    [process.execPath, "--bun", biome, "lint", "--reporter=json", "--max-diagnostics=none"],
    { cwd: directory.path, stdio: ["ignore", "pipe", "ignore"] },
  );
  const { diagnostics } = JSON.parse(await child.stdout.text());
  const found: Record<string, Set<string>> = {};
  for (const { category, location, severity } of diagnostics) {
    if (severity !== "error" || !/^plugin$|noRestricted/.test(category)) continue;
    found[location.path] ??= new Set();
    found[location.path]?.add(lines[location.start.line - 1] ?? "no line of ours");
  }
  return Object.fromEntries(Object.entries(found).map(([path, told]) => [path, [...told].sort()]));
}

test("ambient time, randomness and files are errors, but where they are owned", async () => {
  const paths = ["src/mvcc/probe.ts", "src/lib/clock.ts", "src/lib/posix.ts", "test/probe.ts"];
  expect(await complaints(paths)).toEqual({
    "src/mvcc/probe.ts": lines.toSorted(),
    "src/lib/clock.ts": files.toSorted(),
    "src/lib/posix.ts": ambient.toSorted(),
  });
});
