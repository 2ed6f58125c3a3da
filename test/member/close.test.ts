/** Closing settles whatever was taken, refuses the rest, and lets go of the directory. */
import { expect, test } from "bun:test";
import { Refusal } from "../../src/model/refusal.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { wholeQuery } from "../support/query.ts";
import { Gate, gist, openMember, pairsOf, putOf, until, whilePassing } from "./rig.ts";

const everything = { key: "\0", end: "\0" };

test("what was taken is settled, what comes later is refused", async () => {
  const gate = new Gate();
  const { disk, fatals, member } = await openMember(new SimDisk({ delay: gate.delay }));
  gate.close();
  const first = member.propose(putOf("a", "1"));
  await until(() => gate.waiting === 1);
  const second = member.propose(putOf("b", "2"));
  const closed = member.close();
  expect(gist(await member.propose(putOf("c", "3")))).toBe("stopped");
  expect(await member.lessor.keepAlive(7n)).toEqual(new Refusal("stopped"));
  expect(member.lessor.all()).toEqual(new Refusal("stopped"));
  expect(await pairsOf(member)).toBe("stopped");
  gate.open();
  expect([gist(await first), gist(await second)]).toEqual([2, 3]);
  await closed;
  expect(fatals).toEqual([]);
  const { member: next } = await openMember(disk);
  expect(await pairsOf(next)).toEqual(["a=1", "b=2"]);
  await next.close();
});

test("closing twice is closing once", async () => {
  const { member } = await openMember(new SimDisk());
  await Promise.all([member.close(), member.close()]);
  await member.close();
});

test("a member that failed closes too", async () => {
  let fails = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (fails && operation === "sync" ? "EIO" : undefined),
  });
  const { fatals, member } = await openMember(disk);
  fails = true;
  expect(gist(await member.propose(putOf("a", "1")))).toBe("outcomeUnknown");
  await member.close();
  expect(fatals).toHaveLength(1);
  fails = false;
  const { member: next } = await openMember(disk);
  await next.close();
});

test("a range that is being read is given up, and reads no file that is closed", async () => {
  const clock = new SimClock(0, 1);
  const settings = { memtableBytesMax: 65_536 };
  const { fatals, member } = await openMember(new SimDisk(), { clock, settings });
  await Promise.all(
    Array.from({ length: 3000 }, (_, at) => member.propose(putOf(`${at}`, "x".repeat(100)))),
  );
  const read = member.range(wholeQuery(everything));
  const closed = member.close();
  expect(await read).toEqual(new Refusal("stopped"));
  await closed;
  expect(fatals).toEqual([]);
});

test("a renewal that waits for the end of its lease is answered", async () => {
  const gate = new Gate();
  const { clock, member } = await openMember(new SimDisk({ delay: gate.delay }));
  await member.lessor.grant(7n, 2);
  gate.close();
  await whilePassing(
    clock,
    until(() => gate.waiting === 1),
  );
  const renewed = member.lessor.keepAlive(7n);
  const closed = member.close();
  gate.open();
  expect(await whilePassing(clock, renewed)).toBeUndefined();
  await closed;
});

test("a watcher that has far to go does not keep it from closing", async () => {
  const clock = new SimClock(0, 1);
  const { member } = await openMember(new SimDisk(), { clock });
  await Promise.all(Array.from({ length: 3000 }, (_, at) => member.propose(putOf(`${at}`))));
  const range = { key: "no such key", end: "" };
  const request = { range, startRevision: 1, previous: false, noPut: false, noDelete: false };
  const watch = member.watch(request, () => undefined);
  await member.close();
  expect(watch.isCurrent()).toBe(false);
});
