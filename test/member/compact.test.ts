/** Compaction: the floor rises at once; whoever asks for it waits until what fell below is gone. */
import { expect, test } from "bun:test";
import { SimDisk, type SimDiskOptions } from "../sim/disk.ts";
import { Gate, gist, openMember, pairsOf, putOf, tableBytes, until, whilePassing } from "./rig.ts";

const versions = 200;
const versionBytes = 1000;

/** Whether a table is made there. */
function isTable(path: string): boolean {
  return path.endsWith(".tmp") && path.includes("/db/");
}

/** A member that holds many versions of one key. */
async function fullMember(options: SimDiskOptions = {}) {
  const disk = new SimDisk(options);
  const rig = await openMember(disk, { settings: { memtableBytesMax: 65_536 } });
  const value = "x".repeat(versionBytes);
  for (let at = 0; at < versions; at++) await rig.member.propose(putOf("a", value));
  return rig;
}

test("a physical compaction is answered when the old versions have left the tables", async () => {
  const { clock, disk, member } = await fullMember();
  const floor = member.revision;
  expect(gist(await whilePassing(clock, member.compact(floor, true)))).toBe(floor);
  expect(member.vitals().compactRevision).toBe(floor);
  expect(tableBytes(disk)).toBeLessThan(3 * versionBytes);
  expect(await pairsOf(member, floor - 1)).toBe("compacted");
});

test("a compaction that need not be physical is answered at once, and done in the background", async () => {
  const gate = new Gate();
  let tables = 0;
  const { clock, disk, member } = await fullMember({
    delay: gate.delay,
    fault: ({ operation, path }) => {
      if (operation === "create" && isTable(path)) tables++;
      return undefined;
    },
  });
  await whilePassing(clock, member.compact(2, true));
  const before = tables;
  expect(gist(await member.compact(member.revision, false))).toBe(member.revision);
  expect(tables).toBe(before);
  await until(() => tableBytes(disk) < 10 * versionBytes);
});

test("who asks for what was just compacted waits for the same sweep, and is told so", async () => {
  const { clock, disk, member } = await fullMember();
  const floor = member.revision;
  const bytes: number[] = [];
  const asked = [member.compact(floor, true), member.compact(floor, true)].map((answered) =>
    answered.then((answer) => {
      bytes.push(tableBytes(disk));
      return gist(answer);
    }),
  );
  expect(await whilePassing(clock, Promise.all(asked))).toEqual([floor, "compacted"]);
  for (const each of bytes) expect(each).toBeLessThan(3 * versionBytes);
});

test("a physical compaction is answered as unknown when the member closes before its end", async () => {
  const gate = new Gate();
  let isAsked = false;
  const { member } = await fullMember({
    delay: gate.delay,
    fault: ({ operation, path }) => {
      if (isAsked && operation === "create" && isTable(path)) {
        isAsked = false;
        gate.close();
      }
      return undefined;
    },
  });
  isAsked = true;
  const compacted = member.compact(member.revision, true);
  await until(() => gate.waiting > 0);
  const closed = member.close();
  // Closing goes on until it waits for the tables, which wait at the gate.
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  gate.open();
  expect(gist(await compacted)).toBe("outcomeUnknown");
  await closed;
});

test("a physical compaction is answered as unknown when the tables fail under it", async () => {
  let fails = false;
  const { clock, fatals, member } = await fullMember({
    fault: ({ operation, path }) =>
      fails && operation === "sync" && path.includes("/db/") ? "EIO" : undefined,
  });
  const compacted = member.compact(member.revision, true);
  await until(() => member.vitals().compactRevision > 0);
  fails = true;
  expect(gist(await whilePassing(clock, compacted))).toBe("outcomeUnknown");
  expect(fatals).toHaveLength(1);
  expect(gist(await member.compact(member.revision, true))).toBe("stopped");
});

test("what is not to be compacted is refused", async () => {
  const { member } = await openMember(new SimDisk());
  await member.propose(putOf("a"));
  expect(gist(await member.compact(3, false))).toBe("futureRevision");
  expect(gist(await member.compact(2, false))).toBe(2);
  expect(gist(await member.compact(2, false))).toBe("compacted");
  expect(gist(await member.compact(1, true))).toBe("compacted");
});
