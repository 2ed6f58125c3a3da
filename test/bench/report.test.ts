import { expect, test } from "bun:test";
import { door } from "./door.ts";
import { markdownOf, textOf } from "./report.ts";
import { Sheet } from "./sheet.ts";
import { ratiosOf } from "./targets.ts";

const processorTime = "put 16x16, processor time for 100,000";

function reportOf(sheet: Sheet) {
  return {
    command: "bun run bench",
    date: "2026-01-02T03:04:05.000Z",
    versions: { etcd: "3.4.23", t4: "0.1.0" },
    machine: {
      processor: "a processor",
      cores: 2,
      memoryBytes: 2 ** 34,
      system: "Linux 6.18, x64",
      bun: "1.4.5",
      syncMedianMs: 0.2,
      syncP99Ms: 0.4,
    },
    sheet,
    suites: [door],
    targets: [],
    ratios: ratiosOf(sheet),
  };
}

/** Rates of both in one round, and the server's processor time. */
function sheetOf(puts: readonly [number, number], seconds: readonly [number, number]): Sheet {
  const sheet = new Sheet();
  sheet.note("door", "put 16x16", "etcd", puts[0], "/s");
  sheet.note("door", "put 16x16", "t4", puts[1], "/s");
  sheet.note("door", processorTime, "etcd", seconds[0], "s");
  sheet.note("door", processorTime, "t4", seconds[1], "s");
  return sheet;
}

test("a ratio beside etcd is met, reaches its floor, or does not", () => {
  const metOf = (puts: [number, number], seconds: [number, number]) =>
    ratiosOf(sheetOf(puts, seconds)).map(({ met }) => met);
  expect(metOf([1000, 4000], [10, 4])).toEqual(["yes", "yes"]);
  expect(metOf([1000, 3999], [10, 4.1])).toEqual(["floor", "floor"]);
  expect(metOf([1000, 3000], [10, 10])).toEqual(["floor", "floor"]);
  expect(metOf([1000, 2999], [10, 10.1])).toEqual(["no", "no"]);
});

test("the page and the terminal tell each ratio, and the page which are missed", () => {
  const report = reportOf(sheetOf([20_000, 70_000], [6, 3]));
  const page = markdownOf(report);
  expect(page).toContain("etcd 3.4.23 and T4 0.1.0, made by");
  expect(page).toContain("| workload | etcd | T4 | ratio | target | met |");
  expect(page).toContain("| put 16x16 | 20,000/s | 70,000/s | 3.50 | 4 (3) | floor |");
  expect(page).toContain(`| ${processorTime} | 6.00 s | 3.00 s | 0.50 | at most 0.4 (1) | floor |`);
  expect(page).toMatch(/^Missed: put 16x16: 3\.50 instead of at least 4\./m);
  expect(page).toMatch(/^Missed: put 16x16, processor time.*: 0\.50 instead of at most 0\.4\./m);
  expect(textOf(report)).toMatch(/^put 16x16 +20,000\/s +70,000\/s +3\.50 +4 \(3\) +floor$/m);
  const met = markdownOf(reportOf(sheetOf([20_000, 80_000], [6, 2])));
  expect(met).not.toContain("Missed");
});

test("what was taken of one of them alone has no ratio", () => {
  const sheet = new Sheet();
  sheet.note("door", "put 16x16", "t4", 70_000, "/s");
  expect(ratiosOf(sheet)).toEqual([]);
  expect(markdownOf(reportOf(sheet))).not.toContain("| workload |");
});
