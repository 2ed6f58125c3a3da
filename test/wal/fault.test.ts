/** Whatever call of the disk goes wrong, and however: nothing acknowledged is lost or doubled. */
import { describe, expect, test } from "bun:test";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { type Fate, Life } from "./life.ts";

const seeds = seedsUpTo(amount(4, 1, 60));
const starts = 3;
/** The process dies at every so many calls, so that the same calls come again after a start. */
const lifeCalls = 60;

const troubles: readonly Fate[] = ["EIO", "ENOSPC", "EDQUOT", "crash", "crash inside"];

function lifeOf(seed: number, losesPower: boolean, at?: number, trouble?: Fate): Life {
  const fate = (number: number): Fate => {
    if (number === at) return trouble;
    return number % lifeCalls === 0 ? "crash" : undefined;
  };
  return new Life({ seed, starts, losesPower, fate });
}

describe.each([
  { losesPower: false, next: "the process dies" },
  { losesPower: true, next: "the power goes" },
])("when later $next", ({ losesPower }) => {
  test.each(troubles)(
    "%s at any call of the disk loses and doubles nothing",
    async (trouble) => {
      let tried = 0;
      await tryEach(seeds, import.meta.path, async (seed) => {
        const quiet = lifeOf(seed, losesPower);
        await quiet.run();
        for (let at = 1; at <= quiet.calls; at++) {
          await lifeOf(seed, losesPower, at, trouble)
            .run()
            .catch((error) => {
              throw new Error(`${trouble} at call ${at}: ${error.message}`, { cause: error });
            });
          tried++;
        }
      });
      expect(tried).toBeGreaterThan(seeds.length * lifeCalls);
      say(`${trouble} at ${tried} calls`);
    },
    600_000,
  );
});
