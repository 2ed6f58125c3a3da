/**
 * The rules of who may lead, explored: every state of small scopes, walks through larger ones, and
 * every rule missed once. state.ts says what a state is and where each rule stands.
 *
 * T4_TEST_WHOLE=1 explores scopes that take minutes, and shows that each seeded bug's own scope is
 * clean without the bug.
 */
import { afterAll, expect, describe as group, test } from "bun:test";
import { deletedFence, type Seeded, seeded } from "./bugs.ts";
import { exhaustive, large, walked } from "./explored.ts";
import { describe, type Scope, scopeOf } from "./scope.ts";
import { play, search } from "./search.ts";
import { walk } from "./walk.ts";

const whole = process.env.T4_TEST_WHOLE === "1";
const timeoutMs = whole ? 60 * 60_000 : 60_000;

const sums = { states: 0, walks: 0, steps: 0, freshRuns: 0, restarts: 0, bugs: 0 };

afterAll(() => {
  say(
    `model: ${sums.states} states, ${sums.walks} walks of ${sums.steps} steps, ` +
      `${sums.freshRuns} lone runs of a fresh node, ${sums.restarts} of a restarted one, ` +
      `${sums.bugs} of ${seeded.length} seeded bugs caught`,
  );
});

group("in every state of", () => {
  const kinds = new Set<string>();
  for (const { name, bounds } of whole ? [...exhaustive, ...large] : exhaustive) {
    test(
      `${name}: nothing is lost, one history, no stale read, someone can lead`,
      () => {
        for (const kind of explore(scopeOf(bounds))) kinds.add(kind);
      },
      timeoutMs,
    );
  }

  test("all of them together, every kind of step was taken", () => {
    expect([...kinds].sort()).toEqual([...everyKind].sort());
  });
});

group("on random walks through", () => {
  for (const { name, bounds, walks, steps } of walked) {
    test(
      `${name}: nothing is lost, one history, no stale read, someone can lead`,
      () => {
        const scope = scopeOf(bounds);
        const found = walk(scope, walks[whole ? 1 : 0], steps);
        expect(found.violation ?? "", `seed ${found.seed}: ${found.trace.join("; ")}`).toBe("");
        sums.walks += found.walks;
        sums.steps += found.steps;
        sums.freshRuns += found.freshRuns;
        sums.restarts += found.restarts;
        say(
          `model: ${describe(scope)}: seeds 1 to ${found.walks}, ${found.steps} steps, ` +
            `${found.elections} elections, ${found.acked} acknowledged`,
        );
        expect(found.elections).toBeGreaterThan(found.walks);
      },
      timeoutMs,
    );
  }
});

group("the model catches a T4 in which", () => {
  for (const each of seeded) test(each.what, () => catches(each), timeoutMs);

  test("a deleted fence lets a late put be acknowledged against another history", () => {
    const bounds = { nodes: 2, writes: 3, terms: 2, versions: 3, slots: 4, gc: true } as const;
    const found = play(scopeOf({ ...bounds, bug: "fence deleted" }), deletedFence);
    expect(found.violation).toStartWith("two histories");
    expect(found.steps).toBe(deletedFence.length);
    const kept = play(scopeOf(bounds), deletedFence);
    expect(kept.stuck).toStartWith("delete 2;");
  });
});

/** Every kind of step there is. */
const everyKind = [
  "ack",
  "add",
  "answer",
  "append",
  "bucket joins",
  "bucket leaves",
  "candidate",
  "checkpoint",
  "commit",
  "crash",
  "delete",
  "evict",
  "find higher term",
  "head confirms",
  "head written",
  "heartbeat",
  "lose disk",
  "propose",
  "publish",
  "put data",
  "put fence",
  "put lands",
  "read answered",
  "read arrives",
  "read head",
  "require bucket",
  "send again",
  "sync",
  "upload history",
  "want bucket",
  "want no bucket",
];

/** Visits every state of `scope`; returns the kinds of steps that were taken. */
function explore(scope: Scope): ReadonlySet<string> {
  const found = search(scope);
  expect(found.violation ?? "", found.trace.join("; ")).toBe("");
  expect(found.complete).toBe(true);
  sums.states += found.states;
  sums.freshRuns += found.freshRuns;
  sums.restarts += found.restarts;
  say(
    `model: ${describe(scope)}: all ${found.states} states, depth ${found.depth}, ` +
      `${found.freshRuns} lone runs of a fresh node, ${found.restarts} of a restarted one`,
  );
  return found.kinds;
}

function catches({ bug, breaks, bounds, most, steps }: Seeded): void {
  const scope = scopeOf({ ...bounds, bug });
  const found = steps === undefined ? search(scope, most) : walk(scope, most, steps);
  expect(found.violation ?? "nothing found").toStartWith(breaks);
  sums.bugs++;
  const effort = "states" in found ? `${found.states} states` : `seed ${found.seed}`;
  say(`model: ${bug}: ${effort}, ${found.trace.length} steps: ${found.violation}`);
  if (!whole) return;
  const right = scopeOf(bounds);
  if (steps === undefined) explore(right);
  else expect(walk(right, most, steps).violation ?? "").toBe("");
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
