/** The figures for people: on the terminal, and as the page docs/benchmarks.md. */
import { causes } from "./causes.ts";
import { median } from "./drive.ts";
import type { Machine } from "./machine.ts";
import { advantage, type Row, type Sheet, type Unit } from "./sheet.ts";
import type { Suite } from "./suite.ts";
import type { Ratio, Target } from "./targets.ts";

const targetHead = ["target", "bound", "T4", "met"];
const ratioHead = ["workload", "etcd", "T4", "ratio", "target", "met"];
const rowHead = ["", "etcd", "T4", "times"];

export interface Report {
  /** The command that made it. */
  readonly command: string;
  /** ISO, in UTC. */
  readonly date: string;
  readonly versions: { readonly etcd: string; readonly t4: string };
  readonly machine: Machine;
  readonly sheet: Sheet;
  readonly suites: readonly Suite[];
  readonly targets: readonly Target[];
  readonly ratios: readonly Ratio[];
}

/** For the terminal. */
export function textOf({ ratios, sheet, targets }: Report): string {
  const rows = sheet.rows.map((row) => [`${row.suite}: ${row.name}`, ...cellsOf(row)]);
  return [
    ...aligned([rowHead, ...rows]),
    ...(targets.length === 0 ? [] : ["", ...aligned([targetHead, ...targets.map(targetCells)])]),
    ...(ratios.length === 0 ? [] : ["", ...aligned([ratioHead, ...ratios.map(ratioCells)])]),
  ].join("\n");
}

/** For docs/benchmarks.md. */
export function markdownOf(report: Report): string {
  const { command, date, ratios, sheet, suites, targets, versions } = report;
  const sections = suites.flatMap(({ about, name }) => {
    const rows = sheet.rows.filter(({ suite }) => suite === name);
    if (rows.length === 0) return [];
    const cells = rows.map((row) => [row.name, ...cellsOf(row)]);
    const rounds = Math.max(...rows.map(({ values }) => values.t4.length));
    const told = `${about} ${rounds === 1 ? "One round" : `${rounds} rounds`}.`;
    return [`## ${name}`, wrapped(told), table(rowHead, cells)];
  });
  return `${[
    "# Benchmarks",
    wrapped(
      `etcd ${versions.etcd} and T4 ${versions.t4}, made by \`${command}\` on ${date.slice(0, 10)}. ` +
        "Both ran as they come, on the same disk, one after the other in each round; each number " +
        'is the median of the rounds. "Times" says how many times better T4 is: above 1 it is ' +
        "faster, or smaller. Machines and moments differ, so the ratios tell more than the rates.",
    ),
    machineText(report.machine),
    ...ratioSection(ratios),
    ...targetSection(targets),
    ...sections,
  ].join("\n\n")}\n`;
}

function ratioSection(ratios: readonly Ratio[]): string[] {
  if (ratios.length === 0) return [];
  const missed = ratios.filter(({ met }) => met !== "yes");
  return [
    "## Beside etcd",
    wrapped(
      "Rates and times are from below. The ratio says how many times better T4 is; where a target is " +
        'a most, it is T4\'s share of what etcd takes. "Floor" is met where the target is not, and ' +
        "the floor in brackets is.",
    ),
    table(ratioHead, ratios.map(ratioCells)),
    ...missed.map((each) => missedText(each.name, reachedOf(each))),
  ];
}

function targetSection(targets: readonly Target[]): string[] {
  if (targets.length === 0) return [];
  const missed = targets.filter(({ isMet }) => !isMet);
  return [
    "## Targets",
    table(targetHead, targets.map(targetCells)),
    ...missed.map(({ name, unit, value }) => missedText(name, shown(value, unit))),
  ];
}

/** That a target is missed, by what was reached instead, and why, where that is known. */
function missedText(name: string, reached: string): string {
  const [, cause] =
    Object.entries(causes).find(([of]) => name === of || name.startsWith(`${of}, `)) ?? [];
  const missed = `Missed: ${name}: ${reached}.`;
  return wrapped(cause === undefined ? missed : `${missed} ${cause}`);
}

function reachedOf({ isMost, ratio, target }: Ratio): string {
  return `${ratio.toFixed(2)} instead of at ${isMost ? "most" : "least"} ${target}`;
}

function ratioCells({ etcd, floor, isMost, met, name, ratio, t4, target, unit }: Ratio): string[] {
  const wanted = `${isMost ? "at most " : ""}${target} (${floor})`;
  return [name, shown(etcd, unit), shown(t4, unit), ratio.toFixed(2), wanted, met];
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
