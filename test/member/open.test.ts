/** Opening: what a member finds, what it refuses, and that a refusal changes and holds nothing. */
import { expect, test } from "bun:test";
import { sha256 } from "../../src/lib/checksum.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { DiskError, InUseError } from "../../src/lib/disk.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import { SimDisk } from "../sim/disk.ts";
import { dataDirectory, openMember, optionsFor, pairsOf, putOf } from "./rig.ts";

const identityPath = `${dataDirectory}/MEMBER`;

/** What opening is refused with. */
async function refusalOf(disk: SimDisk): Promise<Error> {
  const opened = Member.open(optionsFor(disk));
  const error = await opened.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new Error(`it opened, or threw ${error}`);
  return error;
}

/** A MEMBER file that says `json`. */
function identityOf(json: object): Buffer {
  const line = JSON.stringify(json);
  return Buffer.from(`${line}\n${sha256(line)}\n`);
}

test("identity and data stay, the term rises with each start", async () => {
  const disk = new SimDisk();
  const { member } = await openMember(disk);
  const { identity } = member;
  await member.propose(putOf("a", "1"));
  await member.close();
  for (let term = 2; term < 6; term++) {
    const { member: next } = await openMember(disk);
    expect(next.identity).toEqual(identity);
    expect<number>(next.term).toBe(term);
    expect<number>(next.revision).toBe(2);
    expect(await pairsOf(next)).toEqual(["a=1"]);
    await next.close();
  }
});

test("a directory in use is refused, and taken when it is free", async () => {
  const disk = new SimDisk();
  const { member } = await openMember(disk);
  expect(await refusalOf(disk)).toBeInstanceOf(InUseError);
  await member.close();
  const { member: next } = await openMember(disk);
  await next.close();
});

test.each([
  { what: "somebody else's file", path: `${dataDirectory}/notes.txt`, bytes: Buffer.from("hi") },
  {
    what: "a newer identity",
    path: identityPath,
    bytes: identityOf({ format_version: 2, cluster_id: "1", member_id: "1" }),
  },
])("a directory with $what is foreign, and left alone", async ({ bytes, path }) => {
  const disk = new SimDisk();
  disk.plant(path, bytes);
  const refusal = await refusalOf(disk);
  expect(refusal).toBeInstanceOf(ForeignError);
  expect(refusal.message).toContain(dataDirectory);
  expect(disk.paths()).toEqual([path]);
  expect(await refusalOf(disk)).toBeInstanceOf(ForeignError);
});

test("a log of another cluster is foreign", async () => {
  const [ours, theirs] = [new SimDisk(), new SimDisk()];
  for (const [seed, disk] of [ours, theirs].entries()) {
    const member = await Member.open(optionsFor(disk, { random: new SeededRandom(seed) }));
    await member.close();
  }
  ours.plant(identityPath, theirs.peek(identityPath));
  const refusal = await refusalOf(ours);
  expect(refusal).toBeInstanceOf(ForeignError);
  expect(refusal.message).toContain("/data/wal/");
});

test("a damaged identity is refused by name, wherever the damage is", async () => {
  const { disk, member } = await openMember(new SimDisk());
  await member.close();
  const whole = Buffer.from(disk.peek(identityPath));
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    disk.plant(identityPath, bytes);
    const refusal = await refusalOf(disk);
    expect(refusal).toBeInstanceOf(CorruptionError);
    expect(refusal.message).toContain(identityPath);
  }
  disk.plant(identityPath, whole);
  const { member: next } = await openMember(disk);
  await next.close();
});

test("an identity whose name was not durable when its process died is durable before the rest", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const dying = new SimDisk({
      delay: () => {
        if (dying.paths().includes(identityPath)) dying.unplug();
        return Promise.resolve();
      },
    });
    openMember(dying).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    let syncs = 0;
    const second = dying.processCrash({
      delay: () => {
        if (++syncs === 1 + (seed % 4)) second.unplug();
        return Promise.resolve();
      },
    });
    openMember(second).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    const { member } = await openMember(second.powerLoss(new SeededRandom(seed)));
    await member.close();
  }
});

test("a disk without room for the term is said to be full, and holds nothing back", async () => {
  let isFull = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (isFull && operation === "write" ? "ENOSPC" : undefined),
  });
  const first = await Member.open(
    optionsFor(disk, {
      onStep: ({ name }) => {
        isFull = name === "term";
      },
    }),
  ).catch((error: unknown) => error);
  expect(first).toBeInstanceOf(Error);
  expect(`${first}`).toContain("free some space");
  isFull = false;
  const { member } = await openMember(disk);
  await member.close();
});

test("a disk that is read-only is refused as that", async () => {
  const disk = new SimDisk({
    fault: ({ operation }) => (operation === "create" ? "EROFS" : undefined),
  });
  const refusal = await refusalOf(disk);
  expect(refusal).toBeInstanceOf(DiskError);
  expect(refusal.message).toContain("read-only");
});

test("what fails while the term begins fails the opening, and calls nothing fatal", async () => {
  let fails = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (fails && operation === "sync" ? "EIO" : undefined),
  });
  const fatals: unknown[] = [];
  const opened = await Member.open(
    optionsFor(disk, {
      onStep: ({ name }) => {
        fails = name === "term";
      },
      fatal: (error) => fatals.push(error),
    }),
  ).catch((error: unknown) => error);
  expect(opened).toBeInstanceOf(Error);
  expect(fatals).toEqual([]);
  fails = false;
  const { member } = await openMember(disk);
  await member.close();
});
