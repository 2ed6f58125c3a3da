/** The callback form of the write path: one answer for each command, whatever becomes of it. */
import { expect, test } from "bun:test";
import type { Member } from "../../src/member/member.ts";
import type { Command } from "../../src/model/command.ts";
import { SimDisk } from "../sim/disk.ts";
import { Gate, gist, openMember, pairsOf, putOf, until } from "./rig.ts";

/** Submits and notes everything that is called, in words. */
function submitted(member: Member, command: Command, told: (string | number)[] = []) {
  member.submit(
    command,
    (answer) => told.push(gist(answer)),
    (error) => told.push(`failed: ${error}`),
  );
  return told;
}

test("a write is answered once: also one that was told that its outcome is unknown", async () => {
  const gate = new Gate();
  const { clock, member } = await openMember(new SimDisk({ delay: gate.delay }));
  gate.close();
  const told = submitted(member, putOf("a", "1"));
  await until(() => gate.waiting === 1);
  await clock.advance(20_000);
  expect(told).toEqual(["outcomeUnknown"]);
  gate.open();
  await until(() => member.vitals().pendingWrites === 0);
  expect(await pairsOf(member)).toEqual(["a=1"]);
  expect(told).toEqual(["outcomeUnknown"]);
});

test("what needs no entry is answered before the call returns", async () => {
  const { member } = await openMember(new SimDisk());
  const range = { key: "nothing", end: "" };
  expect(submitted(member, { kind: "deleteRange", range, previous: false })).toEqual([1]);
  expect(submitted(member, { kind: "revoke", lease: 5n })).toEqual(["leaseNotFound"]);
  await member.close();
  expect(submitted(member, putOf("a"))).toEqual(["stopped"]);
});

test("whoever is answered may submit at once", async () => {
  const { member } = await openMember(new SimDisk());
  const told: (string | number)[] = [];
  const next = () => {
    member.submit(
      putOf(`${told.length}`),
      (answer) => {
        told.push(gist(answer));
        if (told.length < 300) next();
      },
      (error) => told.push(`failed: ${error}`),
    );
  };
  for (let callers = 0; callers < 3; callers++) next();
  await until(() => told.length >= 300 && member.vitals().pendingWrites === 0);
  expect(told).toEqual(Array.from({ length: told.length }, (_, at) => at + 2));
});

test("a caller that throws on its answer ends the member, and takes nobody's answer", async () => {
  const { fatals, member } = await openMember(new SimDisk());
  const broken = new Error("the caller is broken");
  const told = submitted(member, putOf("a", "1"));
  member.submit(
    putOf("b", "2"),
    () => {
      throw broken;
    },
    (error) => told.push(`failed: ${error}`),
  );
  submitted(member, putOf("c", "3"), told);
  await until(() => fatals.length > 0);
  expect(told).toEqual([2, 4]);
  expect(fatals).toEqual([broken]);
  expect(submitted(member, putOf("d", "4"))).toEqual(["stopped"]);
});

test("an error that a decision meets goes to the caller, and to the owner before that", async () => {
  let fails = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (fails && operation === "read" ? "EIO" : undefined),
  });
  const { fatals, member } = await openMember(disk, { settings: { cacheBytesMax: 0 } });
  await member.propose(putOf("a", "1"));
  await member.compact(2, true);
  fails = true;
  const told: unknown[] = [];
  member.submit(
    { ...putOf("a", "2"), previous: true },
    (answer) => told.push(answer),
    (error) => told.push(...fatals, error),
  );
  expect(told).toHaveLength(2);
  expect(told[0]).toBe(told[1]);
  expect(member.isLeader).toBe(false);
});
