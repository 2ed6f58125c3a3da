/** What a tree says is durable survives the loss of power, at any moment. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { DiskCall } from "../sim/disk.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { type Fate, Life, sites } from "./life.ts";

const seeds = seedsUpTo(amount(300, 20, 6000));
const lackSeedsMax = 300;

/** Crashes at random calls of the disk. */
function troubleOf(seed: number): (call: DiskCall) => Fate {
  const random = new SeededRandom(seed + 1_000_000);
  return ({ operation }) => {
    const roll = random.below(1000);
    if (operation === "read" || operation === "open") return roll === 0 ? "crash" : undefined;
    if (roll < 8) return "crash";
    return roll < 20 ? "crash inside" : undefined;
  };
}

function lifeOf(seed: number, skip?: string): Life {
  const fate = troubleOf(seed);
  return new Life({ seed, starts: 6, steps: 60, fate, losesPower: true, ...(skip && { skip }) });
}

test("after crashes and power losses the tree holds the rows up to what it says", async () => {
  let calls = 0;
  await tryEach(seeds, import.meta.path, async (seed) => {
    const life = lifeOf(seed);
    await life.run();
    calls += life.calls;
  });
  say(`${seeds.length} seeds of 6 starts, ${calls} calls of the disk`);
}, 600_000);

/** Every sync that is needed. A new one must be added, and is then shown to be. */
const syncs = [
  "#writeTables: syncDirectory",
  "ensureDirectory: syncDirectory",
  "finish: sync",
  "open: syncDirectory",
  "replaceWhole: sync",
  "replaceWhole: syncDirectory",
];

/** Nothing rests on this one: `finish` syncs the same file again, before its name is given away. */
const early = "settle: sync";

test("the syncs that are shown to be needed are all there are, but one that is early", async () => {
  for (let seed = 1; seed <= 10; seed++) await lifeOf(seed).run();
  expect([...sites].sort()).toEqual([...syncs, early].sort());
});

test(`without ${early}, nothing is lost`, async () => {
  await tryEach(seedsUpTo(amount(100, 10, 2000)), import.meta.path, (seed) =>
    lifeOf(seed, early).run(),
  );
}, 600_000);

test.each(syncs)(
  "without %s, something durable is lost",
  async (skip) => {
    const lost = async (seed: number) =>
      await lifeOf(seed, skip)
        .run()
        .then(
          () => false,
          () => true,
        );
    let seed = 1;
    while (seed <= lackSeedsMax && !(await lost(seed))) seed++;
    say(`without ${skip}: lost with seed ${seed}`);
    expect(seed).toBeLessThanOrEqual(lackSeedsMax);
  },
  600_000,
);
