/** Whatever sync() has acknowledged survives the loss of power, at any moment. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { DiskCall } from "../sim/disk.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { type Fate, Life, sites } from "./life.ts";

const seeds = seedsUpTo(amount(1_500, 100, 20_000));
const lackSeedsMax = 1_500;
const starts = 6;

/** Crashes at random calls, and now and then an error of the disk. */
function troubleOf(seed: number): (number: number, call: DiskCall) => Fate {
  const random = new SeededRandom(seed + 1_000_000);
  return (_, { operation }) => {
    const roll = random.below(400);
    if (roll < 8) return "crash";
    if (roll < 12 || (roll < 28 && operation.startsWith("sync"))) return "crash inside";
    if (roll === 30) return "EIO";
    if (roll === 31 || (roll < 44 && operation === "write")) return "ENOSPC";
    return undefined;
  };
}

function lifeOf(seed: number, skip?: string): Life {
  const fate = troubleOf(seed);
  return new Life({ seed, starts, fate, losesPower: true, ...(skip && { skip }) });
}

test("every acknowledged entry is there after crashes and power losses", async () => {
  let calls = 0;
  await tryEach(seeds, import.meta.path, async (seed) => {
    const life = lifeOf(seed);
    await life.run();
    calls += life.calls;
  });
  say(`${seeds.length} seeds of ${starts} starts, ${calls} calls of the disk`);
}, 600_000);

/** Every sync of the room. A new one must be added, and is then shown to be needed. */
const syncs = [
  "#append: sync",
  "#rotate: sync",
  "#rotate: syncDirectory",
  "ensureDirectory: syncDirectory",
  "makeActive: sync",
  "makeActive: syncDirectory",
];

/** Safety does not need it: the sync of a frame makes all of its file durable. */
const forSpeed = ["#make: sync"];

test("the syncs that are shown to be needed are all there are", async () => {
  for (let seed = 1; seed <= 30; seed++) await lifeOf(seed).run();
  expect([...sites].sort()).toEqual([...syncs, ...forSpeed].sort());
});

test.each(syncs)(
  "without %s, something acknowledged is lost",
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
