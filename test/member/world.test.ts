import { expect, test } from "bun:test";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { World } from "./world.ts";

const seeds = seedsUpTo(amount(150, 10, 3000));

async function lives(mode: "bucket" | "either"): Promise<void> {
  const sums: Record<string, number> = {};
  await tryEach(seeds, import.meta.path, async (seed) => {
    const world = new World({ seed, steps: 60, mode });
    await world.run();
    for (const [name, count] of Object.entries(world.counts)) {
      sums[name] = (sums[name] ?? 0) + count;
    }
  });
  say(`${seeds.length} seeds: ${JSON.stringify(sums)}`);
  expect(sums.acknowledged).toBeGreaterThan(seeds.length);
}

test("two machines on one prefix, whatever becomes of them and the bucket, lose nothing acknowledged", async () => {
  await lives("bucket");
}, 600_000);

test("one machine that waits for the bucket in some of its lives loses nothing acknowledged", async () => {
  await lives("either");
}, 600_000);
