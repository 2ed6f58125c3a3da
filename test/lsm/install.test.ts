import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Installation } from "../../src/lsm/install.ts";
import { tablePath } from "../../src/lsm/table.ts";
import type { Capture, Tree } from "../../src/lsm/tree.ts";
import { SimDisk } from "../sim/disk.ts";
import { versionKey } from "./model.ts";
import { directory, openTree, type Position, textOf } from "./rig.ts";

/** A tree with `count` rows and as many versions of five names, flushed at position `count`. */
async function treeOf(disk: SimDisk, count: number): Promise<Tree<Position>> {
  const tree = await openTree(disk);
  for (let at = 0; at < count; at++) {
    tree.put(`p${at}`, Buffer.from(`value ${at}`));
    tree.put(versionKey(`v${at % 5}`, at), Buffer.from(`version ${at}`));
  }
  tree.seal({ at: count });
  await tree.flushed();
  return tree;
}

function rowsOf(tree: Tree<Position>): string[] {
  const rows = tree.scan("");
  const found: string[] = [];
  while (rows.next()) found.push(`${rows.key}=${textOf(rows.value())}`);
  return found;
}

async function install(disk: SimDisk, capture: Capture<Position>): Promise<number> {
  const installation = await Installation.begin(disk, directory);
  const missing = capture.tables.filter(({ hash }) => !installation.has(hash));
  for (const { hash } of missing) await installation.add(hash, await capture.read(hash), hash);
  await installation.finish(capture.manifest, "the capture");
  return missing.length;
}

test("a capture is read whole while merges replace its tables, which go when it is released", async () => {
  const disk = new SimDisk();
  const tree = await treeOf(disk, 300);
  const capture = must(tree.capture(), "something is flushed");
  const before = rowsOf(tree);
  for (let at = 0; at < 300; at++) tree.put(`p${at}`, Buffer.from("later"));
  tree.seal({ at: 600 });
  await tree.major();
  const live = new Set(tree.tables().map(({ hash }) => hash));
  expect(capture.tables.some(({ hash }) => live.has(hash))).toBe(false);

  const copy = new SimDisk();
  await install(copy, capture);
  const restored = await openTree(copy);
  expect(restored.durable).toEqual({ at: 300 });
  expect(rowsOf(restored)).toEqual(before);
  expect(restored.runs.map(({ rest }) => rest.tables.length > 0)).toEqual([true]);
  expect(await restored.check()).toEqual([]);

  const { hash } = must(capture.tables[0], "it has a table");
  expect(disk.list(directory)).toContain(`${hash}.sst`);
  await capture.release();
  expect(disk.list(directory)).not.toContain(`${hash}.sst`);
  expect(await tree.check()).toEqual([]);
});

test("two captures of one table need two releases", async () => {
  const disk = new SimDisk();
  const tree = await treeOf(disk, 20);
  const [first, second] = [must(tree.capture(), "a"), must(tree.capture(), "b")];
  const { hash } = must(first.tables[0], "it has a table");
  tree.put("p1", Buffer.from("later"));
  tree.seal({ at: 21 });
  await tree.major();
  await first.release();
  expect(textOf(await second.read(hash)).length).toBeGreaterThan(0);
  await second.release();
  expect(disk.list(directory)).not.toContain(`${hash}.sst`);
});

test("tables that are there already are not asked for, damaged ones are", async () => {
  const source = await treeOf(new SimDisk(), 900);
  const capture = must(source.capture(), "something is flushed");
  expect(capture.tables.length).toBeGreaterThan(2);
  const disk = new SimDisk();
  expect(await install(disk, capture)).toBe(capture.tables.length);
  const { hash } = must(capture.tables[0], "it has a table");
  const bytes = await capture.read(hash);
  bytes[bytes.length >> 1] = must(bytes[bytes.length >> 1], "it has bytes") ^ 1;
  disk.plant(tablePath(directory, hash), bytes);
  expect(await install(disk, capture)).toBe(1);
  expect(rowsOf(await openTree(disk))).toEqual(rowsOf(source));
});

test("bytes that are not the table's are refused, and the tree there stays as it was", async () => {
  const source = await treeOf(new SimDisk(), 100);
  const capture = must(source.capture(), "something is flushed");
  const disk = new SimDisk();
  const tree = await treeOf(disk, 10);
  const before = rowsOf(tree);
  await tree.close();
  const begun = await Installation.begin(disk, directory);
  const { hash } = must(capture.tables[0], "it has a table");
  await expect(begun.add(hash, Buffer.from("other"), "bucket/sst")).rejects.toThrow("bucket/sst");
  await expect(begun.finish(capture.manifest, "the capture")).rejects.toThrow("was not given");
  expect(rowsOf(await openTree(disk))).toEqual(before);
});

test("whatever crash stops an installation, the old tables or the new ones are opened", async () => {
  const source = await treeOf(new SimDisk(), 200);
  const capture = must(source.capture(), "something is flushed");
  let calls = 0;
  for (let last = 0; ; last++) {
    const old = new SimDisk();
    await (await treeOf(old, 10)).close();
    const disk = old.processCrash({
      fault: () => (calls++ >= last ? "EIO" : undefined),
    });
    calls = 0;
    const done = await install(disk, capture).then(
      () => true,
      () => false,
    );
    const machines = [disk.processCrash()];
    for (let seed = 1; seed <= 5; seed++) machines.push(disk.powerLoss(new SeededRandom(seed)));
    for (const machine of machines) {
      const tree = await openTree(machine);
      const at = must(tree.durable, "it was flushed").at;
      expect(done ? [200] : [10, 200]).toContain(at);
      expect(await tree.check()).toEqual([]);
    }
    if (done) break;
  }
});
