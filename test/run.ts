/**
 * Every test there is, and what they need first:
 *
 *   bun run test                  everything
 *   bun run test wal lsm          only these directories of test/
 *   bun run test --whole          with the long versions (T4_TEST_WHOLE=1)
 *
 * One directory of test/ is one suite and one process: a suite that crashes takes no other along. The
 * first suite, "lint", is Biome and tsc: format, rules and types.
 * The last line is "N passed, N failed". A test that is skipped, a file that does not load and a
 * suite that crashes or does not end count as failed. Where there can be no S3 server, the files that
 * need one do not run, which the last lines say; with T4_TEST_COMPLETE=1 that counts as failed, too.
 */
import fs from "node:fs";
import { Glob } from "bun";
import { provideEtcd } from "./setup/provide.ts";
import { provideS3 } from "./setup/s3.ts";

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

const results = "node_modules/.cache/test-results";

/** What the suite "lint" runs, each of which passes or fails. */
const checks = [
  ["biome", "check", "--error-on-warnings"],
  ["tsc", "--pretty", "false"],
] as const;
/** Whether a suite that cannot run is a failure: in CI it is. */
const mustBeComplete = process.env.T4_TEST_COMPLETE === "1";
const environment = { ...process.env };
const wanted: string[] = [];
for (const argument of process.argv.slice(2)) {
  if (argument === "--whole") environment.T4_TEST_WHOLE = "1";
  else if (!argument.startsWith("-")) wanted.push(argument);
  else {
    say(`unknown flag ${argument}; there is --whole`);
    process.exit(2);
  }
}
/** Suites that run at the same time. */
const lanes = 2;
/** A test that has not ended by then hangs; those that take longer say so themselves. */
const testMsMax = 120_000;
const suiteMsMax = (environment.T4_TEST_WHOLE === "1" ? 180 : 15) * 60_000;

try {
  process.exit(await main());
} catch (error) {
  say(`${error instanceof Error ? error.message : error}\n0 passed, 1 failed`);
  process.exit(1);
}

async function main(): Promise<number> {
  const suites = suitesOf(await Array.fromAsync(new Glob("test/**/*.test.ts").scan(".")));
  fs.mkdirSync(results, { recursive: true });
  const all = ["lint", ...suites.keys()];
  const unknown = wanted.filter((name) => !all.includes(name));
  if (unknown.length > 0) {
    throw new Error(`no suite ${unknown.join(", ")}; there are ${all.join(", ")}`);
  }
  const chosen = all.filter((name) => wanted.length === 0 || wanted.includes(name));
  if (chosen.some((name) => suites.has(name))) await prepare();
  const failures: string[] = [];
  const left: string[] = [];
  const obstacle = provideS3(say);
  let total: Outcome = { passed: 0, failed: 0 };
  const waiting = longestFirst(chosen);
  const lane = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const [files, out] = split(suites.get(name), obstacle !== undefined);
      left.push(...out);
      const outcome = files === undefined ? await lint() : await runSuite(name, files);
      total = { passed: total.passed + outcome.passed, failed: total.failed + outcome.failed };
      if (outcome.failed > 0) failures.push(`${name} (${outcome.failed})`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (failures.length > 0) say(`failed: ${failures.join(", ")}`);
  if (left.length > 0) {
    const way = "T4_TEST_S3_ENDPOINT can name one (test/setup/s3.ts)";
    say(`did not run, for want of an S3 server (${obstacle}; ${way}): ${left.join(", ")}`);
    if (mustBeComplete) total = { ...total, failed: total.failed + left.length };
  }
  say(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

/** Suites that take long begin first, so that none is left over at the end. */
function longestFirst(names: readonly string[]): string[] {
  const long = ["e2e", "member", "compat"].filter((name) => names.includes(name));
  return [...long, ...names.filter((name) => !long.includes(name))];
}

/** The files to be run, and those that are left out where there is no S3 server. */
function split(
  files: readonly string[] | undefined,
  lacksS3: boolean,
): [string[] | undefined, string[]] {
  if (files === undefined) return [undefined, []];
  const needs = (file: string) => lacksS3 && fs.readFileSync(file, "utf8").includes("startS3(");
  return [files.filter((file) => !needs(file)), files.filter(needs)];
}

/** What suites need. */
async function prepare(): Promise<void> {
  provideEtcd(say);
  await command([process.execPath, "build.ts"]);
}

async function lint(): Promise<Outcome> {
  let failed = 0;
  for (const check of checks) {
    const exit = await run(check[0], [process.execPath, "x", "--bun", ...check], suiteMsMax);
    if (exit === 0) continue;
    say(`${check.join(" ")} ended with ${exit}`);
    failed++;
  }
  return { passed: checks.length - failed, failed };
}

/** Files by the directory of test/ they are in; those in test/ itself are the suite "house". */
function suitesOf(files: string[]): Map<string, string[]> {
  const suites = new Map<string, string[]>();
  for (const file of files.sort()) {
    const [, directory = "", rest] = file.split("/");
    const name = rest === undefined ? "house" : directory;
    suites.set(name, [...(suites.get(name) ?? []), file]);
  }
  return suites;
}

async function runSuite(name: string, files: string[]): Promise<Outcome> {
  const report = `${results}/${name}.xml`;
  fs.rmSync(report, { force: true });
  const paths = files.map((file) => `./${file}`);
  const line = [
    "test",
    `--timeout=${testMsMax}`,
    "--reporter=junit",
    `--reporter-outfile=${report}`,
    ...paths,
  ];
  const exit = await run(name, [process.execPath, ...line], suiteMsMax);
  const outcome = countsOf(report, files);
  if (exit === 0 || outcome.failed > 0) return outcome;
  say(`${name}: ended with ${exit}`);
  return { passed: outcome.passed, failed: 1 };
}

/** Runs a command, and says under `title` all that it said once it has ended; how it ended. */
async function run(title: string, line: string[], msMax: number): Promise<number | string | null> {
  say(`... ${title}`);
  const log = `${results}/${title}.log`;
  const descriptor = fs.openSync(log, "w");
  const started = performance.now();
  const child = Bun.spawn(line, {
    env: environment,
    stdio: ["ignore", descriptor, descriptor],
    timeout: msMax,
  });
  await child.exited;
  fs.closeSync(descriptor);
  const seconds = Math.round((performance.now() - started) / 1000);
  say(`\n--- ${title}, ${seconds} s ---\n${fs.readFileSync(log, "utf8")}`);
  return child.signalCode ?? child.exitCode;
}

/** What Bun's JUnit report counts. A file that is not in it did not get as far as a test. */
function countsOf(report: string, files: string[]): Outcome {
  const xml = fs.existsSync(report) ? fs.readFileSync(report, "utf8") : "";
  const [root = ""] = /<testsuites [^>]*>/.exec(xml) ?? [];
  const count = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(root)?.[1] ?? 0);
  const missing = files.filter((file) => !xml.includes(` file="${file}"`));
  for (const file of missing) say(`${file}: did not run`);
  const bad = count("failures") + count("skipped");
  return { passed: count("tests") - bad, failed: bad + missing.length };
}

async function command(line: string[]): Promise<void> {
  const exitCode = await Bun.spawn(line, { stdio: ["ignore", "inherit", "inherit"] }).exited;
  if (exitCode !== 0) throw new Error(`${line.join(" ")} ended with ${exitCode}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
