/** The write path: what shares a sync, who waits for what, and what a failure is answered with. */
import { describe, expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { defaultSettings, type Limits, limitsOf } from "../../src/member/limits.ts";
import type { Command } from "../../src/model/command.ts";
import { type DiskCall, SimDisk } from "../sim/disk.ts";
import {
  Gate,
  gist,
  openMember,
  openWritePath,
  pairsOf,
  putOf,
  until,
  whilePassing,
} from "./rig.ts";
import { siteOf } from "./sites.ts";

const everything = { key: "\0", end: "\0" };

function isLogCall({ path }: DiskCall): boolean {
  return path.startsWith("/data/wal/");
}

/** A member whose syncs a gate holds back, and whose calls of the disk fail as told. */
async function gatedMember() {
  const gate = new Gate();
  const calls: DiskCall[] = [];
  const trouble: { fault: (call: DiskCall) => string | undefined } = { fault: () => undefined };
  const disk = new SimDisk({
    delay: gate.delay,
    fault: (call) => {
      calls.push(call);
      return trouble.fault(call);
    },
  });
  const rig = await openMember(disk);
  const syncs = () => calls.filter((call) => call.operation === "sync" && isLogCall(call)).length;
  return { ...rig, gate, trouble, syncs };
}

const grant: Command = { kind: "grant", lease: 5n, ttlSeconds: 60 };

test("what is proposed in one turn shares a sync, and so does all that comes while it runs", async () => {
  const { gate, member, syncs } = await gatedMember();
  const before = syncs();
  gate.close();
  const first = Array.from({ length: 100 }, (_, at) => member.propose(putOf(`first ${at}`)));
  await until(() => gate.waiting === 1);
  const rest: ReturnType<typeof member.propose>[] = [];
  for (let at = 0; at < 100; at++) {
    rest.push(member.propose(putOf(`rest ${at}`)));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(syncs()).toBe(before + 1);
  gate.open();
  expect((await Promise.all(first)).map(gist)).toEqual(first.map((_, at) => 2 + at));
  expect((await Promise.all(rest)).map(gist)).toEqual(rest.map((_, at) => 102 + at));
  expect(syncs()).toBe(before + 2);
});

test("a few callers who came at different times soon share their syncs", async () => {
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
  let syncs = 0;
  const disk = new SimDisk({
    delay: async () => {
      for (let at = 0; at < 10; at++) await turn();
    },
    fault: (call) => {
      if (call.operation === "sync" && isLogCall(call)) syncs++;
      return undefined;
    },
  });
  const { member } = await openMember(disk);
  const rounds = 20;
  // Each asks again a turn after it was answered, as a client does.
  const caller = async (name: string) => {
    for (let round = 0; round < rounds; round++) {
      await member.propose(putOf(name));
      await turn();
    }
  };
  const before = syncs;
  const first = Array.from({ length: 8 }, (_, at) => caller(`first ${at}`));
  await until(() => syncs > before);
  const second = Array.from({ length: 8 }, (_, at) => caller(`second ${at}`));
  await Promise.all([...first, ...second]);
  // If they took turns they would need two for each round.
  expect(syncs - before).toBeLessThan(rounds * 1.5);
});

test("nothing is seen of a write before it is durable", async () => {
  const { gate, member } = await gatedMember();
  const request = { range: everything, startRevision: 0, previous: false };
  const watch = member.watch({ ...request, noPut: false, noDelete: false }, () => undefined);
  gate.close();
  const put = member.propose(putOf("a", "1"));
  await until(() => gate.waiting === 1);
  expect(await pairsOf(member)).toEqual([]);
  expect<number>(member.revision).toBe(1);
  expect(watch.take()).toBeUndefined();
  gate.open();
  expect(gist(await put)).toBe(2);
  expect(await pairsOf(member)).toEqual(["a=1"]);
  expect(watch.take()).toMatchObject({ kind: "events", revision: 2 });
});

describe("an answer that saw what is not durable yet", () => {
  test("waits for it", async () => {
    const { gate, member } = await gatedMember();
    gate.close();
    const order: string[] = [];
    const first = member.propose(grant).then(() => order.push("granted"));
    const second = member.propose(grant).then((answer) => order.push(`${gist(answer)}`));
    await until(() => gate.waiting === 1);
    const third = member.propose(grant).then((answer) => order.push(`${gist(answer)} too`));
    expect(order).toEqual([]);
    gate.open();
    await Promise.all([first, second, third]);
    expect(order).toEqual(["granted", "leaseExists", "leaseExists too"]);
  });

  test("is noSpace when there is no room for it, and it never was", async () => {
    const { fatals, member, trouble } = await gatedMember();
    trouble.fault = (call) => (call.operation === "write" ? "ENOSPC" : undefined);
    const answers = await Promise.all([member.propose(grant), member.propose(grant)]);
    expect(answers.map(gist)).toEqual(["noSpace", "noSpace"]);
    trouble.fault = () => undefined;
    expect(gist(await member.propose(grant))).toBe(1);
    expect(fatals).toEqual([]);
  });

  test("is outcomeUnknown when the log fails", async () => {
    const { fatals, member, trouble } = await gatedMember();
    trouble.fault = (call) => (call.operation === "sync" ? "EIO" : undefined);
    const answers = await Promise.all([member.propose(grant), member.propose(grant)]);
    expect(answers.map(gist)).toEqual(["outcomeUnknown", "outcomeUnknown"]);
    expect(fatals).toHaveLength(1);
  });
});

test("a full disk takes nothing of a batch, and service goes on where it was", async () => {
  const { fatals, gate, member, trouble } = await gatedMember();
  gate.close();
  const first = member.propose(putOf("a", "kept"));
  await until(() => gate.waiting === 1);
  const second = [member.propose(putOf("a", "lost")), member.propose(putOf("b", "lost"))];
  trouble.fault = (call) => (call.operation === "write" ? "ENOSPC" : undefined);
  gate.open();
  expect(gist(await first)).toBe(2);
  expect((await Promise.all(second)).map(gist)).toEqual(["noSpace", "noSpace"]);
  expect(gist(await member.propose(putOf("c", "lost")))).toBe("noSpace");
  trouble.fault = () => undefined;
  expect(gist(await member.propose(putOf("b", "kept")))).toBe(3);
  expect(await pairsOf(member)).toEqual(["a=kept", "b=kept"]);
  expect(fatals).toEqual([]);
});

test("a failed sync ends service: both batches are unknown, what comes after is refused", async () => {
  const { disk, fatals, gate, member, trouble } = await gatedMember();
  expect(gist(await member.propose(putOf("a", "durable")))).toBe(2);
  gate.close();
  const durable = member.propose(putOf("b", "durable"));
  await until(() => gate.waiting === 1);
  const open = member.propose(putOf("c", "in the next batch"));
  trouble.fault = (call) => (call.operation === "sync" ? "EIO" : undefined);
  gate.open();
  expect(gist(await durable)).toBe(3);
  expect(gist(await open)).toBe("outcomeUnknown");
  expect(gist(await member.propose(putOf("d")))).toBe("stopped");
  expect(fatals).toHaveLength(1);
  expect(member.isLeader).toBe(false);
  expect(await pairsOf(member)).toBe("stopped");
  await member.close();
  const { member: next } = await openMember(disk.powerLoss(new SeededRandom(1)));
  expect(await pairsOf(next)).toEqual(["a=durable", "b=durable"]);
});

test("a batch whose applying fails is unknown, and no table is made of a part of it", async () => {
  const gate = new Gate();
  let fails = false;
  let path = "";
  const disk = new SimDisk({
    fault: (call) => {
      path = call.path;
      return fails && siteOf(call).includes("#apply") ? "EIO" : undefined;
    },
    // The tables' syncs alone are held back.
    delay: () => (path.startsWith("/data/db") ? gate.delay() : Promise.resolve()),
  });
  // What is read of tables is not kept, so that applying has something to read.
  const { clock, fatals, member } = await openMember(disk, { settings: { cacheBytesMax: 0 } });
  for (const value of ["1", "2", "3"]) await member.propose(putOf("a", value));
  await whilePassing(clock, member.compact(2, true));
  const request = { range: everything, startRevision: 0, previous: true };
  member.watch({ ...request, noPut: false, noDelete: false }, () => undefined);
  gate.close();
  const compacted = [member.compact(3, true), member.compact(4, true)];
  await until(() => gate.waiting === 1);
  fails = true;
  const puts = [member.propose(putOf("b", "4")), member.propose(putOf("a", "5"))];
  expect((await Promise.all(puts)).map(gist)).toEqual(["outcomeUnknown", "outcomeUnknown"]);
  expect(fatals).toHaveLength(1);
  fails = false;
  gate.open();
  // The second sweep would begin now.
  const gists = (await whilePassing(clock, Promise.all(compacted))).map(gist);
  expect(gists).toEqual([4, "outcomeUnknown"]);
  await member.close();
  const { member: next } = await openMember(disk.processCrash());
  expect(await pairsOf(next)).toEqual(["a=5", "b=4"]);
});

test("a write that is not settled after 7 s is answered as unknown, and still lands once", async () => {
  const { clock, gate, member } = await gatedMember();
  gate.close();
  const put = member.propose(putOf("a", "late"));
  await until(() => gate.waiting === 1);
  const behind = member.propose(grant);
  let answered = 0;
  for (const each of [put, behind]) each.then(() => answered++).catch(() => undefined);
  await clock.advance(6999);
  expect(answered).toBe(0);
  await clock.advance(400);
  expect([gist(await put), gist(await behind)]).toEqual(["outcomeUnknown", "outcomeUnknown"]);
  gate.open();
  await until(() => member.vitals().pendingWrites === 0);
  expect(await pairsOf(member)).toEqual(["a=late"]);
  expect<number>(member.revision).toBe(2);
  expect(member.lessor.all()).toEqual([5n]);
});

describe("a queue that is full refuses, and takes more when it has drained:", () => {
  /** A write path with room for few, whose syncs are held back. */
  async function narrow(given: Partial<Limits>) {
    const gate = new Gate();
    const disk = new SimDisk({ delay: gate.delay });
    const { committer } = await openWritePath(disk, { ...limitsOf(defaultSettings), ...given });
    gate.close();
    return { committer, gate };
  }

  test.each([
    { bound: "entries", limits: { pendingEntriesMax: 8 } },
    { bound: "bytes", limits: { pendingBytesMax: 8000 } },
  ])("$bound", async ({ limits }) => {
    const { committer, gate } = await narrow(limits);
    const puts = Array.from({ length: 12 }, (_, at) =>
      committer.propose(putOf(`${at}`, "x".repeat(1000))),
    );
    expect((await Promise.all(puts.slice(8))).map(gist)).toEqual(
      Array.from({ length: 4 }, () => "tooManyRequests"),
    );
    gate.open();
    expect((await Promise.all(puts.slice(0, 8))).map(gist)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(gist(await committer.propose(putOf("more")))).toBe(10);
  });
});
