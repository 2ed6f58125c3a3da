/** A busy log writes into room that was made before; where there can be none it goes on without. */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import type { LogLimits } from "../../src/wal/options.ts";
import { SimClock } from "../sim/clock.ts";
import { type DiskCall, SimDisk } from "../sim/disk.ts";
import { append, directory, nameOf, openLog, print } from "./logbook.ts";

const limits: LogLimits = {
  segmentBytesMax: 8192,
  segmentAgeMsMax: 10_000,
  spareFromBytes: 1024,
};
const spare = `${directory}/spare.wal.tmp`;
const value = Buffer.alloc(300, 7);

const segmentsOf = (disk: SimDisk) => disk.paths().filter((path) => path.endsWith(".wal"));
const sizesOf = (disk: SimDisk) => segmentsOf(disk).map((path) => disk.peek(path).length);

test("a segment that is worth it has room made for the next, which then does not grow", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits });
  await append(log, value);
  // Header and frame: worth it from now on. Another frame gives it the time.
  await append(log, value);
  await append(log, value);
  const room = must(sizesOf(disk).at(-1), "there is a segment");
  expect(log.status().newestSegment).not.toBe(nameOf(1, 1));
  expect(room).toBe(4096);
  while (log.status().newestSegment === segmentsOf(disk).at(-1)?.split("/").at(-1)) {
    if (disk.paths().includes(spare)) break;
    await append(log, value);
    expect(sizesOf(disk).at(-1)).toBe(room);
  }
  expect(disk.paths()).toContain(spare);
  await log.close();
  expect(disk.paths()).not.toContain(spare);
  const again = await openLog(disk.processCrash());
  expect(again.lines).toEqual([]);
  expect(again.replayed).toHaveLength(log.position.index);
});

test("no room is longer than a segment, and a segment that fills its room goes on without", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits });
  const newest: string[] = [];
  for (let frame = 0; frame < 60; frame++) {
    await append(log, Buffer.alloc(frame % 7 === 0 ? 3000 : 100, 1));
    newest.push(log.status().newestSegment);
  }
  expect(new Set(newest).size).toBeGreaterThan(4);
  for (const size of sizesOf(disk)) expect(size).toBeLessThanOrEqual(limits.segmentBytesMax);
  const again = await openLog(disk.processCrash(), { limits });
  expect(again.replayed.map(print)).toHaveLength(60);
});

test("what a log says of its size is without room, after a start too", async () => {
  const disk = new SimDisk();
  const clock = new SimClock();
  const { log } = await openLog(disk, { clock, limits });
  for (let frame = 0; frame < 3; frame++) await append(log, value);
  // It has room and is left long before that is used up.
  await clock.advance(limits.segmentAgeMsMax);
  await append(log, value);
  const { bytes, segments } = log.status();
  expect(segments).toBe(3);
  expect(bytes).toBe(segments * 512 + 4 * 512);
  expect(sizesOf(disk)[1]).toBe(4096);
  const again = await openLog(disk.processCrash(), { limits });
  expect(again.log.status()).toMatchObject({ bytes, segments });
});

test("a log that is hardly written to has none", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits: { ...limits, spareFromBytes: 8192 } });
  for (let frame = 0; frame < 8; frame++) await append(log, value);
  expect(disk.paths()).toEqual([`${directory}/${nameOf(1, 1)}`]);
  expect(sizesOf(disk)).toEqual([log.status().bytes]);
});

test("a disk that is nearly full keeps what is left for entries", async () => {
  const disk = new SimDisk();
  disk.freeBytes = () => 2 ** 16 - 1;
  const { log } = await openLog(disk, { limits });
  for (let frame = 0; frame < 8; frame++) await append(log, value);
  expect(disk.paths()).toEqual([`${directory}/${nameOf(1, 1)}`]);
});

test.each(["create", "write", "sync", "remove"] as const)(
  "where its %s fails, the log goes on and says so once a segment",
  async (operation) => {
    const fault = (call: DiskCall) =>
      call.path === spare && call.operation === operation ? "EIO" : undefined;
    const disk = new SimDisk({ fault });
    const { lines, log } = await openLog(disk, { limits });
    for (let frame = 0; frame < 12; frame++) await append(log, value);
    expect(log.status().newestSegment).toBe(nameOf(1, 1));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("no room was made for the next log file");
    for (let frame = 0; frame < 12; frame++) await append(log, value);
    await log.close();
    const again = await openLog(disk.processCrash());
    expect(again.replayed).toHaveLength(24);
  },
);

test("a start removes what an earlier one had begun", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk, { limits });
  await append(log, value);
  await append(log, value);
  expect(disk.paths()).toContain(spare);
  const next = disk.processCrash();
  await openLog(next);
  expect(next.paths()).not.toContain(spare);
});
