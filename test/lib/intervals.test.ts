import { expect, test } from "bun:test";
import { Intervals } from "../../src/lib/intervals.ts";
import { SeededRandom } from "../../src/lib/random.ts";

interface Interval {
  readonly start: string;
  readonly end: string | undefined;
  readonly value: number;
}

test("adding, removing and asking agree with a plain list, for 200 seeds", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const intervals = new Intervals<number>();
    const plain: Interval[] = [];
    const letter = () => String.fromCharCode(97 + random.below(12)) + (random.below(2) ? "x" : "");
    for (let step = 0; step < 120; step++) {
      const pick = random.below(10);
      if (pick < 5) {
        const interval = {
          start: letter(),
          end: random.below(5) === 0 ? undefined : letter(),
          value: random.below(40),
        };
        intervals.add(interval.start, interval.end, interval.value);
        if (!plain.some((other) => Bun.deepEquals(other, interval))) plain.push(interval);
      } else if (pick < 8) {
        const at = random.below(plain.length + 1);
        const gone = plain[at] ?? { start: "q", end: "r", value: -1 };
        intervals.remove(gone.start, gone.end, gone.value);
        plain.splice(at, 1);
      } else {
        const key = letter();
        const found: number[] = [];
        intervals.each(key, (value) => found.push(value));
        const expected = plain
          .filter(({ end, start }) => start <= key && (end === undefined || key < end))
          .map(({ value }) => value);
        expect({ seed, step, found: found.sort() }).toEqual({ seed, step, found: expected.sort() });
      }
      const different = new Set(plain.map(({ end, start }) => JSON.stringify([start, end])));
      expect(intervals.count).toBe(different.size);
      const [start, end] = [letter(), random.below(5) === 0 ? undefined : letter()];
      expect(intervals.has(start, end)).toBe(different.has(JSON.stringify([start, end])));
    }
  }
});

test("of twenty thousand intervals side by side, each key is in its own", () => {
  const intervals = new Intervals<number>();
  const name = (at: number) => at.toString().padStart(6, "0");
  for (let at = 0; at < 20_000; at++) intervals.add(name(2 * at), name(2 * at + 1), at);
  const found: number[] = [];
  for (let at = 0; at < 20_000; at++) intervals.each(name(2 * at), (value) => found.push(value));
  expect(found).toEqual(Array.from({ length: 20_000 }, (_, at) => at));
});
