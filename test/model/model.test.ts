/**
 * The rules of who may lead, explored: every state of small scopes, walks through larger ones, and
 * every rule missed once. state.ts says what a state is and where each rule stands.
 *
 * T4_TEST_WHOLE=1 explores scopes that take minutes, and shows that each seeded bug's own scope is
 * clean without the bug.
 */
import { afterAll, expect, describe as group, test } from "bun:test";
import { deletedFence, type Seeded, seeded } from "./bugs.ts";
import { describe, type Scope, scopeOf } from "./scope.ts";
import { play, search } from "./search.ts";
import { walk } from "./walk.ts";

const whole = process.env.T4_TEST_WHOLE === "1";
const timeoutMs = whole ? 60 * 60_000 : 60_000;

interface Explored {
  readonly name: string;
  readonly bounds: Partial<Scope>;
}

const gc = true;
const set: Partial<Scope> = { start: "set", peers: true, nodes: 2 };

/** Scopes of which every state is visited. */
const exhaustive: readonly Explored[] = [
  {
    name: "one node that crashes, loses its disk and deletes below checkpoints",
    bounds: {
      writes: 2,
      terms: 3,
      versions: 5,
      slots: 4,
      crashes: 1,
      disksLost: 1,
      duplicates: 1,
      gc,
    },
  },
  {
    name: "one node whose --wal-sync-upload goes to false and back",
    bounds: { writes: 2, terms: 3, versions: 7, slots: 4, crashes: 1, disksLost: 1, switches: 2 },
  },
  {
    name: "one node that starts with --wal-sync-upload=false and a second that waits",
    bounds: {
      start: "local",
      nodes: 2,
      writes: 2,
      terms: 2,
      versions: 4,
      slots: 4,
      disksLost: 1,
      switches: 1,
    },
  },
  {
    name: "one node with data that meets an empty prefix",
    bounds: {
      start: "adopt",
      writes: 2,
      terms: 3,
      versions: 8,
      slots: 5,
      crashes: 2,
      disksLost: 1,
      gc,
    },
  },
  {
    name: "two processes, the second on an empty disk, the first losing its own",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, disksLost: 1, gc },
  },
  {
    name: "two processes, the first coming back with its old disk",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, crashes: 1, gc },
  },
  {
    name: "two processes that take the prefix from each other",
    bounds: { nodes: 2, writes: 1, terms: 3, versions: 5, slots: 4, crashes: 1, disksLost: 1 },
  },
  {
    name: "two processes while one of them gives the bucket up",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 5, slots: 5, disksLost: 1, switches: 1 },
  },
  {
    name: "two processes created together on an empty prefix",
    bounds: { start: "empty", nodes: 2, writes: 1, terms: 3, versions: 5, slots: 4, crashes: 1 },
  },
  {
    name: "two processes on copies of one disk",
    bounds: { start: "copied", nodes: 2, writes: 1, terms: 3, versions: 5, slots: 5, crashes: 1 },
  },
  {
    name: "two nodes in a set without a bucket",
    bounds: { ...set, s3: false, writes: 2, terms: 3, versions: 5, crashes: 1 },
  },
  {
    name: "two nodes in a set without a bucket, one of which loses its disk",
    bounds: { ...set, s3: false, writes: 1, terms: 3, versions: 5, crashes: 1, disksLost: 1 },
  },
  {
    name: "two nodes in a set that the bucket may join",
    bounds: { ...set, writes: 1, terms: 2, versions: 3, slots: 2, gc },
  },
];

/** More of the same: minutes each. The first two are the scopes the protocol was first checked in. */
const large: readonly Explored[] = [
  {
    name: "two nodes without a bucket, four terms",
    bounds: { ...set, s3: false, writes: 2, terms: 4, versions: 6, crashes: 2 },
  },
  {
    name: "two nodes with the bucket, gc and a crash",
    bounds: { ...set, writes: 1, terms: 2, versions: 3, slots: 2, crashes: 1, gc },
  },
  {
    name: "one node, everything",
    bounds: {
      writes: 2,
      terms: 3,
      versions: 6,
      slots: 5,
      crashes: 2,
      disksLost: 1,
      duplicates: 1,
      gc,
    },
  },
  {
    name: "one node that switches twice",
    bounds: { writes: 2, terms: 3, versions: 9, slots: 5, crashes: 2, disksLost: 1, switches: 2 },
  },
  {
    name: "two processes, three terms, gc and a put executed twice",
    bounds: { nodes: 2, writes: 2, terms: 3, versions: 5, slots: 6, duplicates: 1, gc },
  },
  {
    name: "two processes, crash, lost disk and gc",
    bounds: { nodes: 2, writes: 2, terms: 2, versions: 3, slots: 5, crashes: 1, disksLost: 1, gc },
  },
  {
    name: "two processes on an empty prefix, two writes",
    bounds: { start: "empty", nodes: 2, writes: 2, terms: 3, versions: 5, slots: 5, crashes: 1 },
  },
];

/** Scopes walked through at random: name, bounds, walks here, walks in the whole test, steps each. */
const walked: readonly (Explored & { readonly walks: readonly [number, number]; steps: number })[] =
  [
    {
      name: "one node, everything",
      bounds: {
        writes: 4,
        terms: 6,
        versions: 14,
        slots: 12,
        crashes: 4,
        disksLost: 3,
        switches: 3,
        duplicates: 2,
        gc,
      },
      walks: [1000, 40_000],
      steps: 200,
    },
    {
      name: "two processes, everything",
      bounds: {
        nodes: 2,
        writes: 3,
        terms: 4,
        versions: 9,
        slots: 8,
        crashes: 3,
        disksLost: 2,
        switches: 2,
        duplicates: 2,
        gc,
      },
      walks: [1000, 60_000],
      steps: 150,
    },
    {
      name: "three processes, two of them on copies of the first one's disk",
      bounds: {
        start: "copied",
        nodes: 3,
        writes: 3,
        terms: 5,
        versions: 10,
        slots: 8,
        crashes: 3,
        duplicates: 2,
        gc,
      },
      walks: [500, 20_000],
      steps: 180,
    },
    {
      name: "two nodes with the bucket",
      bounds: { ...set, writes: 3, terms: 4, versions: 9, slots: 7, crashes: 3, disksLost: 1, gc },
      walks: [1000, 60_000],
      steps: 150,
    },
    {
      name: "three nodes with the bucket",
      bounds: {
        ...set,
        nodes: 3,
        writes: 3,
        terms: 4,
        versions: 10,
        slots: 7,
        crashes: 3,
        disksLost: 1,
        gc,
      },
      walks: [700, 25_000],
      steps: 180,
    },
  ];

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
    const bounds = { nodes: 2, writes: 3, terms: 2, versions: 3, slots: 4, gc } as const;
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
  "put data",
  "put fence",
  "put lands",
  "read answered",
  "read arrives",
  "read head",
  "require bucket",
  "send again",
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
