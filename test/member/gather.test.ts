/** Who shares a sync, turn by turn. */
import { expect, test } from "bun:test";
import { gather } from "../../src/member/gather.ts";

const fewMax = 20;

/**
 * How many turns pass, of `turnMs` each, when so many callers wait after each; the last number stays.
 */
async function turnsOf(waiting: readonly number[], expected: number, turnMs = 0): Promise<number> {
  let turns = 0;
  const clock = {
    now: () => turns * turnMs,
    yield: () => {
      turns++;
      return Promise.resolve();
    },
  };
  const now = () => waiting[Math.min(turns, waiting.length - 1)] as number;
  await gather(clock, now, expected, fewMax);
  return turns;
}

test("a caller who is alone is written after one turn", async () => {
  expect(await turnsOf([1], 0)).toBe(1);
  expect(await turnsOf([1], 1)).toBe(1);
});

test("callers who come with every turn are taken along, whatever was expected", async () => {
  expect(await turnsOf([1, 2, 3, 4], 0)).toBe(4);
});

test("those who are expected are waited for over turns that bring nobody", async () => {
  expect(await turnsOf([3, 3, 3, 3, 7, 7, 7, 16], 16)).toBe(8);
  expect(await turnsOf([16], 16)).toBe(1);
});

test("those who do not come again are not waited for for long", async () => {
  expect(await turnsOf([3], 16)).toBe(32);
  const slow = [...Array<number>(30).fill(3), ...Array<number>(30).fill(4), 5];
  expect(await turnsOf(slow, 16)).toBe(60 + 32);
});

test("nor for many turns where these are long", async () => {
  expect(await turnsOf([3], 16, 2)).toBe(1);
  expect(await turnsOf([3], 16, 0.09)).toBe(3);
  expect(await turnsOf([3, 3, 4], 16, 0.15)).toBe(4);
});

test("where there are many nobody is waited for", async () => {
  expect(await turnsOf([fewMax], 100)).toBe(0);
  expect(await turnsOf([3, fewMax + 5], 100)).toBe(1);
});
