/** The figures for people: on the terminal, and as the page docs/benchmarks.md. */
import { causes } from "./causes.ts";
import { median } from "./drive.ts";
import type { Machine } from "./machine.ts";
import { advantage, type Row, type Sheet, type Unit } from "./sheet.ts";
import type { Suite } from "./suite.ts";

export interface Report {
  /** The command that made it. */
  readonly command: string;
  /** ISO, in UTC. */
  readonly date: string;
  readonly rounds: number;
  readonly versions: { readonly etcd: string; readonly t4: string };
  readonly machine: Machine;
  readonly sheet: Sheet;
  readonly suites: readonly Suite[];
  readonly targets: readonly Target[];
}

/** One thing that T4 has to reach. */
export interface Target {
  readonly name: string;
  readonly value: number;
  readonly bound: number;
  readonly unit: Unit;
  readonly isMet: boolean;
}

/** The targets whose figures were taken. */
export function targetsOf(sheet: Sheet): Target[] {
  const t4 = (suite: string, name: string) => sheet.median(suite, name, "t4");
  const etcd = (name: string) => sheet.median("million", name, "etcd");
  const lines = [
    atLeast("put rate with all keys, of empty", t4("storage", "rate left of empty"), 80, "%"),
    atMost("put p99 while compacting, of quiet", t4("storage", "p99 of quiet"), 300, "%"),
    atMost("restart, etcd's", t4("million", "restart"), etcd("restart"), "s"),
    ...["memory after the load", "memory after that"].flatMap((name) => [
      atMost(`${name}, etcd's`, t4("million", name), etcd(name), "MB"),
      atMost(`${name}, no network, etcd's`, t4("storage", name), etcd(name), "MB"),
    ]),
    atLeast("put with a bucket, 20 ms, 256 callers", t4("bucket", "put 20 ms 256"), 5000, "/s"),
    ...bucketBounds.map(([name, bound]) => atMost(name, t4("bucket", name), bound, "%")),
    atMost("requests in an idle hour", t4("bucket", "requests in an idle hour"), 0, ""),
  ];
  return lines.filter((line) => line !== undefined);
}

/** Rows of the suite "bucket", and the most they may be, in percent. */
const bucketBounds = [
  ["checkpoint of 1 %, median, of the database", 5],
  ["checkpoint of 1 %, mean, of the database", 25],
  ["put p99 beside checkpoints, of quiet", 200],
  ["cold restore of the database, of download", 200],
  ["cold restore of log objects, of download", 200],
] as const;

function atLeast(name: string, value: number | undefined, bound: number, unit: Unit) {
  if (value === undefined) return undefined;
  return { name: `${name}, at least`, value, bound, unit, isMet: value >= bound };
}

function atMost(name: string, value: number | undefined, bound: number | undefined, unit: Unit) {
  if (value === undefined || bound === undefined) return undefined;
  return { name: `${name}, at most`, value, bound, unit, isMet: value <= bound };
}

/** For the terminal. */
export function textOf({ sheet, targets }: Report): string {
  const rows = sheet.rows.map((row) => [`${row.suite}: ${row.name}`, ...cellsOf(row)]);
  const head = ["target", "bound", "t4", "met"];
  return [
    ...aligned([["", "etcd", "t4", "times"], ...rows]),
    ...(targets.length === 0 ? [] : ["", ...aligned([head, ...targets.map(targetCells)])]),
  ].join("\n");
}

/** The targets that are missed, and why. */
function missedOf(targets: readonly Target[]): string[] {
  return targets
    .filter(({ isMet }) => !isMet)
    .flatMap(({ name }) => {
      const [, cause] = Object.entries(causes).find(([begin]) => name.startsWith(begin)) ?? [];
      return cause === undefined ? [] : [wrapped(`Missed: ${name}. ${cause}`)];
    });
}

/** For docs/benchmarks.md. */
export function markdownOf(report: Report): string {
  const { command, date, rounds, sheet, suites, targets, versions } = report;
  const sections = suites.flatMap(({ about, name }) => {
    const rows = sheet.rows.filter(({ suite }) => suite === name);
    if (rows.length === 0) return [];
    const cells = rows.map((row) => [row.name, ...cellsOf(row)]);
    return [`## ${name}`, wrapped(about), table(["", "etcd", "t4", "times"], cells)];
  });
  return `${[
    "# Benchmarks",
    wrapped(
      `etcd ${versions.etcd} and T4 ${versions.t4}, made by \`${command}\` on ${date.slice(0, 10)}. ` +
        "Both ran as they come, on the same disk, one after the other in each round; each number " +
        `is the median of ${rounds} rounds. "Times" says how many times better T4 is: above 1 it is ` +
        "faster, or smaller. Machines and moments differ, so the ratios tell more than the rates.",
    ),
    machineText(report.machine),
    ...(targets.length === 0 ? [] : ["## Targets", targetTable(targets), ...missedOf(targets)]),
    ...sections,
  ].join("\n\n")}\n`;
}

function targetTable(targets: readonly Target[]): string {
  return table(["target", "bound", "t4", "met"], targets.map(targetCells));
}

function targetCells({ bound, isMet, name, unit, value }: Target): string[] {
  return [name, shown(bound, unit), shown(value, unit), isMet ? "yes" : "no"];
}

function cellsOf(row: Row): string[] {
  const { etcd, t4 } = row.values;
  const times = advantage(row);
  return [
    etcd.length === 0 ? "" : shown(median(etcd), row.unit),
    t4.length === 0 ? "" : shown(median(t4), row.unit),
    times === undefined ? "" : times.toFixed(2),
  ];
}

function shown(value: number, unit: Unit): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const [whole = "", fraction] = value.toFixed(digits).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const number = fraction === undefined ? grouped : `${grouped}.${fraction}`;
  return unit === "/s" ? `${number}/s` : `${number} ${unit}`.trimEnd();
}

function machineText(machine: Machine): string {
  const { bun, cores, memoryBytes, processor, syncMedianMs, syncP99Ms, system } = machine;
  return wrapped(
    `Machine: ${cores} cores of ${processor}, ${Math.round(memoryBytes / 2 ** 30)} GiB, ${system}; ` +
      `Bun ${bun}; a 4 KiB write with its fdatasync takes ${syncMedianMs.toFixed(2)} ms ` +
      `(p99 ${syncP99Ms.toFixed(2)} ms). Load generators ran on the same cores.`,
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|---|${"---:|".repeat(head.length - 1)}`, ...rows.map(line)].join("\n");
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => (row[at] ?? "").length)),
  );
  const cell = (text: string, at: number) =>
    at === 0 ? text.padEnd(widths[at] ?? 0) : text.padStart(widths[at] ?? 0);
  return rows.map((row) => row.map(cell).join("  ").trimEnd());
}

function wrapped(text: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > 100) {
      lines.push(line);
      line = "";
    }
    line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].join("\n");
}
