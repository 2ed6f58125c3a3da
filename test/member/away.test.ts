/** A bucket that is away: what waits, for how long, what is bounded, and what goes on by itself. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import type { StartStep } from "../../src/member/rooms.ts";
import type { Refusal } from "../../src/model/refusal.ts";
import { latestKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { RetryingStore } from "../../src/object/retrying.ts";
import { ObjectError, type ObjectErrorKind } from "../../src/object/store.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { type Fault, FaultyStore } from "../sim/store.ts";
import { say } from "../support/effort.ts";
import { wholeQuery } from "../support/query.ts";
import { type BucketGiven, bucketOptions, noCauses, openWithBucket } from "./bucket.ts";
import { copyOf, Ledger, revive } from "./fall.ts";
import { gist, pairsOf, putOf, type Rig, until, whilePassing } from "./rig.ts";

/** A bucket that can be away, behind the retries that a program has. */
class Outage {
  readonly inner = new MemoryStore();
  readonly clock = new SimClock();
  /** What becomes of every call; "none" while it is there. */
  fault: Fault = "none";
  /** Told of each call. */
  each: () => void = () => undefined;
  /** It refuses. */
  refusal: ObjectErrorKind | undefined;
  readonly store = new RetryingStore(this.#refusing(), {
    clock: this.clock,
    random: new SeededRandom(3),
  });

  async open(given: Partial<BucketGiven> = {}): Promise<Rig> {
    return await openWithBucket({
      disk: new SimDisk(),
      ...given,
      bucket: this.store,
      clock: this.clock,
    });
  }

  #refusing() {
    const faulty = new FaultyStore(this.inner, {
      plan: () => {
        this.each();
        return this.fault;
      },
    });
    return new Proxy(faulty, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== "function") return value;
        return (...given: unknown[]) => {
          if (this.refusal === undefined) {
            return (value as (...all: unknown[]) => unknown).apply(target, given);
          }
          const why = "the credentials have expired";
          return Promise.reject(new ObjectError(this.refusal, String(name), `${given[0]}`, why));
        };
      },
    });
  }
}

async function pass(clock: SimClock, milliseconds: number): Promise<void> {
  await whilePassing(clock, clock.sleep(milliseconds));
}

async function answerOf({ clock, member }: Rig, key: string): Promise<string | number> {
  return gist(await whilePassing(clock, member.propose(putOf(key, key))));
}

for (const fault of ["held", "timeout", "throttled"] as const) {
  test(`writes wait for a bucket that is away, are told after 7 s, and go on by themselves: ${fault}`, async () => {
    const outage = new Outage();
    const rig = await outage.open();
    await new Ledger().put(rig, 3);
    outage.fault = fault;
    const before = rig.clock.now();
    expect(await answerOf(rig, "waits")).toBe("outcomeUnknown");
    const waitedMs = rig.clock.now() - before;
    expect(waitedMs).toBeGreaterThanOrEqual(7000);
    expect(waitedMs).toBeLessThan(7700);
    await pass(rig.clock, 300_000);
    expect(rig.member.bucketAwayMs).toBeGreaterThan(300_000);
    expect(gist((await whilePassing(rig.clock, rig.member.range(all))) as Refusal)).toBe(
      "outcomeUnknown",
    );
    outage.fault = "none";
    await pass(rig.clock, 15_000);
    expect(typeof (await answerOf(rig, "goes on"))).toBe("number");
    expect(await pairsOf(rig.member)).toEqual([
      "goes on=goes on",
      "k0=k0",
      "k1=k1",
      "k2=k2",
      "waits=waits",
    ]);
    expect(rig.fatals).toEqual([]);
    expect(rig.member.bucketAwayMs).toBe(0);
  });
}

const all = wholeQuery({ key: "\0", end: "\0" });

test("what waits for a bucket is bounded", async () => {
  const outage = new Outage();
  const rig = await outage.open();
  outage.fault = "timeout";
  const gists = new Map<string | number, number>();
  const asked: Promise<void>[] = [];
  for (let round = 0; round < 40; round++) {
    for (let at = 0; at < 1000; at++) {
      const put = rig.member.propose(putOf(`k${round}-${at}`, "v"));
      asked.push(
        put.then((answer) => {
          const what = gist(answer);
          gists.set(what, (gists.get(what) ?? 0) + 1);
        }),
      );
    }
    await rig.clock.yield();
  }
  await whilePassing(rig.clock, Promise.all(asked));
  expect(gists.get("tooManyRequests")).toBe(40_000 - rig.member.limits.pendingEntriesMax);
  expect(gists.get("outcomeUnknown")).toBe(rig.member.limits.pendingEntriesMax);
  outage.fault = "none";
  await pass(rig.clock, 15_000);
  expect(typeof (await answerOf(rig, "goes on"))).toBe("number");
  expect<number>(rig.member.revision).toBe(rig.member.limits.pendingEntriesMax + 2);
});

const behind = { syncUpload: false, localBytesMax: 200_000 };

test("a log that waits for the bucket grows to its bound, then writes are refused until it has gone there", async () => {
  const outage = new Outage();
  const rig = await outage.open({
    options: behind,
    settings: { segmentBytesMax: 20_000, memtableBytesMax: 2 ** 20 },
  });
  await new Ledger().put(rig, 2);
  await pass(rig.clock, 2000);
  outage.fault = "timeout";
  let acknowledged = 0;
  let last: string | number = 0;
  const value = "v".repeat(1000);
  for (let at = 0; at < 1000 && last !== "noSpace"; at++) {
    last = gist(await whilePassing(rig.clock, rig.member.propose(putOf(`long ${at}`, value))));
    if (typeof last === "number") acknowledged++;
    await pass(rig.clock, 50);
  }
  expect(last).toBe("noSpace");
  expect(acknowledged).toBeGreaterThan(100);
  expect(acknowledged).toBeLessThan(180);
  expect(rig.member.vitals().bucket?.revisionsAtRisk).toBeGreaterThan(100);
  outage.fault = "none";
  await pass(rig.clock, 15_000);
  expect(typeof (await answerOf(rig, "goes on"))).toBe("number");
  await pass(rig.clock, 2000);
  expect(rig.member.vitals().bucket?.revisionsAtRisk).toBe(0);
  say(`${acknowledged} writes of 1 kB fit into 200 kB of log`);
});

for (const syncUpload of [true, false]) {
  for (const fault of ["held", "timeout"] as const) {
    test(`a stop takes less than 10 s while the bucket is away: ${fault}, syncUpload ${syncUpload}`, async () => {
      const outage = new Outage();
      const rig = await outage.open({
        options: { syncUpload, strictReads: false, causes: { ...noCauses, entries: 1 } },
      });
      await new Ledger().put(rig, 3);
      for (let reads = 0; reads < 3; reads++) await pairsOf(rig.member);
      outage.fault = fault;
      const asked = rig.member.propose(putOf("late", "late"));
      await pass(rig.clock, 3000);
      const before = rig.clock.now();
      await whilePassing(rig.clock, rig.member.close());
      expect(rig.clock.now() - before).toBeLessThan(9000);
      expect(gist(await asked)).toBe(syncUpload ? "outcomeUnknown" : 5);
      expect(rig.fatals).toEqual([]);
      // Its directory is free: it can be started again, and has everything.
      outage.fault = "none";
      const again = await outage.open({ disk: rig.disk, seed: 2, options: { syncUpload } });
      expect((await pairsOf(again.member)).length).toBeGreaterThanOrEqual(syncUpload ? 3 : 4);
    });
  }
}

test("the first checkpoint's look at the bucket does not hold up a stop", async () => {
  const outage = new Outage();
  const faulty = new FaultyStore(outage.inner);
  const rig = await openWithBucket({
    bucket: faulty,
    disk: new SimDisk(),
    options: { causes: { ...noCauses, intervalMs: 1000 } },
  });
  faulty.next("get", `db/${latestKey}`, "held");
  await new Ledger().put(rig, 2);
  await pass(rig.clock, 1500);
  expect(faulty.held.length).toBe(1);
  const before = rig.clock.now();
  await whilePassing(rig.clock, rig.member.close());
  expect(rig.clock.now() - before).toBeLessThan(9000);
});

test("credentials that expire during service are waited out, by writes, reads, leases and checkpoints", async () => {
  for (const kind of ["denied", "noBucket", "full", "invalid"] as const) {
    const outage = new Outage();
    const rig = await outage.open({
      options: { strictReads: false, causes: { ...noCauses, entries: 1 }, lookEveryMs: 1000 },
    });
    await new Ledger().put(rig, 3);
    rig.member.watch(
      {
        range: { key: "\0", end: "\0" },
        startRevision: 0,
        previous: false,
        noPut: false,
        noDelete: false,
      },
      () => undefined,
    );
    for (let reads = 0; reads < 3; reads++) await whilePassing(rig.clock, pairsOf(rig.member));
    await until(() => (rig.member.vitals().bucket?.readLeaseMs ?? 0) > 0);
    await pass(rig.clock, 5000);
    outage.refusal = kind;
    // Renews its lease, which is refused.
    await whilePassing(rig.clock, pairsOf(rig.member));
    expect([kind, await answerOf(rig, "waits")]).toEqual([kind, "outcomeUnknown"]);
    expect([kind, await whilePassing(rig.clock, pairsOf(rig.member))]).toEqual([
      kind,
      "outcomeUnknown",
    ]);
    await pass(rig.clock, 60_000);
    outage.refusal = undefined;
    await pass(rig.clock, 15_000);
    expect([kind, typeof (await answerOf(rig, "goes on"))]).toEqual([kind, "number"]);
    expect([kind, ...rig.fatals]).toEqual([kind]);
    await until(() => rig.member.vitals().bucket?.checkpointIndex !== undefined);
  }
});

test("a start while the bucket is away ends with an error that names it, and goes well later", async () => {
  const outage = new Outage();
  const ledger = new Ledger();
  const rig = await outage.open();
  await ledger.put(rig, 3);
  await whilePassing(rig.clock, rig.member.close());
  for (const fault of ["timeout", "held", "throttled"] as const) {
    outage.fault = fault;
    const disk = rig.disk.processCrash();
    await expect(outage.open({ disk })).rejects.toThrow("failed");
    outage.fault = "none";
    outage.refusal = "denied";
    await expect(outage.open({ disk })).rejects.toThrow("the credentials have expired");
    outage.refusal = undefined;
  }
  await revive(outage.inner, rig.disk.processCrash(), ledger, {});
});

test("a full disk beside a bucket refuses writes and resumes; log and bucket have the same", async () => {
  for (const syncUpload of [true, false]) {
    let isFull = false;
    let failed = 0;
    const hooks = {
      fault: ({ operation }: { operation: string }) => {
        const fails = isFull && (operation === "write" || operation === "create");
        if (fails) failed++;
        return fails ? "ENOSPC" : undefined;
      },
    };
    const bucket = new MemoryStore();
    const settings = { segmentBytesMax: 4096, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 1000 };
    const given = { bucket, options: { syncUpload, causes: { ...noCauses, intervalMs: 1000 } } };
    const rig = await openWithBucket({ ...given, settings, disk: new SimDisk(hooks) });
    const ledger = new Ledger();
    for (let round = 0; round < 8; round++) {
      await ledger.put(rig, 5);
      isFull = true;
      for (let at = 0; at < 4; at++) {
        expect(await answerOf(rig, `full ${round} ${at}`)).toBe("noSpace");
        await pass(rig.clock, 700);
      }
      isFull = false;
      await pass(rig.clock, 700 * round);
    }
    expect(failed).toBeGreaterThan(8);
    expect(rig.fatals).toEqual([]);
    await ledger.put(rig, 5);
    await pass(rig.clock, 2000);
    if (syncUpload) await revive(await copyOf(bucket), new SimDisk(), ledger.copy(), {});
    await revive(bucket, rig.disk.processCrash(), ledger, { ...given, seed: 9 });
  }
});

test("a start that loses the bucket on the way says what it waits for, and goes on by itself", async () => {
  let ended = 0;
  let waited = 0;
  for (let number = 1; number <= 40; number++) {
    const outage = new Outage();
    const ledger = new Ledger();
    const first = await outage.open();
    await ledger.put(first, 3);
    let calls = 0;
    outage.each = () => {
      if (++calls === number) outage.fault = "timeout";
    };
    const steps: string[] = [];
    const { clock } = outage;
    const given = { bucket: outage.store, disk: new SimDisk(), clock, seed: 2 };
    const options = { ...bucketOptions(given), onStep: ({ name }: StartStep) => steps.push(name) };
    const opening = Member.open(options).catch((error: Error) => error);
    await Promise.race([opening, pass(clock, 300_000)]);
    const isWaiting = outage.fault === "timeout";
    outage.fault = "none";
    outage.each = () => undefined;
    const opened = await whilePassing(clock, opening);
    if (opened instanceof Error) {
      expect(`${opened}`).toContain("failed");
      ended++;
      continue;
    }
    // Once a second for five minutes, as long as it was away.
    if (isWaiting) {
      expect(steps.length).toBeGreaterThan(250);
      waited++;
    }
    await ledger.verify({ ...first, member: opened });
    await whilePassing(clock, opened.close());
  }
  say(`a start that loses the bucket: ${ended} ended with an error, ${waited} waited and said so`);
  expect(ended).toBeGreaterThan(0);
  expect(waited).toBeGreaterThan(0);
});
