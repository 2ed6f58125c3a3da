/**
 * Whatever a member has acknowledged survives the loss of power at any moment; and every sync on
 * the way to the disk is needed for that.
 */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { DiskCall } from "../sim/disk.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import type { Fate } from "./host.ts";
import { Life } from "./life.ts";
import { syncSiteOf } from "./sites.ts";

const seeds = seedsUpTo(amount(300, 20, 5000));
const starts = 5;
const operations = 14;
const lackSeedsMax = 2000;
/** Lives in which every sync is met, at least and at most. */
const [metSeedsMin, metSeedsMax] = [40, 400];

/** Of how many calls one is the last, from life to life: so few are early deaths, so few late ones. */
const callsPerDeath = [60, 300, 1200];

/**
 * In each start the process dies at a random call: before it, or inside a sync. In every third life
 * the disk is full at times.
 */
function lifeOf(seed: number, met?: (site: string) => void): Life {
  const random = new SeededRandom(seed + 1_000_000);
  const oneIn = callsPerDeath[seed % callsPerDeath.length] ?? 1;
  const filling = random.below(3) === 0;
  const fate = (call: DiskCall): Fate => {
    const isSync = isSyncCall(call);
    if (isSync) met?.(syncSiteOf(call));
    if (isSync && random.below(oneIn / 4) === 0) return "crash inside";
    if (random.below(oneIn) === 0) return "crash";
    if (filling && call.operation === "write" && random.below(60) === 0) return "ENOSPC";
    return undefined;
  };
  return new Life({ seed, starts, operations, losesPower: true, fate });
}

function isSyncCall({ operation }: DiskCall): boolean {
  return operation === "sync" || operation === "syncDirectory";
}

test(`all that was acknowledged is there after power losses and crashes, in ${seeds.length} lives`, async () => {
  const sums: Record<string, number> = {};
  await tryEach(seeds, import.meta.path, async (seed) => {
    const life = lifeOf(seed);
    await life.run();
    for (const [what, count] of Object.entries({ ...life.book.counts, calls: life.calls })) {
      sums[what] = (sums[what] ?? 0) + count;
    }
  });
  const told = Object.entries(sums).map(([what, count]) => `${count} ${what}`);
  say(`${seeds.length} lives of ${starts} starts: ${told.join(", ")}`);
}, 1_800_000);

test("a life is the same every time it is lived", async () => {
  const traces = new Set<number>();
  const same = seedsUpTo(amount(20, 3, 20));
  for (const seed of same) {
    const [once, again] = [lifeOf(seed), lifeOf(seed)];
    await once.run();
    await again.run();
    expect(again.trace).toBe(once.trace);
    traces.add(once.trace);
  }
  expect(traces.size).toBe(same.length);
}, 600_000);

interface Lack {
  /** The sync that is left out. */
  readonly skip: string;
  /** Where processes die more often, because it takes two deaths for that sync to be missed. */
  readonly after?: string;
  /** It is missed early, in lives that do little. */
  readonly early?: boolean;
}

/** Every sync that a member needs. A new one must be added, and is then shown to be needed. */
const lacks: readonly Lack[] = [
  { skip: "#append: sync" },
  { skip: "#rotate: sync" },
  { skip: "#rotate: syncDirectory" },
  { skip: "#writeTables: syncDirectory for a flush" },
  { skip: "#writeTables: syncDirectory for a merge" },
  { skip: "ensureDirectory: syncDirectory", early: true },
  { skip: "finish: sync for a flush" },
  { skip: "finish: sync for a merge" },
  { skip: "makeActive: sync" },
  { skip: "makeActive: syncDirectory" },
  { skip: "open: syncDirectory", after: "replaceWhole: syncDirectory" },
  { skip: "lockDirectory: syncDirectory", after: "replaceWhole: syncDirectory", early: true },
  { skip: "replaceWhole: sync of MANIFEST" },
  { skip: "replaceWhole: sync of MEMBER" },
  { skip: "replaceWhole: syncDirectory" },
];

/**
 * A life with or without one sync. Death comes late or, often, soon after that sync was, or would
 * have been, carried out.
 */
function lackingLife(seed: number, { after, early = false, skip }: Lack, isThere: boolean): Life {
  const random = new SeededRandom(seed + 1_000_000);
  let hurry = 0;
  const fate = (call: DiskCall): Fate => {
    const isSync = isSyncCall(call);
    const isAfter = isSync && after !== undefined && syncSiteOf(call) === after;
    const oneIn = isAfter ? (early ? 2 : 6) : hurry-- > 0 ? 2 : 400;
    if (isSync && random.below(oneIn) === 0) return "crash inside";
    if (random.below(early ? 60 : 400) === 0) return "crash";
    return undefined;
  };
  const isDone = () => {
    if (random.below(2) === 0) hurry = 16;
    return isThere;
  };
  const amount = early ? { starts: 4, operations: 1 } : { starts, operations };
  return new Life({ seed, ...amount, losesPower: true, fate, site: skip, isDone });
}

/** Nothing rests on these: `finish` syncs the same file again, before its name is given away. */
const early = ["settle: sync for a flush", "settle: sync for a merge"];

test("the syncs that are shown to be needed are all there are, but those that are early", async () => {
  const met = new Set<string>();
  const all = [...lacks.map(({ skip }) => skip), ...early].sort();
  for (let seed = 1; seed <= metSeedsMax; seed++) {
    if (seed > metSeedsMin && met.size >= all.length) break;
    await lifeOf(seed, (site) => met.add(site)).run();
  }
  expect([...met].sort()).toEqual(all);
}, 600_000);

test.each(lacks)(
  "without $skip something is lost, with it nothing",
  async (lack) => {
    let seed = 0;
    let loss: string | undefined;
    while (loss === undefined && seed++ < lackSeedsMax) {
      loss = await lackingLife(seed, lack, false)
        .run()
        .then(
          () => undefined,
          (error: Error) => error.message,
        );
    }
    say(`without ${lack.skip}, seed ${seed}: ${loss}`);
    expect(loss).toBeDefined();
    await lackingLife(seed, lack, true).run();
  },
  600_000,
);
