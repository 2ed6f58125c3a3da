import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { RetryingStore, type RetryLimits, retryLimits } from "../../src/object/retrying.ts";
import { ObjectError, type ObjectStore } from "../../src/object/store.ts";
import { SimClock } from "../sim/clock.ts";
import { kindOf, objectContract } from "./contract.ts";
import { say } from "./rig.ts";
import { type Fault, faults, type Script, ScriptedStore } from "./script.ts";

/** Pauses take no time to wait for, and the end of an attempt's time never comes. */
class PauseClock {
  #now = 0;
  now(): number {
    return this.#now;
  }
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    // Only an attempt's time can be cut short.
    if (signal !== undefined) {
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
    }
    this.#now += milliseconds;
    return Promise.resolve();
  }
}

function retrying(store: ObjectStore, limits: Partial<RetryLimits> = {}): RetryingStore {
  const clock = new PauseClock();
  const random = new SeededRandom(1);
  return new RetryingStore(store, { clock, random, limits: { ...retryLimits, ...limits } });
}

objectContract("with retries", () => ({
  store: retrying(new MemoryStore()),
  knowsItsBytes: true,
}));

/** Every sequence of `length` faults. */
function sequences(length: number): Fault[][] {
  if (length === 0) return [[]];
  return sequences(length - 1).flatMap((rest) => faults.map((fault) => [...rest, fault]));
}

const readPlans = [[], [0], [1], [0, 1]];

test("whatever happens to three attempts and a rival, a conditional write is never misjudged", async () => {
  const counts = new Map<string, number>();
  for (const writes of sequences(3)) {
    for (const failedReads of readPlans) {
      for (const rivalAt of [undefined, 0, 1, 2, 3]) {
        for (const operation of ["putIfAbsent", "putIfMatch"] as const) {
          const outcome = await judged(operation, { writes, failedReads }, rivalAt);
          counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
        }
      }
    }
  }
  const total = faults.length ** 3 * readPlans.length * 5 * 2;
  expect([...counts.values()].reduce((sum, count) => sum + count, 0)).toBe(total);
  expect([...counts.keys()].toSorted()).toEqual(["lost", "won"]);
  say(`${total} conditional writes: ${[...counts].map((each) => each.join(" ")).join(", ")}`);
}, 60_000);

/** Makes one write against a rival that writes before the attempt `rivalAt`; checks the answer. */
async function judged(
  operation: "putIfAbsent" | "putIfMatch",
  script: Script,
  rivalAt: number | undefined,
): Promise<string> {
  let tag = "";
  let rivalWon = false;
  const rival = async (memory: MemoryStore) => {
    // The rival keeps to the rules: it writes over what it saw.
    const seen = await memory.get("head");
    const bytes = Buffer.from("rival");
    const won = seen
      ? await memory.putIfMatch("head", bytes, seen.tag)
      : await memory.putIfAbsent("head", bytes);
    rivalWon = won !== undefined;
  };
  const scripted = new ScriptedStore({
    ...script,
    meanwhile: (write, memory) => (write === rivalAt ? rival(memory) : undefined),
  });
  if (operation === "putIfMatch") tag = await scripted.memory.put("head", Buffer.from("before"));
  const store = retrying(scripted);
  const bytes = Buffer.from("ours, nonce 1");
  const answer = await (operation === "putIfAbsent"
    ? store.putIfAbsent("head", bytes)
    : store.putIfMatch("head", bytes, tag));
  const ours = scripted.written.length;
  const now = (await scripted.memory.get("head"))?.bytes.toString();
  // It is written once, however often it was sent.
  const isTrue =
    answer === undefined
      ? ours <= 1 && rivalWon && now === "rival"
      : ours === 1 && now === "ours, nonce 1";
  if (!isTrue) {
    const about = { ...script, rivalAt, answer, ours, rivalWon, now };
    throw new Error(`${operation} was misjudged: ${JSON.stringify(about)}`);
  }
  return answer === undefined ? "lost" : "won";
}

test("puts, deletes, gets and lists are made again until they work", async () => {
  for (const writes of sequences(2)) {
    const scripted = new ScriptedStore({ writes, failedReads: [0, 1] });
    const store = retrying(scripted);
    await store.put("k", Buffer.from("x"));
    expect((await store.get("k"))?.bytes.toString()).toBe("x");
    await store.delete("k");
    expect(scripted.memory.keys()).toEqual([]);
  }
});

test("a write that is not resolved when time is up is unknown, and says why", async () => {
  for (const operation of ["put", "delete", "putIfAbsent", "putIfMatch"] as const) {
    const scripted = new ScriptedStore({ writes: Array.from({ length: 99 }, () => "before") });
    const store = retrying(scripted, { deadlineMs: 3_000, attemptMs: 10_000 });
    const tag = await scripted.memory.put("there", Buffer.from("before"));
    const call = {
      put: () => store.put("k", Buffer.from("x")),
      delete: () => store.delete("there"),
      putIfAbsent: () => store.putIfAbsent("k", Buffer.from("x")),
      putIfMatch: () => store.putIfMatch("there", Buffer.from("x"), tag),
    }[operation];
    const error = await call().then(
      () => undefined,
      (thrown: unknown) => thrown as ObjectError,
    );
    expect([operation, error?.kind]).toEqual([operation, "unknown"]);
    expect(error?.message).toContain("by plan: unknown");
  }
});

test("409 until time is up is a conflict: nothing was written", async () => {
  const scripted = new ScriptedStore({ writes: Array.from({ length: 99 }, () => "conflict") });
  const store = retrying(scripted, { deadlineMs: 3_000 });
  expect(await kindOf(store.putIfAbsent("k", Buffer.from("x")))).toBe("conflict");
  expect(scripted.written).toEqual([]);
  expect(scripted.reads).toBe(0);
});

test("what another attempt cannot get over ends the call at once", async () => {
  for (const kind of ["denied", "noBucket", "full", "invalid"] as const) {
    const store = new MemoryStore();
    let calls = 0;
    const fail = () => {
      calls++;
      return Promise.reject(new ObjectError(kind, "put", "k", "by plan"));
    };
    Object.assign(store, { put: fail, putIfAbsent: fail, get: fail, list: fail });
    const kinds = [
      await kindOf(retrying(store).put("k", Buffer.from("x"))),
      await kindOf(retrying(store).putIfAbsent("k", Buffer.from("x"))),
      await kindOf(retrying(store).get("k")),
      await kindOf(retrying(store).list("")),
    ];
    expect([kinds, calls]).toEqual([[kind, kind, kind, kind], 4]);
  }
});

test("a refusal after an attempt that may have written does not pass for 'nothing was written'", async () => {
  for (const operation of ["put", "putIfAbsent"] as const) {
    const store = new MemoryStore();
    let calls = 0;
    const fail = () =>
      Promise.reject(
        new ObjectError(calls++ === 0 ? "unknown" : "denied", "put", "k", "expired token"),
      );
    Object.assign(store, { put: fail, putIfAbsent: fail, get: fail });
    const call = retrying(store)[operation]("k", Buffer.from("x"));
    await expect(call).rejects.toMatchObject({
      kind: "unknown",
      message: expect.stringContaining("expired token"),
    });
  }
});

test("an attempt that is not answered ends in time, more of it for more bytes", async () => {
  const clock = new SimClock();
  const sent: number[] = [];
  const store = new MemoryStore();
  Object.assign(store, {
    put: () => {
      sent.push(clock.now());
      return new Promise(() => undefined);
    },
  });
  const limits = { ...retryLimits, attemptMs: 1_000, bytesPerSecond: 1_000, deadlineMs: 3_500 };
  const slow = new RetryingStore(store, { clock, random: new SeededRandom(1), limits });
  const calls = Promise.all([
    kindOf(slow.put("k", Buffer.alloc(0))),
    kindOf(slow.put("k", Buffer.alloc(5_000))),
  ]);
  let settled = false;
  void calls.then(() => {
    settled = true;
  });
  while (!settled) {
    await clock.advance(1);
    await clock.yield();
  }
  expect(await calls).toEqual(["unknown", "unknown"]);
  // The small one began at 0, 1, 2 and 3 s and ended at 3.5 s; the large one at 0 and 6 s, until 8.5 s.
  expect(sent.length).toBe(6);
  expect(Math.round(clock.now() / 500)).toBe(17);
});

test("a caller that gives up is answered at once, and nothing is sent any more", async () => {
  const clock = new SimClock();
  const scripted = new ScriptedStore({ writes: Array.from({ length: 99 }, () => "before") });
  const store = new RetryingStore(scripted, { clock, random: new SeededRandom(1) });
  const given = new AbortController();
  const call = kindOf(store.putIfAbsent("k", Buffer.from("x"), { signal: given.signal }));
  while (scripted.reads < 1) await clock.yield();
  given.abort();
  expect(await call).toBe("unknown");
  const { writes } = scripted;
  await clock.advance(100_000);
  expect([scripted.writes, writes]).toEqual([1, 1]);
});

test("a store that has never answered is given up sooner, and the error says where it is", async () => {
  const memory = new MemoryStore();
  let isAway = true;
  const flaky = new Proxy(memory, {
    get: (target, name) =>
      name === "get"
        ? (key: string) =>
            isAway
              ? Promise.reject(new ObjectError("unknown", "get", key, "it is away"))
              : target.get(key)
        : Reflect.get(target, name, target),
  });
  const clock = new PauseClock();
  const limits = { ...retryLimits, firstDeadlineMs: 10_000 };
  const store = new RetryingStore(flaky, { clock, random: new SeededRandom(1), limits });
  const seconds = async () => {
    const start = clock.now();
    await expect(store.get("k")).rejects.toThrow("it is away");
    return (clock.now() - start) / 1000;
  };
  const first = await seconds();
  isAway = false;
  await store.get("k");
  isAway = true;
  const later = await seconds();
  expect([first > 4 && first < 10, later > 50 && later < 60]).toEqual([true, true]);
});

test("a store that says nothing at all is named in the error", async () => {
  const clock = new SimClock();
  const silent = new Proxy(new MemoryStore(), {
    get: (target, name) =>
      name === "get" ? () => new Promise(() => {}) : Reflect.get(target, name, target),
  });
  const store = new RetryingStore(silent, { clock, random: new SeededRandom(1) });
  const failure = store.get("db/k").catch((error: Error) => error.message);
  await clock.advance(61_000);
  expect(await failure).toMatch(/^get memory:db\/k failed: no answer within /);
});
