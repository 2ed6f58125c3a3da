import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { silent } from "../../src/lib/logger.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { type Batch, decodeBatch } from "../../src/model/batch.ts";
import { indexOf, origin, type Position } from "../../src/model/revision.ts";
import { Log } from "../../src/wal/log.ts";
import type { LogOptions } from "../../src/wal/options.ts";
import { findLogEnd, surveyLog } from "../../src/wal/survey.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  append,
  cluster,
  directory,
  entryOf,
  openLog,
  severalSegments,
  smallLimits,
} from "./logbook.ts";

const value = Buffer.alloc(300, 7);

function indexesOf(batches: readonly Batch[]): number[] {
  return batches.flatMap((batch) => decodeBatch(batch).map(({ entry }) => entry.index));
}

function survey(disk: SimDisk, applied: Position = origin) {
  return surveyLog({ disk, directory, cluster, clock: new SimClock(), logger: silent, applied });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}

test("what is written is handed on before it is durable, as the batch that a reader finds later", async () => {
  const { log } = await openLog(new SimDisk());
  const written: Batch[] = [];
  for (let frame = 0; frame < 3; frame++) {
    log.stage(entryOf(log.position.index + 1, value));
    log.stage(entryOf(log.position.index + 1, Buffer.alloc(0)));
    const { index } = log.synced;
    await log.sync((batch) => {
      expect(log.synced.index).toBe(index);
      written.push(batch);
    });
  }
  expect(indexesOf(written)).toEqual(range(1, 6));
  expect(written.map(({ firstRevision, lastRevision }) => [firstRevision, lastRevision])).toEqual([
    [2, 3],
    [4, 5],
    [6, 7],
  ]);
  expect(log.reader(origin).read(2 ** 20)).toEqual(written);
});

test("a batch that the disk has no room for is not handed on", async () => {
  let isFull = false;
  const disk = new SimDisk({ fault: () => (isFull ? "ENOSPC" : undefined) });
  const { log } = await openLog(disk);
  isFull = true;
  log.stage(entryOf(1, value));
  let handed = 0;
  await expect(log.sync(() => handed++)).rejects.toThrow("no room");
  expect(handed).toBe(0);
});

test("a reader goes on where it stopped, over segments and starts, and sees nothing twice", async () => {
  const { disk, log } = await severalSegments();
  const reader = log.reader(origin);
  expect(indexesOf(reader.read(1))).toEqual([1, 2]);
  expect(indexesOf(reader.read(2 ** 20))).toEqual(range(3, 12));
  expect(reader.read(2 ** 20)).toEqual([]);
  await append(log, value);
  expect(indexesOf(reader.read(2 ** 20))).toEqual([13]);
  log.stage(entryOf(14, value));
  expect(reader.read(2 ** 20)).toEqual([]);
  const { position } = reader;
  await log.close();
  const { log: again } = await openLog(disk, { limits: smallLimits });
  await append(again, value, value);
  expect(indexesOf(again.reader(position).read(2 ** 20))).toEqual([14, 15]);
  expect(indexesOf(again.reader(origin).read(2 ** 20))).toEqual(range(1, 15));
});

test("batches of one log make another with the same history", async () => {
  const { log } = await severalSegments();
  const disk = new SimDisk();
  const { log: copy } = await openLog(disk);
  for (const batch of log.reader(origin).read(2 ** 20)) {
    copy.stageBatch(batch);
    await copy.sync();
  }
  expect(copy.synced).toEqual(log.synced);
  const { replayed } = await openLog(disk);
  expect(replayed.map(({ index }) => index)).toEqual(range(1, 12).map(indexOf));
});

test("a survey tells the points between frames, and where each history stands there", async () => {
  const { disk, log } = await severalSegments();
  const ends = log
    .reader(origin)
    .read(2 ** 20)
    .map(({ end }) => end);
  const plain = (cuts: readonly { index: number; chain: bigint }[]) =>
    new Map(cuts.map(({ index, chain }) => [index, chain]));
  expect(plain(await survey(disk))).toEqual(plain([origin, ...ends]));
  const after = must(ends[3], "there are six");
  expect(plain(await survey(disk, after))).toEqual(plain(ends.slice(3)));
});

test("a survey of a damaged log ends where the damage is", async () => {
  const { disk } = await severalSegments();
  const names = disk.list(directory);
  const path = `${directory}/${names[3]}`;
  disk.remove(path);
  expect((await survey(disk)).at(-1)?.index).toBe(indexOf(6));
  const empty = new SimDisk();
  empty.makeDirectory(directory);
  expect(await survey(empty)).toEqual([]);
});

/** Another bit at `offset` of a file. */
function flip(disk: SimDisk, path: string, offset: number): void {
  const bytes = Buffer.from(disk.peek(path));
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  disk.plant(path, bytes);
}

function endOf(disk: SimDisk) {
  return findLogEnd({ disk, directory, cluster, clock: new SimClock(), logger: silent });
}

test("the end of a log is found by its last segment, or said to be hidden by damage", async () => {
  const { disk: whole, log } = await severalSegments();
  const { chain, index } = log.synced;
  const paths = whole.list(directory).map((name) => `${directory}/${name}`);
  const [first = "", second = ""] = paths;
  const last = paths.at(-1) ?? "";
  const harmless = whole.copy();
  harmless.remove(first);
  flip(harmless, second, 600);
  expect(await endOf(harmless)).toMatchObject({ chain, index });
  for (const [offset, what] of [
    [3, "offset 0: it does not begin with a segment header"],
    [600, "offset 512: a frame's checksum does not match"],
  ] as const) {
    const disk = whole.copy();
    flip(disk, last, offset);
    await expect(endOf(disk)).rejects.toThrow(`${last} is damaged at ${what}`);
  }
});

test("the remains of an interrupted append hide no end, and a log without a segment has none", async () => {
  const { disk } = await severalSegments();
  const last = `${directory}/${disk.list(directory).at(-1)}`;
  disk.plant(last, disk.peek(last).subarray(0, -512));
  expect((await endOf(disk))?.index).toBe(indexOf(10));
  const empty = new SimDisk();
  empty.makeDirectory(directory);
  expect(await endOf(empty)).toBeUndefined();
});

test("a log can be opened up to the end of a frame; what followed is gone for good", async () => {
  for (const end of [2, 4, 8, 12]) {
    const { disk } = await severalSegments();
    const { log, replayed } = await openLog(disk, { limits: smallLimits, end: indexOf(end) });
    expect(replayed.map(({ index }) => index)).toEqual(range(1, end).map(indexOf));
    await append(log, value);
    await log.close();
    const again = await openLog(disk, { limits: smallLimits });
    expect(again.replayed.length).toBe(end + 1);
  }
});

test("a log is not cut inside a frame", async () => {
  const { disk } = await severalSegments();
  await expect(openLog(disk, { end: indexOf(3) })).rejects.toThrow("no frame ends with entry 3");
});

test("a log begun anew goes on after a position and knows nothing of what was there", async () => {
  const { disk, log } = await severalSegments();
  const from = log.synced;
  await log.close();
  const options: LogOptions = {
    ...optionsOn(disk),
    applied: from,
  };
  const begun = await Log.begin(options, from);
  await append(begun, value);
  await begun.close();
  const { replayed } = await openLog(disk, { applied: from });
  expect(replayed.map(({ index }) => index)).toEqual([indexOf(13)]);
  expect(disk.list(directory).length).toBe(1);
});

function optionsOn(disk: SimDisk): LogOptions {
  return {
    disk,
    directory,
    cluster,
    clock: new SimClock(),
    random: new SeededRandom(1),
    logger: silent,
    limits: smallLimits,
    meters: { fsyncSeconds: { observe: () => undefined }, bytes: { add: () => undefined } },
    applied: origin,
    replay: () => undefined,
  };
}
