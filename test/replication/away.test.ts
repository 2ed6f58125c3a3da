/** A leader whose bucket does not answer, or refuses: it waits, says so, and goes on by itself. */
import { expect, test } from "bun:test";
import type { Counter } from "../../src/lib/meter.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { termOf } from "../../src/model/revision.ts";
import { logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { ObjectError, type ObjectErrorKind } from "../../src/object/store.ts";
import { Archive, emptyLog, putFence } from "../../src/replication/archive.ts";
import { takeThroughBucket, writeHead } from "../../src/replication/lock.ts";
import { SimClock } from "../sim/clock.ts";
import { type Fault, FaultyStore } from "../sim/store.ts";
import { batchAfter, cluster, objectAt, origin, seeded } from "./rig.ts";

class Count implements Counter {
  value = 0;
  add(amount: number): void {
    this.value += amount;
  }
}

/** A leader on a clock that the test moves, in front of a bucket that does what `weather` says. */
async function leader() {
  const weather: { now: Fault } = { now: "none" };
  const clock = new SimClock();
  const bucket = new MemoryStore();
  const store = new FaultyStore(bucket, { plan: () => weather.now });
  const reign = { store, cluster, term: termOf(1), writer: 1n };
  const end = await putFence(reign, emptyLog(), seeded(1));
  const [uploads, errors] = [new Count(), new Count()];
  const seconds: number[] = [];
  const meters = {
    uploads,
    errors,
    seconds: { observe: (value: number) => void seconds.push(value) },
  };
  const archive = new Archive({ ...reign, end, clock, random: new SeededRandom(1), meters });
  return { archive, bucket, clock, store, weather, uploads, errors, seconds };
}

async function pass(clock: SimClock, milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 100) {
    await clock.advance(100);
    for (let turn = 0; turn < 5; turn++) await clock.yield();
  }
}

test("a put waits while the bucket is away, says since when, and is one object in the end", async () => {
  for (const fault of ["timeout", "throttled", "conflict", "lost", "late"] as const) {
    const { archive, bucket, clock, errors, seconds, store, uploads, weather } = await leader();
    await pass(clock, 500);
    expect([archive.awaySince, archive.pendingSince]).toEqual([undefined, undefined]);
    weather.now = fault;
    const put = archive.put([batchAfter(origin, 1, 2)]);
    await pass(clock, 60_000);
    expect(archive.pendingSince).toBe(500);
    expect(archive.awaySince).toBeLessThan(700);
    expect([archive.end.seq, archive.objects, uploads.value]).toEqual([1, 0, 0]);
    // A second apart, two calls each; the first tries are closer.
    expect(errors.value).toBeGreaterThan(100);
    expect(errors.value).toBeLessThan(220);
    weather.now = "none";
    await pass(clock, 2000);
    await put;
    expect([archive.awaySince, archive.pendingSince]).toEqual([undefined, undefined]);
    expect([archive.end.seq, archive.objects, uploads.value]).toEqual([2, 1, 1]);
    expect(archive.end.position).toEqual(batchAfter(origin, 1, 2).end);
    expect(seconds[0]).toBeGreaterThan(59);
    const { hash } = await objectAt(bucket, 2);
    for (const call of [...store.late]) await call.execute();
    expect(archive.end.hash).toBe(hash);
    expect((await objectAt(bucket, 2)).hash).toBe(hash);
    expect(bucket.keys("wal/")).toEqual([1, 2].map(logKey));
  }
});

test("a put that waits for the bucket can be given up", async () => {
  const { archive, clock, weather } = await leader();
  weather.now = "timeout";
  const put = archive.put([batchAfter(origin, 1, 2)]).catch((error: Error) => error.name);
  await pass(clock, 5000);
  archive.stop();
  expect(await put).toBe("StoppedError");
});

/** A bucket that refuses each call for a while. */
class Refusing extends MemoryStore {
  kind: ObjectErrorKind | undefined;
  override putIfAbsent(key: string, bytes: Uint8Array): Promise<string | undefined> {
    if (this.kind === undefined) return super.putIfAbsent(key, bytes);
    return Promise.reject(new ObjectError(this.kind, "put", key, "access denied"));
  }
}

test("credentials that expire stop a leader's puts until they are renewed, and a start at once", async () => {
  for (const kind of ["denied", "noBucket", "full", "invalid"] as const) {
    const store = new Refusing();
    const reign = { store, cluster, term: termOf(1), writer: 1n };
    const end = await putFence(reign, emptyLog(), seeded(1));
    const clock = new SimClock();
    const count = new Count();
    const meters = { uploads: count, errors: count, seconds: { observe: () => undefined } };
    const archive = new Archive({ ...reign, end, clock, random: new SeededRandom(1), meters });
    store.kind = kind;
    const put = archive.put([batchAfter(origin, 1, 1)]);
    await pass(clock, 10_000);
    expect(archive.awaySince === undefined).toBe(false);
    const next = putFence({ ...reign, term: termOf(2) }, end, seeded(2));
    expect(next).rejects.toMatchObject({ kind });
    const self = { incarnation: 1n, name: "a", address: "" };
    const draft = takeThroughBucket({ head: undefined, self, cluster, pastTerm: 0 });
    expect(writeHead(store, undefined, draft, seeded(1))).rejects.toMatchObject({ kind });
    store.kind = undefined;
    await pass(clock, 2000);
    await put;
    expect(archive.end.seq).toBe(2);
  }
});
