/**
 * Streams of requests to a real etcd and to the compiled program, in step: every field of every
 * response, every code and text, every event. Written-down cases first, against this machine's etcd
 * and the newest that could be had; then random operations, against the newest:
 *
 *   T4_TEST_SEED=7 T4_TEST_OPERATIONS=50000 bun test test/compat/differential.test.ts
 *   T4_TEST_ORACLE=own …        this machine's etcd alone; newest: the newest that could be had
 *   T4_TEST_SHRINK=1 …          looks for the fewest operations that make a failure
 */
import { expect, test } from "bun:test";
import { op, put, range, txn } from "../api/requests.ts";
import { etcdTools, newestEtcdTools } from "../setup/etcd.ts";
import { startT4, temporaryDirectory } from "../support/t4.ts";
import { Arena } from "./arena.ts";
import { cases } from "./cases.ts";
import { type Difference, differences, isOlder } from "./differences.ts";
import { Generator } from "./generator.ts";
import { brief, Mismatch } from "./mismatch.ts";
import type { MethodName, Operation } from "./operation.ts";
import { shrink } from "./shrink.ts";
import { Side } from "./side.ts";
import { watchCases } from "./watch-cases.ts";

const whole = process.env.T4_TEST_WHOLE === "1";
const seed = Number(process.env.T4_TEST_SEED ?? 1);
const operations = Number(process.env.T4_TEST_OPERATIONS ?? (whole ? 200_000 : 20_000));
const oracle = process.env.T4_TEST_ORACLE;
const tools = oracle === "own" ? etcdTools() : newestEtcdTools();
/** One etcd of each version there is, the older one first. */
const oracles =
  oracle === undefined && etcdTools().version !== tools.version ? [etcdTools(), tools] : [tools];
const all = [...cases, ...watchCases];
const met = new Map<Difference, number>();

test.each(oracles)(
  `${all.length} cases are answered as by etcd $version`,
  async (tools) => {
    await using arena = await Arena.open(tools);
    for (const { name, steps } of all) {
      await run(arena, name, steps(arena.world));
      await run(arena, name, [{ kind: "fence" }]);
    }
    print("cases", arena);
  },
  600_000,
);

test.each(oracles)(
  "a quiet watch is told how far it is as by etcd $version",
  async (tools) => {
    const interval = "watch-progress-notify-interval=100ms";
    const flags = { t4: [`--${interval}`], etcd: [`--experimental-${interval}`] };
    await using arena = await Arena.open(tools, flags);
    const key = Buffer.from("a");
    await run(arena, "quiet watches", [
      { kind: "watch", stream: 0, request: { key } },
      { kind: "watch", stream: 0, request: { key, progressNotify: true } },
      { kind: "watch", stream: 0, request: { key, progressNotify: true, startRevision: 99 } },
      { kind: "notified", stream: 0, id: 1n },
      { kind: "call", method: "Put", request: { key } },
      { kind: "settle" },
      { kind: "notified", stream: 0, id: 1n },
    ]);
  },
  60_000,
);

test("what an etcd may die of is refused, and leaves no trace", async () => {
  using directory = temporaryDirectory();
  await using server = await startT4(`${directory.path}/data`);
  const side = await Side.connect("t4", Number(server.endpoint.split(":")[1]));
  const send = async (request: object, method: MethodName = "Txn") => {
    const { code, message, response } = await side.call({ kind: "call", method, request });
    return { code, message, revision: response?.header.revision };
  };
  await send(put("k", "1"), "Put");
  const refused = { code: 3, message: "etcdserver: key not found", revision: undefined };
  for (const kept of [{ ignoreValue: true }, { ignoreLease: true }]) {
    const change = [op.put("other", "1"), op.delete("a", "\0"), op.put("k", "", kept)];
    expect(await send(txn({ success: change }))).toEqual(refused);
    const nested = [op.txn(txn({ success: change.slice(0, 2) })), ...change.slice(2)];
    expect(await send(txn({ success: nested }))).toEqual(refused);
  }
  const unknown = { sortTarget: 9 as 0 };
  const message = "etcdserver: invalid sort option";
  expect(await send(range("k", "", unknown), "Range")).toEqual({ ...refused, message });
  expect(await send(txn({ failure: [op.range("k", "", unknown)] }))).toEqual({
    ...refused,
    message,
  });
  expect(
    await side.call({ kind: "call", method: "Range", request: range("\0", "\0") }),
  ).toMatchObject({
    response: { header: { revision: 2 }, kvs: [{ key: "k", value: "1" }], count: 1 },
  });
  side.close();
}, 60_000);

test(`${operations} operations are answered as by etcd ${tools.version} (seed ${seed})`, async () => {
  await using arena = await Arena.open(tools);
  await run(arena, `seed ${seed}`, random(arena));
  print(`seed ${seed}`, arena);
}, 3_600_000);

test("every known difference was met", () => {
  const applicable = differences.filter(({ changedIn }) =>
    oracles.some(({ version }) => isOlder(version, changedIn)),
  );
  for (const known of applicable) say(`  ${met.get(known) ?? 0} × ${known.what}: ${known.why}`);
  expect(applicable.filter((known) => !met.has(known))).toEqual([]);
  expect(differences.length).toBeLessThanOrEqual(30);
});

async function* random(arena: Arena): AsyncIterable<Operation> {
  const generator = new Generator(seed, arena.world, arena.streams);
  while (arena.sent < operations) {
    const operation = generator.operation();
    if (!(await arena.diverges(operation))) yield operation;
  }
  yield { kind: "fence" };
}

/** Runs operations up to the first that the servers do not agree on, and tells of that. */
async function run(
  arena: Arena,
  name: string,
  steps: Iterable<Operation> | AsyncIterable<Operation>,
): Promise<void> {
  const done: Operation[] = [];
  try {
    for await (const operation of steps) {
      done.push(operation);
      await arena.run(operation);
    }
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    throw new Error(await reportOf(name, done, error, arena));
  }
  for (const [known, count] of arena.met) met.set(known, (met.get(known) ?? 0) + count);
  arena.met.clear();
}

async function reportOf(
  name: string,
  done: readonly Operation[],
  error: Mismatch,
  { sent, tools }: Arena,
) {
  const last = done.slice(-6, -1).map((operation) => `\n  after ${brief(operation)}`);
  const lines = [
    "",
    `${name}, operation ${done.length}: ${brief(done.at(-1))}${last.join("")}`,
    error.message,
    `again: T4_TEST_ORACLE=${tools.version === etcdTools().version ? "own" : "newest"} \\`,
    `  T4_TEST_SEED=${seed} T4_TEST_OPERATIONS=${sent + 1} \\`,
    "  bun test test/compat/differential.test.ts; with T4_TEST_SHRINK=1 for fewer operations",
  ];
  if (process.env.T4_TEST_SHRINK === "1") {
    lines.push("these do as well:", ...(await shrink(tools, done)).map(brief));
  }
  return lines.join("\n");
}

/** What was done and seen. */
function print(name: string, arena: Arena): void {
  const counts = (all: ReadonlyMap<string, number>) =>
    [...all].sort(([, a], [, b]) => b - a).map(([what, count]) => `    ${count} ${what}`);
  const { sent, version, world } = arena;
  say(`etcd ${version}, ${name}, revision ${world.revision}\n  operations sent: ${sent}`);
  for (const line of counts(arena.calls)) say(line);
  say("  refusals");
  for (const line of counts(arena.refusals)) say(line);
  say(`  events compared: ${arena.eventsCompared}, in fragments: ${arena.fragmentsSeen}`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
