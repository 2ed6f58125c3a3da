import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf } from "../../src/model/revision.ts";
import { LogFailedError, LogFullError } from "../../src/wal/failure.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  append,
  directory,
  entryOf,
  Logbook,
  largeLimits,
  nameOf,
  openLog,
  randomValue,
  severalSegments,
  smallLimits,
} from "./logbook.ts";

const value = (length: number) => Buffer.alloc(length, 7);

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

test("no frame is stamped before the one before it, nor before the time the log is told", async () => {
  const disk = new SimDisk();
  const stamp = async (options: Parameters<typeof openLog>[1]) => {
    const { log } = await openLog(disk, options);
    log.stage(entryOf(log.position.index + 1, value(10)));
    let wallMs = 0;
    await log.sync((batch) => {
      wallMs = batch.wallMs;
    });
    await log.close();
    return wallMs;
  };
  const at = (wallMs: number) => ({ clock: new SimClock(wallMs) });
  expect(await stamp({ ...at(1000), wallMsMin: 5000 })).toBe(5000);
  expect(await stamp(at(2000))).toBe(5000);
  expect(await stamp({ ...at(2000), wallMsMin: 6000 })).toBe(6000);
  expect(await stamp({ ...at(9000), wallMsMin: 6000 })).toBe(9000);
  const { log } = await openLog(disk, at(1000));
  expect(log.wallMs).toBe(9000);
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

test("a segment that could not be begun for want of room is begun anew", async () => {
  let full = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (full && operation === "write" ? "ENOSPC" : undefined),
  });
  const { log } = await openLog(disk, { limits: { ...smallLimits, segmentBytesMax: 1 } });
  const book = new Logbook();
  for (const failing of [false, true, true, false]) {
    full = failing;
    book.stage(log, entryOf(log.position.index + 1, value(100)));
    const outcome = await book.sync(log).catch((error) => error);
    if (!failing) continue;
    expect(outcome).toBeInstanceOf(LogFullError);
    await expect(log.sync()).rejects.toThrow("what is staged is discarded");
    book.discard(log);
  }
  expect(log.status().segments).toBe(2);
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
