/** Nobody is answered from a database that another leads by now. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import type { Command, TxnCommand } from "../../src/model/command.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { SupersededError } from "../../src/replication/archive.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { wholeQuery } from "../support/query.ts";
import { type BucketGiven, bucketOptions, openWithBucket } from "./bucket.ts";
import { Ledger, liveUntil } from "./fall.ts";
import { gist, pairsOf, putOf, type Rig, until, whilePassing } from "./rig.ts";

/** Lets the first checkpoint be made: it would find out who leads. */
async function rested({ clock, member }: Rig): Promise<void> {
  await whilePassing(clock, clock.sleep(3000));
  expect(member.vitals().bucket?.checkpointIndex).toBeGreaterThan(0);
}

/** A leader that has been deposed and does not know; "x" was put after it. */
async function deposed(options: BucketGiven["options"] = {}, store?: FaultyStore) {
  const bucket = new MemoryStore();
  const given = { bucket: store ?? bucket, options };
  const old = await openWithBucket({ ...given, disk: new SimDisk(), name: "old" });
  await new Ledger().put(old, 3);
  const granted = await whilePassing(old.clock, old.member.lessor.grant(7n, 60));
  expect(granted).not.toBeInstanceOf(Refusal);
  await rested(old);
  const next = await openWithBucket({
    ...given,
    disk: new SimDisk(),
    seed: 2,
    name: "new",
    options: { strictReads: true },
  });
  const put = next.member.propose(putOf("x", "1"));
  expect(typeof gist(await whilePassing(next.clock, put))).toBe("number");
  return { old, next };
}

/** Reads "x" where it is not there, and puts it where it is. */
const readsIfAbsent: TxnCommand = {
  kind: "txn",
  compares: [
    { range: { key: "x", end: "" }, result: "equal", target: { field: "version", operand: 0 } },
  ],
  success: [wholeQuery({ key: "x", end: "" })],
  failure: [putOf("x", "2")],
};

/** Commands that change nothing in what the old leader has: no entry is written for them. */
const effectless: readonly (readonly [string, Command])[] = [
  ["a deletion of nothing", { kind: "deleteRange", range: { key: "x", end: "" }, previous: false }],
  ["a transaction that came to read", readsIfAbsent],
  ["a grant of a lease that is there", { kind: "grant", lease: 7n, ttlSeconds: 60 }],
  ["the end of a lease that is not there", { kind: "revoke", lease: 8n }],
  ["a compaction in the future", { kind: "compact", revision: 1000 }],
];

for (const [name, command] of effectless) {
  test(`whoever was superseded decides nothing: ${name}`, async () => {
    const { old } = await deposed();
    await expect(whilePassing(old.clock, old.member.propose(command))).rejects.toThrow(
      SupersededError,
    );
    expect(old.fatals.length).toBe(1);
  });
}

test("whoever was superseded and decides on what is on its way waits for the proof, too", async () => {
  const bucket = new MemoryStore();
  const store = new FaultyStore(bucket);
  const old = await openWithBucket({ bucket: store, disk: new SimDisk(), name: "old" });
  await new Ledger().put(old, 3);
  await rested(old);
  // The put is carried out, and its answer takes its time.
  const key = `db/${logKey(bucket.keys("db/wal/").length + 1)}`;
  store.next("putIfAbsent", key, "lost");
  store.next("get", key, "held");
  const put = old.member.propose(putOf("k", "1"));
  await until(() => store.held.length > 0);
  const next = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2, name: "new" });
  await whilePassing(next.clock, next.member.propose(putOf("x", "1")));
  const nothing: Command = {
    kind: "deleteRange",
    range: { key: "x", end: "" },
    previous: false,
  };
  const deletion = old.member.propose(nothing);
  deletion.catch(() => undefined);
  await store.letGo("get", key);
  expect(typeof gist(await whilePassing(old.clock, put))).toBe("number");
  await expect(whilePassing(old.clock, deletion)).rejects.toThrow(SupersededError);
});

test("whoever was superseded renews no lease", async () => {
  const { old } = await deposed();
  await old.clock.advance(1000);
  const renewed = whilePassing(old.clock, old.member.lessor.keepAlive(7n));
  await expect(renewed).rejects.toThrow(SupersededError);
  expect(old.fatals.length).toBe(1);
});

/** A clock of a machine that can be suspended: what the process measures stands still then. */
class SleepyClock extends SimClock {
  suspendedMs = 0;

  override elapsed(): number {
    return super.elapsed() + this.suspendedMs;
  }
}

/** Reads until it has a read lease. */
async function leased({ clock, member }: Rig): Promise<void> {
  for (let reads = 0; (member.vitals().bucket?.readLeaseMs ?? 0) === 0; reads++) {
    if (reads === 100) throw new Error("no lease is taken");
    await whilePassing(clock, pairsOf(member));
  }
}

test("a machine that was suspended while its lease ran out does not answer by it", async () => {
  const bucket = new MemoryStore();
  const clock = new SleepyClock();
  const options = { strictReads: false };
  const old = await openWithBucket({ bucket, disk: new SimDisk(), clock, options, name: "old" });
  await leased(old);
  const next = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2, name: "new" });
  expect(next.clock.now()).toBeGreaterThanOrEqual(10_000);
  await whilePassing(next.clock, next.member.propose(putOf("x", "1")));
  clock.suspendedMs = next.clock.now();
  await expect(pairsOf(old.member)).rejects.toThrow(SupersededError);
});

test("a copy of a directory waits for the lease of the original, however often it is started", async () => {
  let starts = 0;
  let waits = 0;
  for (let number = 1; number < 60; number++) {
    const bucket = new MemoryStore();
    const original = { strictReads: false, place: () => "there" };
    const old = await openWithBucket({ bucket, disk: new SimDisk(), options: original });
    await leased(old);
    const copied = old.disk.copy();
    // The original stands still while the copy waits, and goes on when that has died.
    const options = { place: () => "elsewhere" };
    const begun = await liveUntil(
      { bucket, disk: () => copied, ledger: new Ledger() },
      { options, seed: 2 },
      { at: "bucket, before", number },
    );
    if (begun.isWhole) break;
    await old.clock.advance(9000);
    await leased(old).catch(() => undefined);
    if (old.fatals.length > 0) continue;
    starts++;
    const next = await openWithBucket({ bucket, disk: old.disk.copy(), options, seed: 3 });
    if (next.clock.now() >= 10_000) waits++;
  }
  say(`a copy of a directory that died ${starts} times: it waited ${waits} times after that`);
  expect(starts).toBeGreaterThan(5);
  expect(waits).toBe(starts);
});

test("clocks that differ by a tenth let nobody read what is old by a lease", async () => {
  const sums = { byLease: 0, reads: 0, superseded: 0 };
  const seeds = seedsUpTo(amount(20, 5, 400));
  await tryEach(seeds, import.meta.path, (seed) => raceForLease(seed, sums));
  say(`${seeds.length} races for a lease: ${JSON.stringify(sums)}`);
  expect(sums.byLease).toBeGreaterThan(seeds.length);
  expect(sums.superseded).toBe(seeds.length);
});

/** One leads and reads in bursts, on a clock of its own; another takes over and puts "x". */
async function raceForLease(
  seed: number,
  sums: Record<"byLease" | "reads" | "superseded", number>,
): Promise<void> {
  const random = new SeededRandom(seed);
  const bucket = new MemoryStore();
  const options = { strictReads: false };
  const old = await openWithBucket({ bucket, disk: new SimDisk(), options, name: "old" });
  await leased(old);
  const rate = () => 0.95 + random.float() / 10;
  const [oldRate, newRate] = [rate(), rate()];
  const clock = new SimClock();
  const starting = bucketOptions({ bucket, disk: new SimDisk(), clock, seed: 2, name: "new" });
  let isPut = false;
  const put = Member.open(starting).then(async (next) => {
    await next.propose(putOf("x", "1"));
    isPut = true;
  });
  let reads = random.below(50);
  while (old.fatals.length === 0) {
    const stepMs = reads > 0 ? random.below(1500) : 4000 + random.below(9000);
    reads = reads > 0 ? reads - 1 : 1;
    // Nobody's clock is told the time of the other.
    for (let passed = 0; passed < stepMs; passed += 50) {
      await old.clock.advance(50 * oldRate);
      await clock.advance(50 * newRate);
    }
    const mustSee = isPut;
    if ((old.member.vitals().bucket?.readLeaseMs ?? 0) > 0) sums.byLease++;
    const seen = await whilePassing(old.clock, pairsOf(old.member)).catch(() => undefined);
    sums.reads++;
    if (mustSee && seen !== undefined) throw new Error(`a read saw ${seen} and not "x"`);
  }
  sums.superseded++;
  await whilePassing(clock, put);
}
