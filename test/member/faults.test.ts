/**
 * Whatever call of the disk fails, once or from then on: nothing acknowledged is lost, nothing that
 * was refused took place, nobody waits for ever, and where the disk was only full service goes on.
 */
import { describe, expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { DiskCall } from "../sim/disk.ts";
import type { Host } from "./host.ts";
import { Life } from "./life.ts";
import { siteOf } from "./sites.ts";

const whole = Bun.env.T4_TEST_WHOLE === "1";
const seeds = whole ? [1, 2, 3, 4, 5, 6, 7, 8] : [2];
const starts = 3;
const operations = 10;

type Operation = DiskCall["operation"];

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

/** Of each site the first call, the last, and any other; all of them with time. */
function chosen(sites: ReadonlyMap<string, readonly number[]>, seed: number): number[] {
  const random = new SeededRandom(seed);
  return [...sites.values()].flatMap((numbers) => {
    if (whole) return numbers;
    const any = numbers[random.below(numbers.length)];
    return [...new Set([numbers[0], any, numbers.at(-1)])].map(Number);
  });
}

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
    for (const seed of seeds) {
      const sites = await callsOf(seed);
      for (const at of chosen(sites, seed)) {
        const fate = ({ operation }: DiskCall, number: number) =>
          number === at || (number > at && durations[lasts](operation)) ? code : undefined;
        await new Life({ seed, starts, operations, losesPower: true, fate, ended }).run();
        tried++;
      }
    }
    process.stderr.write(`${code} ${lasts}: ${tried} injections, ${fatal} of them fatal\n`);
  }, 1_800_000);
});
