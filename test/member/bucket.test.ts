import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { readBond } from "../../src/member/bond.ts";
import type { Member } from "../../src/member/member.ts";
import { termOf } from "../../src/model/revision.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { readHead } from "../../src/replication/lock.ts";
import { listCheckpoints } from "../../src/replication/restore.ts";
import { SimDisk } from "../sim/disk.ts";
import { asynchronous, checkpointed, close, fill, often, openWithBucket } from "./bucket.ts";
import { gist, openMember, pairsOf, putOf, until, whilePassing } from "./rig.ts";

test("what was acknowledged is there after the disk is gone", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 20);
  const before = await pairsOf(first.member);
  expect(before.length).toBe(20);
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  expect(await pairsOf(second.member)).toEqual(before);
  await fill(second, 20, 21);
});

test("with its disk a member starts where it was, and has no more than the bucket", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 20);
  const { clusterId, memberId } = first.member.identity;
  const second = await openWithBucket({ bucket, disk: first.disk.processCrash(), seed: 2 });
  expect((await pairsOf(second.member)).length).toBe(20);
  expect(second.member.identity).toEqual({ clusterId, memberId });
  expect(second.member.term).toBe(termOf(first.member.term + 1));
  await close(second);
});

test("a checkpoint and the log after it make the database, on a disk that has nothing", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), options: often });
  await fill(first, 0, 30);
  await checkpointed(first);
  await fill(first, 30, 45);
  const before = await pairsOf(first.member);
  const disk = new SimDisk();
  const second = await openWithBucket({ bucket, disk, seed: 2 });
  expect(await pairsOf(second.member)).toEqual(before);
  expect(disk.paths().some((path) => path.endsWith(".sst"))).toBe(true);
  await close(second);
});

test("who was superseded acknowledges nothing more, reads nothing more, and says who leads", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), name: "old" });
  await fill(first, 0, 5);
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2, name: "new" });
  await fill(second, 5, 8);
  const put = first.member.propose(putOf("late", "x"));
  expect(gist(await whilePassing(first.clock, put))).toBe("outcomeUnknown");
  await until(() => first.fatals.length > 0);
  expect(String(first.fatals[0])).toContain("superseded in term 2 by new");
  expect((await pairsOf(second.member)).length).toBe(8);
});

test("a read that nobody wrote before finds out that another leads", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 5);
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  await fill(second, 5, 8);
  const read = pairsOf(first.member);
  await expect(read).rejects.toThrow("superseded");
  expect(first.fatals.length).toBe(1);
});

test("the old disk comes back: what it alone has was never acknowledged and is dropped", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 5);
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  await fill(second, 5, 8);
  const late = first.member.propose(putOf("late", "x"));
  expect(gist(await whilePassing(first.clock, late))).toBe("outcomeUnknown");
  const third = await openWithBucket({ bucket, disk: first.disk.processCrash(), seed: 3 });
  const pairs = await pairsOf(third.member);
  expect(pairs.length).toBe(8);
  expect(pairs).not.toContain("late=x");
  await fill(third, 8, 9);
  await close(third);
});

test("two that are created together on an empty prefix become one database", async () => {
  const bucket = new MemoryStore();
  const begun = await Promise.allSettled([
    openWithBucket({ bucket, disk: new SimDisk(), seed: 1, name: "a" }),
    openWithBucket({ bucket, disk: new SimDisk(), seed: 2, name: "b" }),
  ]);
  const rigs = begun.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  for (const each of begun) {
    if (each.status === "rejected") expect(`${each.reason}`).toContain("superseded");
  }
  const [newest, ...older] = rigs.sort((x, y) => y.member.term - x.member.term);
  const leader = must(newest, "one of them leads");
  await fill(leader, 0, 3);
  for (const { clock, member } of older) {
    expect(member.identity.clusterId).toBe(leader.member.identity.clusterId);
    const late = member.propose(putOf("late", "x"));
    expect(gist(await whilePassing(clock, late))).toBe("outcomeUnknown");
  }
});

test("without waiting for the bucket, it has everything a second later, and a clean stop leaves nothing out", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), options: asynchronous });
  await fill(first, 0, 10);
  expect(first.member.vitals().bucket?.member).toBe(false);
  await first.clock.advance(1000);
  await until(() => first.member.vitals().bucket?.revisionsAtRisk === 0);
  await fill(first, 10, 12);
  await close(first);
  const { disk } = first;
  const second = await openWithBucket({
    bucket,
    disk: disk.processCrash(),
    options: asynchronous,
    seed: 2,
  });
  expect(second.member.vitals().bucket?.revisionsAtRisk).toBe(0);
  expect((await pairsOf(second.member)).length).toBe(12);
  await close(second);
});

test("a disk that alone had writes is not replaced by an older bucket", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), options: asynchronous });
  await fill(first, 0, 10);
  const opening = openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  await expect(opening).rejects.toThrow("t4 recover --accept-loss");
});

test("an old copy of a disk that alone has writes does not lead where the bucket has more", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), options: asynchronous });
  await fill(first, 0, 5);
  const old = first.disk.copy();
  await fill(first, 5, 10);
  await close(first);
  const opening = openWithBucket({ bucket, disk: old, options: asynchronous, seed: 2 });
  await expect(opening).rejects.toThrow("should hold everything");
});

test("the mode is changed at a start, and nothing is lost by it", async () => {
  const bucket = new MemoryStore();
  let rig = await openWithBucket({ bucket, disk: new SimDisk(), options: asynchronous });
  await fill(rig, 0, 10);
  for (let start = 1; start <= 6; start++) {
    const syncUpload = start % 2 === 1;
    // In the odd ones the bucket is a member: what was before is in it now, whatever the disk.
    rig = await openWithBucket({
      bucket,
      disk: rig.disk.processCrash(),
      seed: start,
      options: { syncUpload },
    });
    expect((await readHead(withPrefix(bucket, "db")))?.head.s3).toBe(syncUpload);
    expect(readBond(rig.disk, "/data")?.member).toBe(syncUpload);
    await fill(rig, start * 10, start * 10 + 10);
    expect((await pairsOf(rig.member)).length).toBe(start * 10 + 10);
  }
});

test("a directory with data brings it to an empty prefix", async () => {
  const bucket = new MemoryStore();
  const alone = await openMember(new SimDisk());
  await fill(alone, 0, 10);
  await close(alone);
  const first = await openWithBucket({ bucket, disk: alone.disk.processCrash(), seed: 2 });
  expect(first.member.identity).toEqual(alone.member.identity);
  await fill(first, 10, 15);
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 3 });
  expect((await pairsOf(second.member)).length).toBe(15);
  expect((await listCheckpoints(withPrefix(bucket, "db"))).length).toBeGreaterThan(0);
  await close(second);
});

test("a directory that is a cache of a bucket is not opened without it, nor brought elsewhere", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 3);
  await expect(openMember(first.disk.processCrash())).rejects.toThrow("is a cache");
  const elsewhere = openWithBucket({ bucket, disk: first.disk.processCrash(), prefix: "other" });
  await expect(elsewhere).rejects.toThrow("is a cache");
});

test("a prefix of another cluster is refused, and both are named", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), seed: 7 });
  await fill(first, 0, 3);
  const alone = await openMember(new SimDisk());
  await fill(alone, 0, 3);
  const joining = openWithBucket({ bucket, disk: alone.disk.processCrash(), seed: 5 });
  const error = await joining.then(
    () => undefined,
    (e: Error) => e.message,
  );
  expect(error).toContain(first.member.identity.clusterId.toString(16));
});

test("a log without a lock is refused", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  await fill(first, 0, 3);
  await bucket.delete("db/leader-lock");
  const opening = openWithBucket({ bucket, disk: first.disk.processCrash(), seed: 2 });
  await expect(opening).rejects.toThrow("leader-lock is missing");
});

/** A member that does nothing makes no calls. */
test("an idle member asks the bucket for nothing", async () => {
  const bucket = new MemoryStore();
  const counting = counted(bucket);
  const first = await openWithBucket({
    bucket: counting.store,
    disk: new SimDisk(),
    options: often,
  });
  await fill(first, 0, 3);
  await checkpointed(first);
  const before = counting.calls();
  for (let minute = 0; minute < 60; minute++) {
    await first.clock.advance(60_000);
    await first.clock.yield();
  }
  expect(counting.calls() - before).toBe(0);
  await close(first);
});

function counted(bucket: MemoryStore) {
  let calls = 0;
  const store = new Proxy(bucket, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function") return value;
      return (...given: unknown[]) => {
        calls++;
        return (value as (...all: unknown[]) => unknown).apply(target, given);
      };
    },
  });
  return { store, calls: () => calls };
}

test("a read lease answers without asking, and whoever comes next waits for it", async () => {
  const bucket = new MemoryStore();
  const counting = counted(bucket);
  const first = await openWithBucket({
    bucket: counting.store,
    disk: new SimDisk(),
    options: { strictReads: false },
  });
  await fill(first, 0, 3);
  const read = async (member: Member) => expect((await pairsOf(member)).length).toBe(3);
  await read(first.member);
  await first.clock.advance(10);
  await read(first.member);
  await until(() => (first.member.vitals().bucket?.readLeaseMs ?? 0) > 0);
  const before = counting.calls();
  for (let at = 0; at < 100; at++) await read(first.member);
  expect(counting.calls()).toBe(before);

  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  expect(second.clock.now()).toBeGreaterThanOrEqual(10_000);
  // The same directory, whose lock tells that nobody else has it, does not wait.
  await first.clock.advance(10_000);
  await expect(pairsOf(first.member)).rejects.toThrow("superseded");
  await close(second);
});

test("a directory that was used without its bucket for long is refused by it, and brought elsewhere", async () => {
  const bucket = new MemoryStore();
  const settings = { segmentBytesMax: 4096, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 500 };
  const given = { bucket, settings, options: asynchronous };
  const first = await openWithBucket({ ...given, disk: new SimDisk() });
  await fill(first, 0, 4);
  const alone = await openMember(first.disk.processCrash(), { settings });
  for (let round = 1; round <= 3; round++) {
    await fill(alone, round * 10, round * 10 + 5);
    await whilePassing(alone.clock, alone.member.compact(alone.member.revision - 1, true));
    await whilePassing(alone.clock, alone.clock.sleep(2000));
  }
  await close(alone);
  for (const options of [asynchronous, {}]) {
    const disk = alone.disk.processCrash();
    const opening = openWithBucket({ ...given, options, disk, seed: 2 });
    await expect(opening).rejects.toThrow("has been used without its bucket");
  }
  const disk = alone.disk.processCrash();
  const brought = await openWithBucket({ bucket, settings, prefix: "elsewhere", disk, seed: 3 });
  expect((await pairsOf(brought.member)).length).toBe(19);
});
