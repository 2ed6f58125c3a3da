import { expect, test } from "bun:test";
import { createLogger, silent } from "../../src/lib/logger.ts";
import { Task, type TaskOptions } from "../../src/lib/task.ts";
import { SimClock } from "../sim/clock.ts";

function started(options: Partial<TaskOptions> & Pick<TaskOptions, "step">) {
  const clock = new SimClock();
  const failures: unknown[] = [];
  const task = new Task({
    name: "t",
    clock,
    logger: silent,
    retryable: () => false,
    fatal: (error) => failures.push(error),
    ...options,
  });
  return { clock, failures, task };
}

test("a task runs again after the time its step said", async () => {
  const rounds: number[] = [];
  const { clock, task } = started({
    step: () => {
      rounds.push(clock.now());
      return Promise.resolve(50);
    },
  });
  await clock.yield();
  await clock.advance(120);
  expect(rounds).toEqual([0, 50, 100]);
  await task.stop();
  await clock.advance(500);
  expect(rounds).toEqual([0, 50, 100]);
});

test("waking a task that rests makes it run at once, and one that runs makes it run again", async () => {
  let rounds = 0;
  const gate = Promise.withResolvers<void>();
  const { clock, task } = started({
    step: async () => {
      rounds++;
      if (rounds === 2) await gate.promise;
      return Number.POSITIVE_INFINITY;
    },
  });
  await clock.yield();
  expect(rounds).toBe(1);
  task.wake();
  await clock.yield();
  expect(rounds).toBe(2);
  task.wake();
  gate.resolve();
  await clock.yield();
  expect(rounds).toBe(3);
  await task.stop();
});

test("an error that may be retried is, with growing pauses, and success makes them short again", async () => {
  const rounds: number[] = [];
  let failing = 3;
  const { clock, failures, task } = started({
    retryable: () => true,
    step: () => {
      rounds.push(clock.now());
      return failing-- > 0 ? Promise.reject(new Error("full")) : Promise.resolve(1000);
    },
  });
  await clock.yield();
  await clock.advance(2000);
  expect(rounds).toEqual([0, 100, 300, 700, 1700]);
  expect(failures).toEqual([]);
  await task.stop();
});

test("any other error ends the task and is handed on once", async () => {
  let rounds = 0;
  const { clock, failures, task } = started({
    step: () => {
      rounds++;
      return Promise.reject(new Error("broken"));
    },
  });
  await clock.yield();
  await clock.advance(60_000);
  task.wake();
  await clock.yield();
  expect(rounds).toBe(1);
  expect(failures).toEqual([new Error("broken")]);
  await task.stop();
});

test("stopping waits for the round that runs and aborts its signal", async () => {
  const seen: boolean[] = [];
  const gate = Promise.withResolvers<void>();
  const { clock, task } = started({
    step: async (signal) => {
      await gate.promise;
      seen.push(signal.aborted);
      return 0;
    },
  });
  await clock.yield();
  const stopped = task.stop();
  gate.resolve();
  await stopped;
  expect(seen).toEqual([true]);
});

test("a round that fails because it is being stopped is no failure; what may not be retried is", async () => {
  for (const isRetryable of [true, false]) {
    const lines: string[] = [];
    const write = (text: string) => lines.push(text);
    const { clock, failures, task } = started({
      logger: createLogger({ level: "debug", format: "text", wall: () => 0, write }),
      retryable: () => isRetryable,
      step: (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new Error("get k failed: given up")));
        }),
    });
    await clock.yield();
    await task.stop();
    expect(lines).toEqual([]);
    expect(failures).toHaveLength(isRetryable ? 0 : 1);
  }
});
