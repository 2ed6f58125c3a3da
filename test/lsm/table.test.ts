/** Tables as files: their bytes, their names, and what reads of them may rely on. */
import { expect, test } from "bun:test";
import { bytesOf, orderedU32 } from "../../src/lib/bytes.ts";
import { sha256 } from "../../src/lib/checksum.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { BlockCache } from "../../src/lsm/cache.ts";
import { Lane, LaneCursor } from "../../src/lsm/lane.ts";
import { encodeManifest } from "../../src/lsm/manifest.ts";
import { Table } from "../../src/lsm/table.ts";
import { type DiskCall, SimDisk } from "../sim/disk.ts";
import { versionKey } from "./model.ts";
import { directory, openTree, textOf, tinyLimits } from "./rig.ts";

const roomy = { ...tinyLimits, memtableBytesMax: 2 ** 22, tableBytesMax: 2 ** 22 };

/** A disk with a tree of `count` rows of `bytes` each, in one table. */
async function diskWith(count: number, bytes: number): Promise<SimDisk> {
  const disk = new SimDisk();
  const tree = await openTree(disk, { limits: roomy });
  for (let at = 0; at < count; at++) tree.put(`p${orderedU32(at)}`, Buffer.alloc(bytes, at));
  tree.seal({ at: 1 });
  await tree.flushed();
  await tree.close();
  return disk;
}

test("tables and manifests are the bytes they were when the format was made", async () => {
  const disk = new SimDisk();
  const tree = await openTree(disk, { random: new SeededRandom(42) });
  for (let at = 0; at < 50; at++) {
    tree.put(`p${"shared".repeat(at % 3)}${at}`, bytesOf("value".repeat(at % 4)));
    tree.put(versionKey("vname", at), bytesOf(`${at}`));
    if (at % 9 === 0) tree.delete(`q${at}`);
  }
  tree.seal({ at: 7 });
  await tree.flushed();
  const hashes = tree.tables().map(({ hash }) => hash);
  const names = hashes.map((hash) => `${directory}/${hash}.sst`);
  expect(disk.paths()).toEqual([...names, `${directory}/MANIFEST`].sort());
  expect(names.map((name) => sha256(disk.peek(name)))).toEqual(hashes);
  // A new format has a new version number, a file of the old one for a test, and code that reads it.
  expect(hashes).toEqual([
    "08d93263b57a51ca066985604da319905a22ae04b124b93d5da3eea2c19da732",
    "b43e1da309bd623087499ca7aec7ec92092735d3dd4c4dbdc1f85d6646af020a",
  ]);
  expect(sha256(disk.peek(`${directory}/MANIFEST`))).toBe(
    "3b2125392f56c05c2a0793dce3a62a1d98e02c907ec6c1c1c20eae8729cd03d5",
  );
  await tree.close();
});

test("a file of a newer version is refused as such", async () => {
  const disk = await diskWith(3, 3);
  const path = disk.paths().find((each) => each.endsWith("MANIFEST")) ?? "";
  const [line = ""] = disk.peek(path).toString().split("\n");
  const newer = line.replace('"format_version":2', '"format_version":3');
  disk.plant(path, Buffer.from(`${newer}\n${sha256(newer)}\n`));
  await expect(openTree(disk)).rejects.toThrow(ForeignError);
});

test("a table that claims other rows than its manifest is refused", async () => {
  const disk = await diskWith(30, 3);
  const tree = await openTree(disk);
  const [table] = tree.tables();
  await tree.close();
  if (table === undefined) throw new Error("there is a table");
  const runs = [{ fronts: [{ ...table, rows: table.rows + 1 }], rest: [] }];
  disk.plant(`${directory}/MANIFEST`, encodeManifest({ position: { at: 1 }, runs }));
  await expect(openTree(disk)).rejects.toThrow(CorruptionError);
});

test("the same rows make tables of different names", async () => {
  const disk = await diskWith(30, 3);
  const tree = await openTree(disk, { random: new SeededRandom(2) });
  const before = tree.tables();
  await tree.major();
  const after = tree.tables();
  expect(after.map(({ rows }) => rows)).toEqual(before.map(({ rows }) => rows));
  expect(after[0]?.hash).not.toBe(before[0]?.hash);
  expect(await tree.check()).toEqual([]);
  await tree.close();
});

test("a merge whose output has the name of its input keeps the file", async () => {
  // The salt of the first table comes again.
  const disk = await diskWith(30, 3);
  const tree = await openTree(disk);
  const before = tree.tables();
  await tree.major();
  expect(tree.tables()).toEqual(before);
  await tree.close();
  const again = await openTree(disk);
  expect(again.get(`p${orderedU32(7)}`)).toEqual(Buffer.alloc(3, 7));
  expect(await again.check()).toEqual([]);
  await again.close();
});

test("a check tells every claim that is broken", async () => {
  const disk = await diskWith(30, 100);
  const tree = await openTree(disk);
  const [table] = tree.tables();
  const path = `${directory}/${table?.hash}.sst`;
  expect(await tree.check()).toEqual([]);
  disk.plant(`${directory}/${"0".repeat(64)}.sst`, Buffer.alloc(3));
  disk.peek(path)[700] = 1;
  const broken = await tree.check();
  expect(broken.length).toBe(3);
  expect(broken[0]).toContain("is nobody's");
  expect(broken[1]).toContain("is not named by the hash of its bytes");
  expect(broken[2]).toContain("does not hold what was written");
  disk.plant(`${directory}/MANIFEST`, Buffer.from("{}"));
  expect((await tree.check())[0]).toContain("does not say what is live");
  await tree.close();
});

test("values that were read stay as they were while others are read, flushed and merged", async () => {
  const disk = await diskWith(400, 100);
  const tree = await openTree(disk);
  const values = Array.from({ length: 400 }, (_, at) => tree.get(`p${orderedU32(at)}`));
  for (let at = 0; at < 400; at++) tree.put(`p${orderedU32(at)}`, bytesOf("another"));
  tree.seal({ at: 2 });
  await tree.major();
  for (const [at, value] of values.entries()) expect(value).toEqual(Buffer.alloc(100, at));
  // Nothing is kept in memory of what is gone.
  expect(tree.stats().cacheBytes).toBe(0);
  expect(tree.stats().memtableBytes).toBe(0);
  await tree.close();
});

test("a row is found wherever in a run it lies, and however its prefix begins", async () => {
  const tree = await openTree(new SimDisk());
  // The prefix of the fourth is the whole of the third.
  const keys = ["pa", "pm", "v.aaaa", "v.aaaabbbb", "v.cccc", "v.dddd"];
  for (const run of [0, 1]) {
    for (const key of keys.filter((_, at) => (at >> 1) % 2 === run)) tree.put(key, bytesOf(key));
    tree.seal({ at: run });
    await tree.flushed();
  }
  for (const [at, key] of keys.entries()) {
    expect(textOf(tree.get(key) ?? Buffer.alloc(0))).toBe(key);
    expect(tree.get(`${key}\0`)).toBeUndefined();
    const rows = tree.scan(key, keys[at + 1]);
    expect(rows.next()).toBe(true);
    expect(rows.key).toBe(key);
    expect(rows.next()).toBe(false);
  }
  await tree.close();
});

test("the cache keeps to its bytes, and what is read again survives a scan", async () => {
  const disk = await diskWith(2000, 100);
  let reads = 0;
  const counting = disk.processCrash({
    fault: ({ operation }) => {
      if (operation === "read") reads++;
      return undefined;
    },
  });
  const cache = new BlockCache(20_000);
  const tree = await openTree(counting);
  const tables = tree.tables().map((info) => Table.open(counting, directory, info));
  const rows = new LaneCursor(cache, new Lane(tables));
  const popular = [100, 700, 1300, 1900].map((at) => `p${orderedU32(at)}`);
  for (let round = 0; round < 3; round++)
    for (const key of popular) expect(rows.seek(key)).toBe(true);
  expect(rows.seek("p")).toBe(true);
  while (rows.next()) expect(cache.bytes).toBeLessThanOrEqual(20_000);
  reads = 0;
  for (const key of popular) expect(rows.seek(key)).toBe(true);
  expect(reads).toBe(0);
  for (const table of tables) cache.drop(table);
  expect(cache.bytes).toBe(0);
  for (const key of popular) expect(rows.seek(key)).toBe(true);
  expect(reads).toBe(popular.length);
  await tree.close();
});

test("rows bigger than blocks, tables and the cache are rows like others", async () => {
  const disk = new SimDisk();
  const tree = await openTree(disk);
  const sizes = [0, 1, 5000, 3, 100_000, 0, 20_000];
  for (const [at, size] of sizes.entries())
    tree.put(`p${at}`, Buffer.alloc(size, at), Buffer.of(at));
  const read = () => sizes.map((_, at) => tree.get(`p${at}`)?.length);
  expect(read()).toEqual(sizes.map((size) => size + 1));
  tree.seal({ at: 1 });
  await tree.major();
  expect(read()).toEqual(sizes.map((size) => size + 1));
  const found: number[] = [];
  for (const rows = tree.scan("p"); rows.next(); ) found.push(rows.value().length);
  expect(found).toEqual(sizes.map((size) => size + 1));
  expect(tree.tables().length).toBeGreaterThan(2);
  expect(await tree.check()).toEqual([]);
  await tree.close();
});

test("a big table is synced bit by bit, and each of its calls may fail", async () => {
  const calls: DiskCall[] = [];
  let failing = 0;
  const start = async () => {
    calls.length = 0;
    const disk = new SimDisk({
      fault: (call) => {
        calls.push(call);
        return calls.length === failing ? "EIO" : undefined;
      },
    });
    let failure: unknown;
    const tree = await openTree(disk, { limits: roomy, fatal: (error) => (failure = error) });
    for (let at = 0; at < 300; at++) tree.put(`p${at}`, Buffer.alloc(4000, at));
    tree.seal({ at: 1 });
    await tree.flushed().catch((error) => expect(error).toBe(failure));
    if (failing === 0) expect(await tree.check()).toEqual([]);
    return { disk, failure };
  };
  expect((await start()).failure).toBeUndefined();
  const syncs = calls.filter(({ operation }) => operation === "sync");
  expect(syncs.length).toBeGreaterThan(5);
  const first = syncs[2]?.number ?? 0;
  for (failing = first; failing < first + 3; failing++) {
    const { disk, failure } = await start();
    expect(failure).toMatchObject({ code: "EIO" });
    failing = -failing;
    const tree = await openTree(disk.processCrash());
    expect(tree.durable).toBeUndefined();
    expect(tree.scan("").next()).toBe(false);
    await tree.close();
    failing = -failing;
  }
});

test("a cursor that is kept goes on behind its key while the tree changes", async () => {
  const tree = await openTree(new SimDisk());
  for (const name of "aceg") tree.put(`p${name}`, bytesOf(name));
  const rows = tree.scan("pa", "pz");
  const seen: string[] = [];
  const step = () => {
    if (rows.next()) seen.push(`${rows.key}=${textOf(rows.value())}`);
  };
  step();
  tree.put("pb", bytesOf("new"));
  tree.put("pa", bytesOf("late"));
  step();
  tree.delete("pc");
  tree.seal({ at: 1 });
  await tree.flushed();
  step();
  await tree.major();
  tree.put("pd", bytesOf("behind it"));
  tree.put("pf", bytesOf("before it"));
  step();
  step();
  expect(rows.next()).toBe(false);
  expect(seen).toEqual(["pa=a", "pb=new", "pe=e", "pf=before it", "pg=g"]);
  rows.seek("pd");
  expect(rows.next()).toBe(true);
  expect(rows.key).toBe("pd");
  await tree.close();
});
