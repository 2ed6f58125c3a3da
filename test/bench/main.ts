/**
 * etcd and T4 side by side:
 *
 *   bun run bench                    everything, 5 rounds of what is short, 2 of what is long
 *   bun run bench --only door        one suite (repeat it for more): door, crowd, floor, million, storage, bucket
 *   bun run bench --rounds 5
 *   bun run bench --quick            a hundredth of the work: says that it runs, and no more
 *   bun run bench --json out.json
 *   bun run bench --only door --only crowd --only floor --markdown docs/benchmarks.md
 *   bun run bench --only million --only storage --only bucket --markdown docs/benchmarks-storage.md
 *
 * Each round runs etcd, then T4, each on a directory of its own on the disk of this project. What is
 * printed are medians over the rounds; the JSON has the values of each.
 */
import fs from "node:fs";
import { parseArgs } from "node:util";
import { etcdTools } from "../setup/etcd.ts";
import { provideTool } from "../setup/http2.ts";
import { provideEtcd } from "../setup/provide.ts";
import { bucket } from "./bucket.ts";
import { runCloud } from "./cloud.ts";
import { type Contender, etcdContender, t4Contender } from "./contender.ts";
import { crowd } from "./crowd.ts";
import { door } from "./door.ts";
import { runEcho } from "./echo.ts";
import { floor } from "./floor.ts";
import { machineOf } from "./machine.ts";
import { runMember } from "./member.ts";
import { million } from "./million.ts";
import { runPhase } from "./phases.ts";
import { markdownOf, type Report, textOf } from "./report.ts";
import { Sheet } from "./sheet.ts";
import { storage } from "./storage.ts";
import type { Round, Scale, Suite } from "./suite.ts";
import { ratiosOf, targetsOf } from "./targets.ts";

const suites: readonly Suite[] = [door, crowd, floor, million, storage, bucket];
const whole: Scale = { share: 1, seconds: 2, keys: 1_000_000, stretch: 100_000 };
const quick: Scale = { share: 0.01, seconds: 0.02, keys: 5000, stretch: 500 };
const results = "node_modules/.cache/bench";

const parts: Readonly<Record<string, (settings: readonly string[]) => Promise<void>>> = {
  member: runMember,
  bucket: runPhase,
  cloud: runCloud,
  echo: runEcho,
};
const part = parts[process.argv[2] ?? ""];

if (part !== undefined) {
  await part(process.argv.slice(3));
} else {
  try {
    await bench(process.argv.slice(2));
  } catch (error) {
    say(`bench: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

async function bench(argv: string[]): Promise<void> {
  const options = optionsOf(argv);
  provideEtcd(say);
  const h2load = provideTool("h2load", say);
  const tools = etcdTools();
  const scratch = `${process.cwd()}/${results}/run-${process.pid}`;
  fs.mkdirSync(scratch, { recursive: true });
  try {
    // A copy: whoever builds meanwhile does not change what is measured.
    fs.copyFileSync("dist/t4", `${scratch}/t4`);
    const t4 = t4Contender(`${scratch}/t4`);
    const machine = machineOf(scratch);
    const sheet = new Sheet();
    const round = { sheet, scale: options.scale, h2load, directory: `${scratch}/round`, say };
    for (const suite of options.suites) {
      const rounds = options.rounds ?? suite.rounds;
      for (let at = 1; at <= rounds; at++) {
        for (const contender of [etcdContender(tools), t4]) {
          say(`${suite.name}, round ${at} of ${rounds}: ${contender.name}`);
          await runRound(suite, contender, round);
        }
      }
    }
    const versions = { etcd: tools.version, t4: versionOf(`${scratch}/t4`) };
    const { command } = options;
    const date = new Date().toISOString();
    // A small store says nothing about how a large one does.
    const isWhole = options.scale === whole;
    const targets = isWhole ? targetsOf(sheet) : [];
    const ratios = isWhole ? ratiosOf(sheet) : [];
    const report = { command, date, versions, machine, sheet, suites, targets, ratios };
    say(`\n${textOf(report)}\n`);
    write(report, options.json ?? `${results}/${date.replaceAll(":", "")}.json`, options.markdown);
  } finally {
    fs.rmSync(scratch, { recursive: true, force: true });
  }
}

async function runRound(suite: Suite, contender: Contender, round: Round): Promise<void> {
  fs.mkdirSync(round.directory);
  try {
    await suite.run(contender, round);
  } finally {
    fs.rmSync(round.directory, { recursive: true, force: true });
  }
}

function write(report: Report, json: string, markdown: string | undefined): void {
  const { sheet, suites: _, ...rest } = report;
  const figures = { ...rest, rows: sheet.rows };
  fs.writeFileSync(json, `${JSON.stringify(figures, undefined, 2)}\n`);
  say(json);
  if (markdown === undefined) return;
  fs.writeFileSync(markdown, markdownOf(report));
  say(markdown);
}

function optionsOf(args: string[]) {
  const { tokens, values } = parseArgs({
    args,
    tokens: true,
    options: {
      json: { type: "string" },
      markdown: { type: "string" },
      only: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      rounds: { type: "string" },
    },
  });
  const names = suites.map(({ name }) => name);
  const unknown = values.only?.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`no suite ${unknown}; there are ${names.join(", ")}`);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0 && rounds <= 100)) {
    throw new Error("--rounds takes a number from 1 to 100");
  }
  // Where the figures go is nothing that they depend on.
  const telling = tokens
    .filter((token) => token.kind === "option")
    .filter(({ name }) => name !== "json" && name !== "markdown")
    .map(({ name, value }) => (value === undefined ? `--${name}` : `--${name} ${value}`));
  return {
    command: ["bun run bench", ...telling].join(" "),
    rounds,
    json: values.json,
    markdown: values.markdown,
    scale: values.quick ? quick : whole,
    suites: suites.filter(({ name }) => values.only?.includes(name) ?? true),
  };
}

/** As the program says it, without its name. */
function versionOf(binary: string): string {
  const [line = ""] = Bun.spawnSync([binary, "version"]).stdout.toString().split("\n");
  return line.trim().replace(/^t4 /, "");
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
