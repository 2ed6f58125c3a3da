import { expect, test } from "bun:test";
import { Queue } from "../../src/lib/queue.ts";
import { SeededRandom } from "../../src/lib/random.ts";

test("a queue gives back what it was given, in order", () => {
  const random = new SeededRandom(1);
  const queue = new Queue<number>();
  const model: number[] = [];
  for (let step = 0; step < 20_000; step++) {
    // Grows for a while, then shrinks.
    if (random.below(10) < (step % 4000 < 2000 ? 7 : 2)) {
      queue.push(step);
      model.push(step);
    } else expect(queue.shift()).toBe(model.shift() as number);
    expect(queue.length).toBe(model.length);
    expect(queue.peek()).toBe(model[0] as number);
  }
  queue.clear();
  expect([queue.length, queue.peek(), queue.shift()]).toEqual([0, undefined, undefined]);
});
