/** What a start makes of the files it finds. */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf, origin, termOf } from "../../src/model/revision.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  append,
  directory,
  diskWith,
  entryOf,
  filesOf,
  nameOf,
  openLog,
  print,
  severalSegments,
  smallLimits,
} from "./logbook.ts";

const value = (length: number) => Buffer.alloc(length, 7);

test("only entries after the applied position are replayed", async () => {
  const { disk, log } = await severalSegments();
  const applied = log.position;
  await append(log, value(1), value(2));
  const { replayed } = await openLog(disk.processCrash(), { applied });
  expect(replayed.map(({ index }) => index as number)).toEqual([13, 14]);
});

test("a hole in what the tables hold anyway is no hole", async () => {
  const { disk, log } = await severalSegments();
  const applied = log.position;
  await append(log, value(1));
  disk.remove(`${directory}/${nameOf(5, 1)}`);
  const { replayed } = await openLog(disk.processCrash(), { applied });
  expect(replayed).toHaveLength(1);
});

test("what a start has given up does not come back with a power loss", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { disk } = await severalSegments();
    const restarted = disk.processCrash();
    const { log } = await openLog(restarted, { end: indexOf(10) });
    await append(log, value(1));
    const { replayed } = await openLog(restarted.powerLoss(new SeededRandom(seed)));
    expect(replayed.map(print)).toEqual(
      [...Array(10).fill(value(300)), value(1)].map((bytes, at) => print(entryOf(at + 1, bytes))),
    );
  }
});

test("no file of an earlier start is appended to", async () => {
  const disk = new SimDisk();
  for (let opening = 1; opening <= 3; opening++) {
    const { log } = await openLog(disk);
    expect(disk.list(directory)).toEqual([nameOf(1, opening)]);
    await append(log, value(600));
    await log.close();
  }
});

test("of two segments with the same first index the newer one counts", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  await append(log, value(1));
  const earlier = filesOf(disk);
  const { log: later } = await openLog(disk);
  await append(later, value(2));
  const both = diskWith(new Map([...earlier, ...filesOf(disk)]));
  expect(both.list(directory)).toEqual([nameOf(1, 1), nameOf(1, 2)]);
  const { replayed } = await openLog(both);
  expect(replayed).toHaveLength(2);
  expect(both.list(directory)).toEqual([nameOf(1, 3)]);
});

test("a half-made segment is removed, a stranger's file is left alone and said", async () => {
  const { disk } = await severalSegments();
  disk.plant(`${directory}/${nameOf(13, 1)}.tmp`, value(100));
  disk.plant(`${directory}/notes.txt`, value(100));
  const { lines, replayed } = await openLog(disk);
  expect(replayed).toHaveLength(12);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`path=${directory}/notes.txt`);
  expect(disk.list(directory)).toContain("notes.txt");
  expect(disk.list(directory)).not.toContain(`${nameOf(13, 1)}.tmp`);
});

test("a file with a segment's ending and another name is refused", async () => {
  const { disk } = await severalSegments();
  disk.plant(`${directory}/copy of ${nameOf(1, 1)}`, value(100));
  await expect(openLog(disk)).rejects.toThrow(ForeignError);
});

test("another cluster's log is refused by name", async () => {
  const { disk } = await severalSegments();
  const refusal = openLog(disk, { cluster: 0xc2n });
  await expect(refusal).rejects.toThrow(ForeignError);
  await expect(refusal).rejects.toThrow("is of cluster c1, not of c2");
});

test("a newer format is refused by name, a damaged version number is damage", async () => {
  const { disk } = await severalSegments();
  const path = `${directory}/${nameOf(1, 1)}`;
  const bytes = disk.peek(path);
  bytes.writeUInt32LE(2, 8);
  await expect(openLog(disk)).rejects.toThrow(CorruptionError);
  bytes.writeUInt32LE(Bun.hash.crc32(bytes.subarray(0, 48)), 48);
  const refusal = openLog(disk);
  await expect(refusal).rejects.toThrow(ForeignError);
  await expect(refusal).rejects.toThrow("has log format 2, this T4 reads format 1");
});

test("a segment that is gone is a hole, and the entries are named", async () => {
  const { disk } = await severalSegments();
  disk.remove(`${directory}/${nameOf(5, 1)}`);
  await expect(openLog(disk)).rejects.toThrow("entries 5 to 6 are missing");
  disk.remove(`${directory}/${nameOf(1, 1)}`);
  await expect(openLog(disk)).rejects.toThrow("entries 1 to 2 are missing");
});

test("a log that is gone altogether is refused while the tables hold entries", async () => {
  const { log } = await severalSegments();
  const refusal = openLog(new SimDisk(), { applied: log.position });
  await expect(refusal).rejects.toThrow("entries 1 to 12 are missing");
});

test("a log that ends before the tables do is refused", async () => {
  const { disk, log } = await severalSegments();
  const applied = { ...log.position, index: indexOf(13) };
  await expect(openLog(disk, { applied })).rejects.toThrow(
    "ends with entry 12, the tables with 13",
  );
});

test("tables that were made from another log are refused", async () => {
  const { disk, log } = await severalSegments();
  const { position } = log;
  for (const applied of [
    { ...position, chain: position.chain + 1n },
    { ...position, index: indexOf(5) },
    { ...position, index: indexOf(0), chain: 5n },
    { ...origin, term: termOf(1) },
  ]) {
    await expect(openLog(disk.processCrash(), { applied })).rejects.toThrow(
      "log and tables disagree",
    );
  }
});

test("a segment under another's name is refused", async () => {
  const { disk, log } = await severalSegments();
  const applied = { ...log.position, index: indexOf(4) };
  const files = filesOf(disk);
  const renamed = diskWith(
    new Map([
      [`${directory}/${nameOf(5, 1)}`, must(files.get(`${directory}/${nameOf(3, 1)}`), "")],
    ]),
  );
  await expect(openLog(renamed, { applied })).rejects.toThrow("says it begins at entry 3");
});

test("what the copy reads must be what the replay read", async () => {
  let disk = new SimDisk();
  const { log } = await openLog(disk);
  await append(log, value(1000));
  const path = `${directory}/${nameOf(1, 1)}`;
  disk = disk.processCrash({
    fault: ({ operation }) => {
      if (operation === "create") disk.peek(path).fill(0, 1024);
      return undefined;
    },
  });
  await expect(openLog(disk)).rejects.toThrow("two reads of it differ");
  expect(disk.list(directory)).toContain(nameOf(1, 1));
});

test("a segment of another history does not follow", async () => {
  const { disk } = await severalSegments();
  const other = new SimDisk();
  const { log } = await openLog(other, { limits: smallLimits });
  for (let frame = 0; frame < 6; frame++) await append(log, value(301), value(301));
  const path = `${directory}/${nameOf(5, 1)}`;
  disk.plant(path, other.peek(path));
  await expect(openLog(disk)).rejects.toThrow("does not follow entry 4");
});

test("progress ends with all bytes done, and the pass lets others run", async () => {
  const { disk } = await severalSegments();
  const clock = new SimClock();
  const seen: [number, number][] = [];
  let turns = 0;
  const now = () => clock.now() + turns * 10;
  const slow = {
    now,
    elapsed: now,
    wall: now,
    sleep: () => Promise.resolve(),
    yield: () => {
      turns++;
      return Promise.resolve();
    },
  };
  const replay = () => {
    turns++;
  };
  await openLog(disk, { clock: slow, replay, progress: (...at) => seen.push(at) });
  const total = 6 * (512 + 1024);
  expect(seen.at(-1)).toEqual([total, total]);
  expect(seen.length).toBeGreaterThan(6);
  expect(seen.every(([done], at) => at === 0 || done >= (seen[at - 1]?.[0] ?? 0))).toBe(true);
});
