/** What T4 has to reach: by itself, and beside etcd. */
import { advantage, type Row, type Sheet, type Unit } from "./sheet.ts";

/** A bound for one figure. */
export interface Target {
  readonly name: string;
  readonly value: number;
  readonly bound: number;
  readonly unit: Unit;
  readonly isMet: boolean;
}

/** What T4 is to be beside etcd in one workload. */
export interface Ratio {
  readonly name: string;
  readonly unit: Unit;
  /** Medians over the rounds. */
  readonly etcd: number;
  readonly t4: number;
  /** How many times better T4 is; where the target is a most, T4's share of etcd's. */
  readonly ratio: number;
  readonly isMost: boolean;
  readonly target: number;
  /** Less than the target, and what has to be in any case. */
  readonly floor: number;
  readonly met: "yes" | "floor" | "no";
}

/** The targets whose figures were taken. */
export function targetsOf(sheet: Sheet): Target[] {
  const t4 = (suite: string, name: string) => sheet.median(suite, name, "t4");
  const etcd = (name: string) => sheet.median("million", name, "etcd");
  const lines = [
    atLeast("rate of a bare server or log", t4("floor", "put 16x16, of the slower"), 50, "%"),
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

/** The ratios of what was measured with both. */
export function ratiosOf(sheet: Sheet): Ratio[] {
  return ratioBounds.flatMap(([name, target, floor, most]) => {
    const row = sheet.rows.find((each) => each.suite === "door" && each.name === name);
    const ratio = row && ratioOf(sheet, row, most === "most");
    if (ratio === undefined) return [];
    const reaches = (bound: number) => (ratio.isMost ? ratio.ratio <= bound : ratio.ratio >= bound);
    const met = reaches(target) ? "yes" : reaches(floor) ? "floor" : "no";
    return [{ ...ratio, target, floor, met }];
  });
}

/** Rows of the suite "bucket", and the most they may be, in percent. */
const bucketBounds = [
  ["checkpoint of 1 %, median, of the database", 5],
  ["checkpoint of 1 %, mean, of the database", 25],
  ["put p99 beside checkpoints, of quiet", 200],
  ["cold restore of the database, of download", 200],
  ["cold restore of log objects, of download", 200],
] as const;

/** Rows of the suite "door": the target, and the floor below it. */
const ratioBounds: readonly (readonly [string, number, number, "most"?])[] = [
  ["put 1x1", 1.25, 1.1],
  ["put 16x1", 2.5, 2],
  ["put 16x16", 4, 3],
  ["put 64x10", 4, 3],
  ["get 1x1", 1.5, 1],
  ["get 16x4", 6, 4],
  ["mixed 16x4", 4, 1],
  ["range of 100 keys 16x1", 1.5, 1],
  ["compare and put 16x4", 3, 1],
  ["events of 1 watcher 1x1, median", 1.2, 1],
  ["events of 1,000 watchers 16x4", 3, 1],
  ["put 16x16, processor time for 100,000", 0.4, 1, "most"],
];

function ratioOf(sheet: Sheet, row: Row, isMost: boolean) {
  const { name, suite, unit } = row;
  const [etcd, t4] = [sheet.median(suite, name, "etcd"), sheet.median(suite, name, "t4")];
  const times = advantage(row);
  if (etcd === undefined || t4 === undefined || times === undefined) return undefined;
  return { name, unit, etcd, t4, ratio: isMost ? 1 / times : times, isMost };
}

function atLeast(name: string, value: number | undefined, bound: number, unit: Unit) {
  if (value === undefined) return undefined;
  return { name: `${name}, at least`, value, bound, unit, isMet: value >= bound };
}

function atMost(name: string, value: number | undefined, bound: number | undefined, unit: Unit) {
  if (value === undefined || bound === undefined) return undefined;
  return { name: `${name}, at most`, value, bound, unit, isMet: value <= bound };
}
