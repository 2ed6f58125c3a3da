import { expect, test } from "bun:test";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf, origin, termOf } from "../../src/model/revision.ts";
import { LogFailedError, LogFullError } from "../../src/wal/log.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  append,
  directory,
  diskWith,
  entryOf,
  filesOf,
  Logbook,
  largeLimits,
  openLog,
  randomValue,
} from "./logbook.ts";

const value = (length: number) => Buffer.alloc(length, 7);
const nameOf = (first: number, opening: number) =>
  `${`${first}`.padStart(20, "0")}-${`${opening}`.padStart(10, "0")}.wal`;
const small = { segmentBytesMax: 2048, segmentAgeMsMax: 10_000 };

/** A disk with entries 1 to 12 in frames of two sectors, two frames a segment, and its log. */
async function severalSegments() {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits: small });
  for (let frame = 0; frame < 6; frame++) await append(log, value(300), value(300));
  return { disk, log };
}

test("what was synced is replayed after a restart, in order, with every byte", async () => {
  const random = new SeededRandom(7);
  let disk = new SimDisk();
  const book = new Logbook();
  for (let start = 0; start < 8; start++) {
    const opened = await openLog(disk);
    book.reopened(opened, 0);
    for (let frame = 0; frame < 5; frame++) {
      for (let count = random.below(4); count >= 0; count--) {
        const { index } = opened.log.position;
        book.stage(opened.log, entryOf(index + 1, randomValue(random, random.below(2000)), start));
      }
      await book.sync(opened.log);
    }
    await opened.log.close();
    disk = disk.powerLoss(random);
  }
  book.reopened(await openLog(disk), 0);
});

test("only entries after the applied position are replayed", async () => {
  const { disk, log } = await severalSegments();
  const applied = log.position;
  await append(log, value(1), value(2));
  const { replayed } = await openLog(disk.processCrash(), { applied });
  expect(replayed.map(({ index }) => index as number)).toEqual([13, 14]);
});

test("what is staged while a sync runs is in the next frame", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  const book = new Logbook();
  book.stage(log, entryOf(1, value(10)));
  await book.sync(log, () => book.stage(log, entryOf(2, value(10))));
  expect(log.stagedBytes).toBe(512);
  book.crashed();
  book.reopened(await openLog(disk.processCrash()), 0);
  expect(book.acknowledged).toBe(1);
});

test("a sync with nothing staged touches no disk", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  const { calls } = disk;
  await log.sync();
  expect(disk.calls).toBe(calls);
});

test("a frame that would make the segment too long opens a new one", async () => {
  const { disk, log } = await severalSegments();
  expect(disk.list(directory)).toEqual([
    nameOf(1, 1),
    nameOf(3, 1),
    nameOf(5, 1),
    nameOf(7, 1),
    nameOf(9, 1),
    nameOf(11, 1),
  ]);
  await append(log, value(10_000));
  await append(log, value(1));
  expect(log.status()).toEqual({
    segments: 8,
    bytes: 6 * (512 + 1024) + 512 + 10_240 + 1024,
    firstIndex: indexOf(1),
    newestSegment: nameOf(14, 1),
  });
});

test("a segment is left when it is old enough, but not while it is empty", async () => {
  const disk = new SimDisk();
  const clock = new SimClock();
  const { log } = await openLog(disk, { clock });
  await clock.advance(60_000);
  await log.rotateIfOld();
  await append(log, value(1));
  expect(log.status().newestSegment).toBe(nameOf(1, 1));
  await clock.advance(9_999);
  await log.rotateIfOld();
  await append(log, value(1));
  expect(log.status().newestSegment).toBe(nameOf(1, 1));
  await clock.advance(1);
  await append(log, value(1));
  expect(log.status().newestSegment).toBe(nameOf(3, 1));
  await clock.advance(10_000);
  await log.rotateIfOld();
  expect(log.status().newestSegment).toBe(nameOf(4, 1));
  await log.rotateIfOld();
  expect(log.status().segments).toBe(3);
  expect((await openLog(disk.processCrash())).replayed).toHaveLength(3);
});

test("a sync that starts while an idle rotation runs waits for it", async () => {
  const disk = new SimDisk();
  const clock = new SimClock();
  const { log } = await openLog(disk, { clock });
  await append(log, value(1));
  await clock.advance(10_000);
  log.stage(entryOf(2, value(1)));
  await Promise.all([log.rotateIfOld(), log.sync()]);
  expect(log.status()).toMatchObject({ segments: 2, newestSegment: nameOf(2, 1) });
  expect((await openLog(disk.processCrash())).replayed).toHaveLength(2);
});

test("trimming removes the segments that hold nothing after the applied entry", async () => {
  const { disk, log } = await severalSegments();
  log.trim(indexOf(3));
  expect(log.status().firstIndex).toBe(indexOf(3));
  log.trim(indexOf(4));
  expect(log.status().firstIndex).toBe(indexOf(5));
  log.trim(indexOf(12));
  expect(log.status()).toMatchObject({ segments: 1, firstIndex: indexOf(11) });
  expect(disk.list(directory)).toEqual([nameOf(11, 1)]);
  const { replayed } = await openLog(disk.processCrash(), { applied: log.position });
  expect(replayed).toEqual([]);
});

test("a hole in what the tables hold anyway is no hole", async () => {
  const { disk, log } = await severalSegments();
  const applied = log.position;
  await append(log, value(1));
  disk.remove(`${directory}/${nameOf(5, 1)}`);
  const { replayed } = await openLog(disk.processCrash(), { applied });
  expect(replayed).toHaveLength(1);
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

test("a segment of another history does not follow", async () => {
  const { disk } = await severalSegments();
  const other = new SimDisk();
  const { log } = await openLog(other, { limits: small });
  for (let frame = 0; frame < 6; frame++) await append(log, value(301), value(301));
  const path = `${directory}/${nameOf(5, 1)}`;
  disk.plant(path, other.peek(path));
  await expect(openLog(disk)).rejects.toThrow("does not follow entry 4");
});

test("an entry out of order or of a lower term is a bug", async () => {
  const { log } = await openLog(new SimDisk());
  expect(() => log.stage(entryOf(2, value(1)))).toThrow("in order");
  log.stage(entryOf(1, value(1), 3));
  expect(() => log.stage(entryOf(2, value(1), 2))).toThrow("terms never fall");
});

test("after a full disk the log goes on where the last sync ended", async () => {
  let full = false;
  const fault = ({ operation }: { operation: string }) =>
    full && (operation === "write" || operation === "create") ? "ENOSPC" : undefined;
  const disk = new SimDisk({ fault });
  const { log } = await openLog(disk);
  const book = new Logbook();
  // Full at the first frame of a segment, at the making of the next, and at a later frame.
  for (let round = 0; round < 3; round++) {
    for (let again = 0; again < 2; again++) {
      full = true;
      book.stage(log, entryOf(log.position.index + 1, value(1000)));
      const sync = book.sync(log, () => {
        book.stage(log, entryOf(log.position.index + 1, value(1000)));
      });
      expect(await sync.catch((error) => error)).toBeInstanceOf(LogFullError);
      book.discard(log);
    }
    full = false;
    book.stage(log, entryOf(log.position.index + 1, value(round)));
    await book.sync(log);
  }
  expect(book.acknowledged).toBe(3);
  expect(disk.list(directory)).toEqual([nameOf(1, 1), nameOf(2, 1), nameOf(3, 1)]);
  book.reopened(await openLog(disk.processCrash()), 0);
});

test("a failed sync ends the log, even for want of room", async () => {
  let failing = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (failing && operation === "sync" ? "ENOSPC" : undefined),
  });
  const { log } = await openLog(disk);
  failing = true;
  log.stage(entryOf(1, value(1)));
  expect(await log.sync().catch((error) => error)).toBeInstanceOf(LogFailedError);
  failing = false;
  expect(() => log.stage(entryOf(2, value(1)))).toThrow(LogFailedError);
  expect(await log.sync().catch((error) => error)).toBeInstanceOf(LogFailedError);
  expect(() => log.discard()).toThrow(LogFailedError);
  expect(() => log.trim(indexOf(0))).toThrow(LogFailedError);
});

test("the wall clock in the log never goes back", async () => {
  const disk = new SimDisk();
  const clock = new SimClock(5000);
  const { log } = await openLog(disk, { clock });
  await append(log, value(1));
  clock.setWall(4000);
  await append(log, value(1));
  const { log: later } = await openLog(disk, { clock });
  await append(later, value(1));
  const bytes = disk.peek(`${directory}/${nameOf(1, 2)}`);
  const walls = [1, 2, 3].map((sector) => bytes.readBigUInt64LE(sector * 512 + 32));
  expect(walls).toEqual([5000n, 5000n, 5000n]);
});

test("progress ends with all bytes done, and the pass lets others run", async () => {
  const { disk } = await severalSegments();
  const clock = new SimClock();
  const seen: [number, number][] = [];
  let turns = 0;
  const now = () => clock.now() + turns * 10;
  const slow = {
    now,
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

test("a frame of many mebibytes is alone in its segment and comes back", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits: { ...largeLimits, segmentBytesMax: 2 ** 20 } });
  const random = new SeededRandom(3);
  const large = Buffer.alloc(12_000_000, "a large value ");
  const book = new Logbook();
  for (const bytes of [randomValue(random, 10), large, large, randomValue(random, 10)]) {
    book.stage(log, entryOf(log.position.index + 1, bytes));
    await book.sync(log);
  }
  expect(log.status().segments).toBe(4);
  book.reopened(await openLog(disk.processCrash()), 0);
});
