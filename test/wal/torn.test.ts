/** What an append that a crash cut short leaves behind is cut off; nothing else is. */
import { describe, expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { CorruptionError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount, say, whole } from "../support/effort.ts";
import { append, diskWith, entryOf, filesOf, openLog, print, randomValue } from "./logbook.ts";

const random = new SeededRandom(11);
const sector = 512;
/** The last frame is cut at every so many bytes. */
const cutStep = amount(1, 7, 1);

/** What a segment may have behind its last frame: nothing, or room that was made for more. */
const rooms = [0, 512, 70_000];

/** Batches of values, the last of which is the one that is torn. */
const logs: Record<string, readonly (readonly Buffer[])[]> = {
  "one small record": [[randomValue(random, 100)], [randomValue(random, 100)]],
  "the only record": [[randomValue(random, 100)]],
  "a record that fills its sectors": [[Buffer.alloc(40, 1)], [Buffer.alloc(1430, 2)]],
  "a batch of three": [
    [randomValue(random, 700), randomValue(random, 20)],
    [randomValue(random, 30), randomValue(random, 40), randomValue(random, 50)],
  ],
  "a batch of three over several sectors": [
    [randomValue(random, 700)],
    [Buffer.alloc(900, 5), Buffer.alloc(1100), Buffer.alloc(300, 6)],
  ],
};

async function written(batches: readonly (readonly Buffer[])[]) {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  let lastAt = 0;
  for (const batch of batches) {
    lastAt = log.status().bytes;
    await append(log, ...batch);
  }
  const [found] = [...filesOf(disk)];
  const [path, bytes] = must(found, "there is a segment");
  const values = batches.flat();
  const earlier = values.length - must(batches.at(-1), "there is a batch").length;
  const prints = values.map((value, at) => print(entryOf(at + 1, value)));
  return { path, bytes, lastAt, earlier, prints };
}

/** Opens a log of these bytes, expects so many entries, and that it takes and keeps another. */
async function opens(path: string, bytes: Buffer, prints: readonly string[]): Promise<string[]> {
  const disk = diskWith(new Map([[path, bytes]]));
  const { lines, log, replayed } = await openLog(disk);
  expect(replayed.map(print)).toEqual([...prints]);
  const value = Buffer.from("after the crash");
  await append(log, value);
  const again = await openLog(disk.processCrash());
  expect(again.replayed.map(print)).toEqual([...prints, print(entryOf(prints.length + 1, value))]);
  expect(again.lines).toEqual([]);
  return lines;
}

describe.each(Object.entries(logs))("a log that ends with %s", (_, batches) => {
  test("cut at any byte of the last frame, is opened without that frame", async () => {
    const { bytes, earlier, lastAt, path, prints } = await written(batches);
    for (const room of rooms) {
      const whole = Buffer.concat([bytes, Buffer.alloc(room)]);
      expect(await opens(path, whole, prints)).toEqual([]);
      const before = Buffer.concat([bytes.subarray(0, lastAt), Buffer.alloc(room)]);
      expect(await opens(path, before, prints.slice(0, earlier))).toEqual([]);
    }
    for (let end = lastAt + 1; end < bytes.length; end += cutStep) {
      const lines = await opens(path, bytes.subarray(0, end), prints.slice(0, earlier));
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain(`offset=${lastAt} bytes=${end - lastAt}`);
    }
    say(`${Math.ceil((bytes.length - lastAt - 1) / cutStep)} cuts`);
  });

  test("with any sectors of the last frame missing, is opened without that frame", async () => {
    const { bytes, earlier, lastAt, path, prints } = await written(batches);
    const sectors = (bytes.length - lastAt) / sector;
    for (const room of rooms) {
      for (let missing = 1; missing < 2 ** sectors; missing++) {
        const found = Buffer.concat([bytes, Buffer.alloc(room)]);
        let end = lastAt;
        for (let at = 0; at < sectors; at++) {
          const from = lastAt + at * sector;
          if ((missing >> at) & 1) found.fill(0, from, from + sector);
          else end = from + sector;
        }
        const lines = await opens(path, found, prints.slice(0, earlier));
        // Where nothing of it was written, it looks like room.
        expect(lines).toHaveLength(end === lastAt ? 0 : 1);
        if (end > lastAt) expect(lines[0]).toContain(`offset=${lastAt} bytes=${end - lastAt}`);
      }
    }
    say(`${rooms.length * (2 ** sectors - 1)} sets of sectors`);
  });
});

test("a sector missing from any frame but the last is damage", async () => {
  const { bytes, lastAt, path } = await written([
    ...must(logs["a batch of three over several sectors"], "a log of that name"),
    [Buffer.alloc(10, 1)],
  ]);
  for (let at = sector; at < lastAt; at += sector) {
    const found = Buffer.from(bytes).fill(0, at, at + sector);
    const refusal = openLog(diskWith(new Map([[path, found]])));
    await expect(refusal).rejects.toThrow(CorruptionError);
  }
});

test("a torn frame in any segment but the last is damage", async () => {
  const disk = new SimDisk();
  const limits = { segmentBytesMax: 1, segmentAgeMsMax: 10_000 };
  const { log } = await openLog(disk, { limits });
  for (let frame = 0; frame < 3; frame++) await append(log, Buffer.alloc(600, 1));
  const files = filesOf(disk);
  for (const [path, bytes] of [...files].slice(0, -1)) {
    for (let end = 0; end < bytes.length; end += whole ? 1 : 7) {
      const damaged = diskWith(new Map([...files, [path, bytes.subarray(0, end)]]));
      const refusal = openLog(damaged);
      await expect(refusal).rejects.toThrow(CorruptionError);
      await expect(refusal).rejects.toThrow(/segment header|are missing|ends inside a frame/);
    }
  }
});

test("old blocks of another log behind a torn frame do not make it damage", async () => {
  const batches = [[Buffer.alloc(10)], [Buffer.alloc(2000, 1)]];
  const { bytes, lastAt, path, prints } = await written(batches);
  const other = new SimDisk();
  const { log } = await openLog(other, { random: new SeededRandom(2) });
  await append(log, Buffer.alloc(10));
  const [found] = [...filesOf(other)];
  const [, stale] = must(found, "there is a segment");
  const torn = Buffer.from(bytes).fill(0, lastAt, lastAt + sector);
  stale.copy(torn, lastAt + sector, sector);
  expect(await opens(path, torn, prints.slice(0, 1))).toHaveLength(1);
});

test("values of zeros are whole when they are, torn when a sector is missing", async () => {
  for (const length of [512, 4096, 10_000]) {
    const batches = [[Buffer.alloc(length)], [Buffer.alloc(length), Buffer.alloc(length)]];
    const { bytes, lastAt, path, prints } = await written(batches);
    expect(await opens(path, bytes, prints)).toEqual([]);
    for (let at = lastAt; at < bytes.length; at += sector) {
      const found = Buffer.from(bytes).fill(0, at, at + sector);
      expect(await opens(path, found, prints.slice(0, 1))).toHaveLength(1);
    }
  }
});

test("a flipped bit in a value of zeros is damage, in the last frame too", async () => {
  const { bytes, lastAt, path } = await written([[Buffer.alloc(10)], [Buffer.alloc(4096)]]);
  for (let at = lastAt; at < lastAt + 4096; at++) {
    for (const bit of whole ? [0, 1, 2, 3, 4, 5, 6, 7] : [at % 8]) {
      const found = Buffer.from(bytes);
      found[at] = must(found[at], "inside the file") ^ (1 << bit);
      const refusal = openLog(diskWith(new Map([[path, found]])));
      await expect(refusal).rejects.toThrow(CorruptionError);
    }
  }
});

test("a value that is an image of the log itself hides nothing and feigns nothing", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  for (let frame = 0; frame < 3; frame++) await append(log, Buffer.alloc(600, frame));
  const [found] = [...filesOf(disk)];
  const [path, image] = must(found, "there is a segment");
  const lastAt = image.length;
  const prints = [0, 1, 2].map((frame) => print(entryOf(frame + 1, Buffer.alloc(600, frame))));
  // Some of these put the frames of the image at the starts of sectors.
  for (let shift = 0; shift < sector; shift++) {
    const world = diskWith(new Map([[path, image]]));
    const { log: copied } = await openLog(world);
    await append(copied, Buffer.concat([Buffer.alloc(shift, 1), image]));
    const [now] = [...filesOf(world)];
    const [copy, bytes] = must(now, "there is a segment");
    bytes.fill(0, lastAt, lastAt + sector);
    await opens(copy, bytes, prints);
  }
});
