/**
 * Whatever call of the disk fails, once or from then on: nothing acknowledged is lost, nothing that
 * was refused took place, nobody waits for ever, and where the disk was only full service goes on.
 */
import { describe, expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { DiskCall } from "../sim/disk.ts";
import { brief, say, seedsOr, seedsUpTo, tryEach, whole } from "../support/effort.ts";
import type { Host } from "./host.ts";
import { Life } from "./life.ts";
import { siteOf } from "./sites.ts";

const starts = 3;
const operations = 10;

type Operation = DiskCall["operation"];

/** Every place where a member calls the disk. */
const places = [
  "create: lib/disk.ts replaceWhole",
  "create: lsm/writer.ts #start",
  "create: wal/log.ts #attempt",
  "create: wal/recover.ts makeActive",
  "list: lib/disk.ts isDirectory",
  "list: lsm/live.ts open",
  "list: lsm/live.ts orphans",
  "list: member/directory.ts refuseForeign",
  "list: member/directory.ts refuseHalf",
  "list: member/sight.ts contentOf",
  "list: member/sight.ts namesIn",
  "list: wal/recover.ts listSegments",
  "lock: member/directory.ts lockDirectory",
  "makeDirectory: lib/disk.ts ensureDirectory",
  "open: lib/disk.ts readWhole",
  "open: lsm/table.ts openTableFile",
  "open: wal/replay.ts #read",
  "open: wal/replay.ts sizeOf",
  "read: lib/disk.ts readWhole",
  "read: lsm/check.ts checkHash",
  "read: lsm/readahead.ts read",
  "read: lsm/table.ts readBlock",
  "read: lsm/table.ts readExactly",
  "read: wal/recover.ts copyFrames",
  "read: wal/scan.ts #read",
  "read: wal/segment.ts readSegmentHeader",
  "remove: lib/disk.ts removeIfThere",
  "remove: lsm/live.ts open",
  "remove: wal/log.ts #attempt",
  "remove: wal/recover.ts recover",
  "rename: lib/disk.ts replaceWhole",
  "rename: lsm/output.ts finish",
  "rename: wal/log.ts #attempt",
  "rename: wal/recover.ts makeActive",
  "sync: lib/disk.ts replaceWhole",
  "sync: lsm/output.ts finish",
  "sync: lsm/output.ts settle",
  "sync: wal/log.ts #append",
  "sync: wal/log.ts #rotate",
  "sync: wal/recover.ts makeActive",
  "syncDirectory: lib/disk.ts ensureDirectory",
  "syncDirectory: lib/disk.ts replaceWhole",
  "syncDirectory: lsm/live.ts open",
  "syncDirectory: lsm/writer.ts #writeTables",
  "syncDirectory: member/directory.ts lockDirectory",
  "syncDirectory: wal/log.ts #rotate",
  "syncDirectory: wal/recover.ts makeActive",
  "write: lib/disk.ts replaceWhole",
  "write: lsm/output.ts <anonymous>",
  "write: wal/log.ts #attempt",
  "write: wal/recover.ts copyFrames",
  "write: wal/segment.ts writeHeader",
];

/** What fails of the calls after the chosen one, which fails itself. */
const durations = {
  once: () => false,
  "from then on": () => true,
  // A device that is gone, under a file system that still takes what it need not write at once.
  "and no read or sync after it succeeds": (operation: Operation) =>
    ["open", "read", "sync", "syncDirectory"].includes(operation),
  "until there is room": (operation: Operation) =>
    ["create", "makeDirectory", "rename", "write"].includes(operation),
};

const troubles = [
  { code: "EIO", lasts: "once" },
  { code: "EIO", lasts: "from then on" },
  { code: "EIO", lasts: "and no read or sync after it succeeds" },
  { code: "ENOSPC", lasts: "once" },
  { code: "ENOSPC", lasts: "until there is room" },
] as const;

/** Calls that change what the disk holds, and can be told by an errno that they did not. */
const changes: readonly Operation[] = ["create", "remove", "rename", "write"];

/** What a member that was open when a call failed must have called fatal, at least and at most. */
function fatalsOf({ code, operation }: { code: string; operation: Operation }): [number, number] {
  if (code === "EIO") return [1, 1];
  return changes.includes(operation) ? [0, 0] : [0, 1];
}

/** The calls of a life in which nothing fails, by where they are made. */
async function callsOf(seed: number): Promise<Map<string, number[]>> {
  const calls = new Map<string, number[]>();
  const fate = (call: DiskCall, number: number) => {
    const site = siteOf(call);
    calls.set(site, [...(calls.get(site) ?? []), number]);
    return undefined;
  };
  await new Life({ seed, starts, operations, fate }).run();
  return calls;
}

/** Of each site the first call, the last, and any other; with time all, in brief one of every third. */
function chosen(sites: ReadonlyMap<string, readonly number[]>, seed: number): number[] {
  const random = new SeededRandom(seed);
  return [...sites.values()].flatMap((numbers, site) => {
    if (whole) return numbers;
    if (brief) return site % 3 === 0 ? numbers.slice(-1) : [];
    const any = numbers[random.below(numbers.length)];
    return [...new Set([numbers[0], any, numbers.at(-1)])].map(Number);
  });
}

/** The places a life comes by. */
async function placesOf(seed: number): Promise<Set<string>> {
  const sites = await callsOf(seed);
  return new Set([...sites.keys()].map((site) => site.split(/ < | for /)[0] ?? site));
}

/**
 * A few lives that together come by every place: the one of many that comes by most, then the one
 * that comes by most of the rest, and so on.
 */
async function roundabouts(): Promise<number[]> {
  const lives = await Promise.all(
    Array.from({ length: livesLookedAt }, async (_, at) => ({
      seed: at + 1,
      met: await placesOf(at + 1),
    })),
  );
  const found: number[] = [];
  let rest = new Set(places);
  while (rest.size > 0) {
    const left = (met: ReadonlySet<string>) => rest.difference(met);
    const [best] = lives.sort((a, b) => left(a.met).size - left(b.met).size || a.seed - b.seed);
    if (best === undefined || left(best.met).size === rest.size) break;
    found.push(best.seed);
    rest = left(best.met);
  }
  return found;
}

const livesLookedAt = 80;
const few = await roundabouts();
const seeds = whole ? [...new Set([...seedsUpTo(12), ...few])] : seedsOr(few);

test("the calls that are made to fail are all there are", async () => {
  const met = await Promise.all(few.map(placesOf));
  const all = met.reduce((sum, each) => sum.union(each), new Set<string>());
  expect([...all].sort()).toEqual(places);
});

describe.each(troubles)("$code $lasts", ({ code, lasts }) => {
  test("at any call of the disk", async () => {
    let tried = 0;
    let fatal = 0;
    const ended = ({ fatals, faults, wasOpenAt }: Host) => {
      fatal += fatals.length;
      const [fault] = faults;
      if (fault === undefined) return false;
      if (wasOpenAt === undefined || fault.number <= wasOpenAt) return true;
      const [least, most] = fatalsOf(fault);
      expect(fatals.length, `${code} at ${fault.operation} ${fault.path}`).toBeWithin(
        least,
        most + 1,
      );
      return true;
    };
    await tryEach(seeds, import.meta.path, async (seed) => {
      const sites = await callsOf(seed);
      for (const at of chosen(sites, seed)) {
        const fate = ({ operation }: DiskCall, number: number) =>
          number === at || (number > at && durations[lasts](operation)) ? code : undefined;
        await new Life({ seed, starts, operations, losesPower: true, fate, ended }).run();
        tried++;
      }
    });
    say(`${code} ${lasts}: ${tried} injections, ${fatal} of them fatal`);
  }, 1_800_000);
});
