/** Whatever was answered is there after kill -9, at any moment; and nothing else is. */
import { expect, test } from "bun:test";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { checkDirectory } from "../support/check.ts";
import { failureOf, say, whole } from "../support/effort.ts";
import { temporaryDirectory } from "../support/t4.ts";
import { Life, type Moment } from "./life.ts";

const rounds = whole ? 1000 : 60;
const seed = Number(process.env.T4_TEST_SEED ?? 1);

const moments: readonly Moment[] = [
  "answering",
  "answering",
  "making a table",
  "making a table",
  "making a segment",
];

/** Runs `body` with a life of its own; a failure tells the seed. */
async function live(seed: number, body: (life: Life, random: Random) => Promise<void>) {
  using directory = temporaryDirectory();
  const random = new SeededRandom(seed);
  const life = new Life(directory.path, random);
  try {
    await body(life, random);
  } catch (error) {
    say(`${life.counts.starts} starts`);
    throw failureOf(seed, import.meta.path, error);
  }
  expect(await checkDirectory(directory.path)).toEqual([]);
  say(`${JSON.stringify(life.counts)} ${JSON.stringify(life.history.counts)}`);
}

test(
  `${rounds} times kill -9: everything answered is there, and nothing else`,
  async () => {
    await live(seed, async (life, random) => {
      for (let round = 0; round < rounds; round++) {
        for (let early = random.below(4) - 1; early > 0; early--) await life.startAndDie();
        await using t4 = await life.start();
        const moment = moments[random.below(moments.length)] ?? "answering";
        await life.load(t4, "SIGKILL", () => life.comes(moment));
        await life.check();
      }
      await using t4 = await life.start();
      t4.signal("SIGTERM");
      expect(await t4.exited).toBe(143);
      expect(life.counts.halfMadeTables).toBeGreaterThan(0);
      expect(life.history.counts.lostAndDone).toBeGreaterThan(0);
    });
  },
  rounds * 20_000,
);

test("SIGTERM under load, with a watch open, ends it in order and loses nothing", async () => {
  await live(seed, async (life) => {
    for (let round = 0; round < 4; round++) {
      await using t4 = await life.start();
      expect(await life.load(t4, "SIGTERM", () => life.comes("answering"))).toBe(143);
      await life.check();
    }
    await using _ = await life.start();
  });
}, 120_000);
