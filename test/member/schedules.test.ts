/** What can go wrong between two members on one prefix, one schedule at a time. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { lockKey } from "../../src/object/keys.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { SupersededError } from "../../src/replication/archive.ts";
import { collect } from "../../src/replication/collect.ts";
import { readHead } from "../../src/replication/lock.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { say } from "../support/effort.ts";
import { noCauses, openWithBucket } from "./bucket.ts";
import { copyOf, passing, revive } from "./fall.ts";
import { pairsOf, type Rig, until, whilePassing } from "./rig.ts";
import { Scene } from "./scene.ts";

const lock = `db/${lockKey}`;

/** Nobody's next write is acknowledged by `rig`. */
async function isOver(scene: Scene, rig: Rig): Promise<void> {
  expect(await whilePassing(rig.clock, scene.put(rig, "too late"))).toBeOneOf([
    "outcomeUnknown",
    "stopped",
  ]);
  await until(() => rig.fatals.length > 0);
  expect(rig.fatals[0]).toBeInstanceOf(SupersededError);
}

test("a put executed after its client gave up and after the successor's fence is nothing", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const { slot } = scene;
  old.store.next("putIfAbsent", slot, "late");
  old.store.next("get", slot, "held");
  const put = scene.put(old, "late");
  await until(() => old.store.held.length > 0);
  const next = await scene.open();
  await old.store.executeLate(slot);
  await scene.ledger.put(next, 1);
  await old.store.letGo("get", slot);
  expect(await whilePassing(old.clock, put)).toBe("outcomeUnknown");
  await isOver(scene, old);
  await scene.holds(["k0", "k1", "k3"]);
  // And with the old disk, on which the put is.
  await revive(scene.bucket, old.disk.processCrash(), scene.ledger, {});
});

test("a put executed after its client gave up, before the successor's fence, is in every later database", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const { slot } = scene;
  old.store.next("putIfAbsent", slot, "late");
  old.store.next("get", slot, "held");
  const put = scene.put(old, "late");
  await until(() => old.store.held.length > 0);
  const store = new FaultyStore(scene.bucket);
  store.next("putIfAbsent", slot, "held");
  const next = scene.opening(store);
  await passing(
    next.clock,
    until(() => store.held.length > 0),
    () => false,
  );
  await old.store.executeLate(slot);
  await store.letGo("putIfAbsent", slot);
  const member = await whilePassing(next.clock, next.member);
  expect(await pairsOf(member)).toEqual(["k0=k0", "k1=k1", "late=late"]);
  await old.store.letGo("get", slot);
  // It is in the log, so it may be acknowledged, by whoever put it, though another leads.
  expect(typeof (await whilePassing(old.clock, put))).toBe("number");
  await isOver(scene, old);
  await scene.ledger.put({ ...next, member }, 1);
  await scene.holds(["k0", "k1", "k4", "late"]);
  await revive(scene.bucket, old.disk.processCrash(), scene.ledger, {});
});

test("a put executed twice, the second time after gc removed the first, changes nothing", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const { slot } = scene;
  old.store.next("putIfAbsent", slot, "twice");
  await scene.ledger.put(old, 2);
  const next = await scene.open({ options: { causes: { ...noCauses, entries: 1 } } });
  await scene.ledger.put(next, 3);
  await passing(next.clock, next.clock.sleep(3000), () => false);
  await scene.ledger.put(next, 3);
  const gone = await collect(withPrefix(scene.bucket, "db"), {
    random: new SeededRandom(1),
    nowMs: Date.now() + 3_600_000,
    retention: { keep: 1, ladder: [] },
    graceMs: 0,
    attemptMsMax: 1000,
    parallel: 4,
  });
  expect(gone.logObjects).toBeGreaterThan(3);
  expect(scene.bucket.keys(slot)).toEqual([]);
  await old.store.executeLate(slot);
  expect(scene.bucket.keys(slot)).toEqual([slot]);
  await isOver(scene, old);
  await scene.holds([...Array(10).keys()].map((at) => `k${at}`));
  await revive(await copyOf(scene.bucket), next.disk.processCrash(), scene.ledger.copy(), {});
  await revive(scene.bucket, old.disk.processCrash(), scene.ledger, {});
});

test("a lock write executed after its sender died and another took the lock is nothing", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const store = new FaultyStore(scene.bucket);
  store.next("putIfMatch", lock, "late");
  store.next("get", lock, "none");
  store.next("get", lock, "held");
  const dead = scene.opening(store);
  await passing(
    dead.clock,
    until(() => store.held.length > 0),
    () => false,
  );
  store.die();
  const next = await scene.open();
  await scene.ledger.put(next, 1);
  await store.executeLate(lock);
  const { head } = (await readHead(withPrefix(scene.bucket, "db"))) ?? {};
  expect(head?.leader.incarnation).toBe(next.member.identity.memberId);
  await scene.ledger.put(next, 1);
  await isOver(scene, old);
  await scene.holds(["k0", "k1", "k2", "k3"]);
  await revive(scene.bucket, dead.disk.processCrash(), scene.ledger, {});
});

test("a lock write executed after its sender died, while another takes the lock, costs that one a try", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const store = new FaultyStore(scene.bucket);
  store.next("putIfMatch", lock, "late");
  store.next("get", lock, "none");
  store.next("get", lock, "held");
  const dead = scene.opening(store);
  await passing(
    dead.clock,
    until(() => store.held.length > 0),
    () => false,
  );
  store.die();
  const other = new FaultyStore(scene.bucket);
  other.next("putIfMatch", lock, "held");
  const next = scene.opening(other);
  await passing(
    next.clock,
    until(() => other.held.length > 0),
    () => false,
  );
  await store.executeLate(lock);
  await other.letGo("putIfMatch", lock);
  const member = await whilePassing(next.clock, next.member);
  expect<number>(member.term).toBe(3);
  await scene.ledger.put({ ...next, member }, 1);
  await isOver(scene, old);
  await scene.holds(["k0", "k1", "k2"]);
});

test("whoever was stopped between its disk and its put, while another led and died, acknowledges nothing", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const { slot } = scene;
  old.store.next("putIfAbsent", slot, "held");
  const put = scene.put(old, "stopped");
  await until(() => old.store.held.length > 0);
  const next = await scene.open();
  await scene.ledger.put(next, 2);
  next.store.die();
  await old.store.letGo("putIfAbsent", slot);
  expect(await whilePassing(old.clock, put)).toBe("outcomeUnknown");
  await isOver(scene, old);
  await scene.holds(["k0", "k1", "k3", "k4"]);
  await revive(await copyOf(scene.bucket), next.disk.processCrash(), scene.ledger.copy(), {});
  await revive(scene.bucket, old.disk.processCrash(), scene.ledger, {});
});

test("whoever was stopped between its put and the answer, while another led and died, had it in the log", async () => {
  const scene = new Scene();
  const old = await scene.open();
  await scene.ledger.put(old, 2);
  const { slot } = scene;
  old.store.next("putIfAbsent", slot, "lost");
  old.store.next("get", slot, "held");
  const put = scene.put(old, "stopped");
  await until(() => old.store.held.length > 0);
  const next = await scene.open();
  await scene.ledger.put(next, 2);
  next.store.die();
  await old.store.letGo("get", slot);
  expect(typeof (await whilePassing(old.clock, put))).toBe("number");
  await isOver(scene, old);
  await scene.holds(["k0", "k1", "k3", "k4", "stopped"]);
  await revive(await copyOf(scene.bucket), next.disk.processCrash(), scene.ledger.copy(), {});
  await revive(scene.bucket, old.disk.processCrash(), scene.ledger, {});
});

for (const fault of ["held", "lost"] as const) {
  for (const gone of ["between disk and put", "between put and answer"] as const) {
    if ((fault === "held") !== (gone === "between disk and put")) continue;
    test(`a process killed ${gone}, while another leads and dies, comes back with its disk`, async () => {
      const scene = new Scene();
      const old = await scene.open();
      await scene.ledger.put(old, 2);
      const { slot } = scene;
      old.store.next("putIfAbsent", slot, fault);
      old.store.next("get", slot, "held");
      void scene.put(old, "killed");
      await until(() => old.store.held.length > 0);
      old.store.die();
      const disk = old.disk.powerLoss(new SeededRandom(5));
      const next = await scene.open();
      await scene.ledger.put(next, 2);
      next.store.die();
      const again = await scene.open({ disk });
      await scene.ledger.verify(again);
      await scene.ledger.put(again, 1);
      // The old put comes when nobody waits for it any more.
      for (const { operation } of [...old.store.held]) await old.store.letGo(operation, slot);
      await scene.ledger.put(again, 1);
      const keys = ["k0", "k1", "k3", "k4", "k5", "k6"];
      await scene.holds(fault === "lost" ? [...keys, "killed"] : keys);
      await revive(scene.bucket, next.disk.processCrash(), scene.ledger, {});
    });
  }
}

test("a takeover finishes while the leader writes at full rate, and nothing acknowledged is lost", async () => {
  const clock = new SimClock();
  const scene = new Scene();
  const slow = () => new FaultyStore(scene.bucket, { plan: () => "slow", clock, slowMs: 20 });
  const old = await openWithBucket({ bucket: slow(), disk: new SimDisk(), clock });
  const state = { ends: false, writes: 0 };
  const writers = Array.from({ length: 16 }, async (_, writer) => {
    for (let at = 0; !state.ends; at++) {
      if (typeof (await scene.put(old, `w${writer}-${at}`)) !== "number") return;
      state.writes++;
    }
  });
  await whilePassing(clock, clock.sleep(2000));
  const before = clock.now();
  const next = await openWithBucket({ bucket: slow(), disk: new SimDisk(), clock, seed: 2 });
  const tookMs = clock.now() - before;
  say(
    `a takeover from a leader with 16 writers, 20 ms a call: ${tookMs} ms, ${state.writes} writes`,
  );
  expect(tookMs).toBeLessThan(4000);
  expect(state.writes).toBeGreaterThan(1000);
  state.ends = true;
  await whilePassing(clock, Promise.all(writers));
  await scene.ledger.verify(next);
  await scene.ledger.put(next, 3);
  await scene.ledger.verify(next);
  await isOver(scene, old);
});
