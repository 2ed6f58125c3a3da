/** Which runs are merged, what a merge may drop, and who waits for whom. */
import { expect, test } from "bun:test";
import { bytesOf } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { chooseMerge } from "../../src/lsm/compaction.ts";
import type { Tree } from "../../src/lsm/tree.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { say } from "../support/effort.ts";
import { schemaOf } from "./model.ts";
import { directory, openTree, type Position, tinyLimits, until } from "./rig.ts";

const fanout = 4;

/** Flushes runs of these sizes, merging as it is due; returns what it came to. */
function ingest(count: number, sizeOf: () => number) {
  const runs: number[] = [];
  let ingested = 0;
  let written = 0;
  let runsMax = 0;
  for (let flush = 0; flush < count; flush++) {
    const size = sizeOf();
    runs.unshift(size);
    ingested += size;
    for (;;) {
      const { end, from } = chooseMerge(runs, fanout, Number.POSITIVE_INFINITY);
      if (end === 0) break;
      const merged = runs.slice(from, end).reduce((sum, each) => sum + each, 0);
      runs.splice(from, end - from, merged);
      written += merged;
    }
    runsMax = Math.max(runsMax, runs.length);
  }
  return { runsMax, amplification: 1 + written / ingested };
}

test("rows are written a few times and runs stay few, whatever the sizes of flushes", () => {
  const random = new SeededRandom(1);
  const sizes: Record<string, () => number> = {
    equal: () => 12,
    uniform: () => 1 + random.float() * 15,
    spread: () => 16 / 2 ** random.below(5),
    alternating: () => (random.below(3) === 0 ? 14 : 1),
  };
  for (const [name, sizeOf] of Object.entries(sizes)) {
    const { amplification, runsMax } = ingest(4000, sizeOf);
    expect([name, runsMax <= 4 * fanout]).toEqual([name, true]);
    expect([name, amplification < 9]).toEqual([name, true]);
  }
});

test("a merge takes neighbours of like size, the smallest first, and none that are busy", () => {
  const { NaN: busy, POSITIVE_INFINITY: any } = Number;
  expect(chooseMerge([1, 1, 1, 1], fanout, any)).toMatchObject({ from: 0, end: 4 });
  expect(chooseMerge([1, 1, 1, 9], fanout, any).end).toBe(0);
  expect(chooseMerge([9, 1, 1, 1, 1, 9], fanout, any)).toMatchObject({ from: 1, end: 5 });
  expect(chooseMerge([5, 5, 5, 5, 99, 1, 1, 1, 1], fanout, any)).toMatchObject({ from: 5, end: 9 });
  expect(chooseMerge([1, 1, busy, 1, 1, 1], fanout, any).end).toBe(0);
  expect(chooseMerge([busy, 1, 1, 1, 1], fanout, any)).toMatchObject({ from: 1, end: 5 });
  expect(chooseMerge([2, 2, 2, 2], fanout, 8).end).toBe(0);
  expect(chooseMerge([], fanout, any).end).toBe(0);
});

/** Rows with these names, each of `bytes`, flushed into a run of their own. */
async function flush(tree: Tree<Position>, names: string, bytes: number): Promise<void> {
  for (const name of names) tree.put(`p${name}`, new Uint8Array(bytes));
  tree.seal({ at: 1 });
  await tree.flushed();
}

test("a sieve is at the bottom only when nothing older lies in the range of its merge", async () => {
  const told: boolean[] = [];
  const schema = { ...schemaOf({ floor: () => 0 }) };
  schema.sieve = (bottom) => {
    told.push(bottom);
    return () => false;
  };
  const clock = new SimClock();
  const tree = await openTree(new SimDisk(), { schema, clock });
  await flush(tree, "dek", 3000);
  for (const name of ["l", "m", "n"]) await flush(tree, name, 300);
  await until(clock, () => tree.stats().runs === 2);
  expect(told).toEqual([true]);
  for (const name of ["a", "m", "n"]) await flush(tree, name, 200);
  await until(clock, () => tree.stats().runs === 3);
  expect(told).toEqual([true, false]);
  await tree.major();
  expect(told).toEqual([true, false, true]);
  expect(await tree.check()).toEqual([]);
  await tree.close();
});

test("a deletion goes when nothing is left for it to hide, and not before", async () => {
  const clock = new SimClock();
  const tree = await openTree(new SimDisk(), { clock });
  await flush(tree, "abc", 3000);
  for (const name of ["a", "b", "c"]) {
    tree.delete(`p${name}`);
    await flush(tree, "", 0);
  }
  await until(clock, () => tree.stats().runs === 2);
  expect(tree.tables().map(({ deletions }) => deletions)[0]).toBe(3);
  expect(tree.scan("").next()).toBe(false);
  await tree.major();
  expect(tree.tables()).toEqual([]);
  expect(tree.scan("").next()).toBe(false);
  expect(tree.durable).toEqual({ at: 1 });
  expect(await tree.check()).toEqual([]);
  await tree.close();
});

test("while a big merge runs, flushes do not wait and small merges go first", async () => {
  const tree = await openTree(new SimDisk(), { limits: { ...tinyLimits, sealedMax: 1 } });
  for (let at = 0; at < 60; at++) await flush(tree, String.fromCharCode(100 + at), 4000);
  let isDone = false;
  const major = tree.major().then(() => {
    isDone = true;
  });
  const before = tree.stats();
  let flushes = 0;
  let merged = 0;
  while (!isDone && flushes < 500) {
    await flush(tree, "abc", 30);
    await tree.room();
    if (!isDone) merged = tree.stats().mergedBytes - before.mergedBytes;
    flushes++;
  }
  await major;
  expect(flushes).toBeGreaterThan(20);
  expect(merged).toBeGreaterThan(0);
  expect(await tree.check()).toEqual([]);
  await tree.close();
});

test("a tree that is closed does not wait for the merge it is in", async () => {
  const disk = new SimDisk();
  const tree = await openTree(disk);
  for (let at = 0; at < 30; at++) await flush(tree, String.fromCharCode(100 + at), 4000);
  const before = tree.tables();
  const major = tree.major();
  // Whoever waits below is told.
  major.catch(() => undefined);
  await new SimClock().yield();
  await tree.close();
  await expect(major).rejects.toThrow("closed");
  const again = await openTree(disk);
  expect(again.tables()).toEqual(before);
  expect(await again.check()).toEqual([]);
  await again.close();
});

test("writers wait when too many memtables are sealed, and go on when one is flushed", async () => {
  const tree = await openTree(new SimDisk());
  for (let at = 0; at <= tinyLimits.sealedMax; at++) {
    expect(tree.room()).toBeUndefined();
    tree.put("p", bytesOf(`${at}`));
    tree.seal({ at });
  }
  const room = tree.room();
  expect(room).toBeInstanceOf(Promise);
  await room;
  expect(tree.room()).toBeUndefined();
  await tree.flushed();
  expect(tree.durable).toEqual({ at: tinyLimits.sealedMax });
  await tree.close();
});

test("who waits for a tree that is closed, or has failed, is told", async () => {
  const closed = await openTree(new SimDisk());
  closed.put("p", bytesOf("row"));
  closed.seal({ at: 1 });
  const flushed = closed.flushed();
  // Whoever waits below is told.
  flushed.catch(() => undefined);
  await closed.close();
  await expect(flushed).rejects.toThrow("closed");

  let failure: unknown;
  const fault = ({ operation }: { operation: string }) =>
    operation === "write" ? "EIO" : undefined;
  const disk = new SimDisk();
  await (await openTree(disk)).close();
  const fatal = (error: unknown) => {
    failure = error;
  };
  const failed = await openTree(disk.processCrash({ fault }), { fatal });
  failed.put("p", bytesOf("row"));
  failed.seal({ at: 1 });
  await expect(failed.major()).rejects.toThrow("EIO");
  await failed.flushed().catch((error) => expect(error).toBe(failure));
  expect(failure).toMatchObject({ code: "EIO" });
});

test("everything is merged when the schema wants it: at the opening, after a flush, when asked", async () => {
  let isWanted = true;
  const clock = new SimClock();
  const schema = schemaOf({ floor: () => 0, wantsMajor: () => isWanted });
  const disk = new SimDisk();
  let tree = await openTree(disk, { schema, clock });
  await flush(tree, "a", 3000);
  await flush(tree, "b", 300);
  await until(clock, () => tree.stats().runs === 1);
  isWanted = false;
  await flush(tree, "c", 300);
  tree.reconsider();
  for (let turn = 0; turn < 50; turn++) await clock.yield();
  expect(tree.stats().runs).toBe(2);
  isWanted = true;
  tree.reconsider();
  await until(clock, () => tree.stats().runs === 1);
  isWanted = false;
  await flush(tree, "d", 300);
  await tree.close();
  isWanted = true;
  tree = await openTree(disk, { schema, clock });
  expect(tree.stats().runs).toBe(2);
  await until(clock, () => tree.stats().runs === 1);
  await tree.close();
});

test("a position without rows is durable too", async () => {
  const disk = new SimDisk();
  const tree = await openTree(disk);
  expect(tree.durable).toBeUndefined();
  tree.seal({ at: 3 });
  tree.seal({ at: 4 });
  await tree.flushed();
  expect(tree.tables()).toEqual([]);
  await tree.close();
  const again = await openTree(disk);
  expect(again.durable).toEqual({ at: 4 });
  await again.major();
  expect(disk.paths()).toEqual([`${directory}/MANIFEST`]);
  await again.close();
});

test("everything is merged in the end, though writers never pause", async () => {
  const clock = new SimClock(0, 0.001);
  const tree = await openTree(new SimDisk(), { clock });
  let puts = 0;
  const put = async () => {
    tree.put(`p${(puts++ * 7919) % 5000}`, Buffer.alloc(20));
    if (!tree.isFull) return;
    tree.seal({ at: puts });
    await tree.room();
  };
  while (puts < 5000) await put();
  let isMerged = false;
  const merged = tree.major().then(() => {
    isMerged = true;
  });
  const before = puts;
  while (!isMerged && puts - before < 20_000) await put();
  say(`merged ${puts - before} puts after it was asked for`);
  expect(isMerged).toBe(true);
  await merged;
  expect(await tree.check()).toEqual([]);
  await tree.close();
});
