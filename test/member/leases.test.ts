/** Leases: they end by an entry of their own, never early, and start afresh with the member. */
import { expect, test } from "bun:test";
import { Member } from "../../src/member/member.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { Gate, gist, openMember, optionsFor, pairsOf, putOf, until, whilePassing } from "./rig.ts";

/** After its deadline a lease goes in the next round of the expiry, and a sync. */
const roundMs = 600;

async function granted(member: Member, lease: bigint, ttlSeconds: number): Promise<void> {
  expect(gist(await member.lessor.grant(lease, ttlSeconds))).toBe(member.revision);
  await member.propose(putOf(`of ${lease}`, "", lease));
}

/** Lets its end happen, which is due within a round. */
async function gone(clock: SimClock, member: Member, lease: bigint): Promise<void> {
  await clock.advance(roundMs);
  await until(() => remaining(member, lease) === undefined);
}

function remaining(member: Member, lease: bigint): number | undefined {
  const life = member.lessor.life(lease);
  return life !== undefined && "ttlSeconds" in life ? life.remainingSeconds : undefined;
}

test("a lease and its keys are there up to the deadline and gone soon after, whatever the wall clock says", async () => {
  const { clock, member } = await openMember(new SimDisk());
  await granted(member, 7n, 5);
  clock.setWall(clock.wall() + 3_600_000);
  await clock.advance(4999);
  expect(remaining(member, 7n)).toBe(0);
  expect(await pairsOf(member)).toEqual(["of 7="]);
  clock.setWall(0);
  await gone(clock, member, 7n);
  expect(await pairsOf(member)).toEqual([]);
});

test("a renewed lease has its full time again", async () => {
  const { clock, member } = await openMember(new SimDisk());
  await granted(member, 7n, 5);
  for (let round = 0; round < 5; round++) {
    await clock.advance(4900);
    expect(await member.lessor.keepAlive(7n)).toBe(5);
  }
  await clock.advance(4999);
  expect(member.lessor.all()).toEqual([7n]);
  await gone(clock, member, 7n);
  expect(await member.lessor.keepAlive(7n)).toBeUndefined();
});

test("leases that end together end with one entry and one revision each", async () => {
  const { clock, member } = await openMember(new SimDisk());
  for (let lease = 1n; lease <= 20n; lease++) await granted(member, lease, 5);
  await member.propose(putOf("second of 3", "", 3n));
  const { applied, revision } = member;
  await clock.advance(5000);
  for (let lease = 1n; lease <= 20n; lease++) await gone(clock, member, lease);
  expect<number>(member.applied.index).toBe(applied.index + 20);
  expect<number>(member.revision).toBe(revision + 20);
  await clock.advance(60_000);
  expect<number>(member.applied.index).toBe(applied.index + 20);
});

test("a lease that its client revokes as it ends is revoked once", async () => {
  const gate = new Gate();
  const { clock, member } = await openMember(new SimDisk({ delay: gate.delay }));
  await granted(member, 7n, 5);
  const { index } = member.applied;
  gate.close();
  const revoked = member.propose({ kind: "revoke", lease: 7n });
  await clock.advance(6500);
  gate.open();
  expect(gist(await revoked)).toBe(member.revision);
  await clock.advance(roundMs);
  expect<number>(member.applied.index).toBe(index + 1);
});

test("a renewal after the deadline waits for the end of the lease", async () => {
  const gate = new Gate();
  const { clock, member } = await openMember(new SimDisk({ delay: gate.delay }));
  await granted(member, 7n, 5);
  gate.close();
  await clock.advance(5000 + roundMs);
  expect(member.lessor.all()).toEqual([7n]);
  const order: string[] = [];
  const renewed = member.lessor.keepAlive(7n).then((answer) => order.push(`renewed: ${answer}`));
  await clock.advance(1000);
  order.push("let go");
  gate.open();
  await renewed;
  expect(order).toEqual(["let go", "renewed: undefined"]);
});

test("a renewal that waits too long for the end of the lease is answered as unknown", async () => {
  const gate = new Gate();
  const { clock, member } = await openMember(new SimDisk({ delay: gate.delay }));
  await granted(member, 7n, 5);
  gate.close();
  await clock.advance(5000 + roundMs);
  const renewed = member.lessor.keepAlive(7n);
  await clock.advance(7000);
  expect(await renewed).toMatchObject({ kind: "outcomeUnknown" });
  gate.open();
});

test("after a restart a lease has its full time, wherever it was kept", async () => {
  const settings = { memtableBytesMax: 4096 };
  const { clock, disk, member } = await openMember(new SimDisk(), { settings });
  await granted(member, 1n, 10);
  for (let at = 0; at < 100; at++) await member.propose(putOf(`${at}`, "x".repeat(100)));
  await member.compact(member.revision, true);
  await granted(member, 2n, 10);
  await clock.advance(9000);
  const next = await openMember(disk.processCrash(), { settings });
  expect(next.member.lessor.all()).toEqual([1n, 2n]);
  await next.clock.advance(9999);
  expect(next.member.lessor.all()).toEqual([1n, 2n]);
  expect(await next.member.lessor.keepAlive(1n)).toBe(10);
  await gone(next.clock, next.member, 2n);
  expect(next.member.lessor.all()).toEqual([1n]);
});

test("time that a start takes is not taken from the leases", async () => {
  const { disk, member } = await openMember(new SimDisk());
  await granted(member, 7n, 5);
  const gate = new Gate();
  const clock = new SimClock();
  const opening = Member.open(
    optionsFor(disk.processCrash({ delay: gate.delay }), {
      clock,
      onStep: ({ name }) => {
        if (name === "term") gate.close();
      },
    }),
  );
  await until(() => gate.waiting === 1);
  await clock.advance(60_000);
  gate.open();
  const next = await opening;
  expect(next.lessor.all()).toEqual([7n]);
  await clock.advance(4999);
  expect(next.lessor.all()).toEqual([7n]);
  await whilePassing(clock, next.close());
});

test("a lease without an id is given one that nobody has", async () => {
  const { member } = await openMember(new SimDisk());
  const answers = [
    await member.lessor.grant(0n, 5),
    await member.lessor.grant(0n, 5),
    await member.lessor.grant(0n, 5),
  ];
  const leases = member.lessor.all();
  expect(answers).toMatchObject([{ kind: "grant" }, { kind: "grant" }, { kind: "grant" }]);
  expect(leases).toHaveLength(3);
  expect(leases).not.toContain(0n);
});
