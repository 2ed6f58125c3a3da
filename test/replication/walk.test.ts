import { expect, test } from "bun:test";
import type { Bug } from "./process.ts";
import { say, whole } from "./rig.ts";
import { type WalkResult, walk } from "./walk.ts";

const seeds = whole ? 6000 : 250;

test("leaders on one bucket never acknowledge two histories, and none of them is lost", async () => {
  const total = { acknowledged: 0, terms: 0, lateWrites: 0, superseded: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    const result = await walk(seed);
    for (const name of Object.keys(total) as (keyof WalkResult)[]) total[name] += result[name];
  }
  say(`walks: ${seeds} seeds, ${JSON.stringify(total)}`);
  expect(total.acknowledged).toBeGreaterThan(seeds);
  expect(total.lateWrites).toBeGreaterThan(seeds);
  expect(total.superseded).toBeGreaterThan(seeds / 4);
}, 300_000);

const bugs: readonly Bug[] = ["puts no fence", "replays before its fence", "gc removes fences"];

for (const bug of bugs) {
  test(`a node that ${bug} is found out`, async () => {
    for (let seed = 1; seed <= 3000; seed++) {
      try {
        await walk(seed, bug);
      } catch (error) {
        expect((error as Error).message).toMatch(/acknowledged as|is damaged/);
        say(`walks: "${bug}" found with seed ${seed}: ${(error as Error).message}`);
        return;
      }
    }
    throw new Error("nobody noticed");
  }, 300_000);
}
