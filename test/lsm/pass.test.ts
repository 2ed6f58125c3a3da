/** Passing all rows that begin alike is stepping over them, wherever they are. */
import { expect, test } from "bun:test";
import { bytesOf } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { BlockCache } from "../../src/lsm/cache.ts";
import { Lane, LaneCursor } from "../../src/lsm/lane.ts";
import { Memtable } from "../../src/lsm/memtable.ts";
import { MergeCursor, type Source } from "../../src/lsm/merge.ts";
import { RowKey } from "../../src/lsm/rowkey.ts";
import { Table } from "../../src/lsm/table.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount, seedsUpTo, tryEach } from "../support/effort.ts";
import { directory, openTree, tinyLimits } from "./rig.ts";

/** Few beginnings, some of which end with the last byte there is, and many rows of each. */
function keyOf(random: SeededRandom): string {
  const bytes = ["\0", "a", "a", "b", "\xfe", "\xff", "\xff"];
  const some = (count: number) =>
    Array.from({ length: count }, () => bytes[random.below(bytes.length)]).join("");
  return some(random.below(3)) + "name".repeat(random.below(3)) + some(random.below(8));
}

/** The first keys of `keys` that are after those that begin with `prefix`. */
function after(keys: readonly string[], at: number, prefix: string): string | undefined {
  return keys.slice(at).find((key) => !key.startsWith(prefix));
}

/** Walks the sources side by side with their keys; at each key it may pass a beginning of it. */
function walk(random: SeededRandom, keys: readonly string[], rows: Walked): void {
  const prefix = new RowKey();
  for (let at = 0; at < keys.length; ) {
    const key = keys[at] as string;
    expect(rows.next()).toBe(true);
    expect(rows.row.key).toBe(key);
    if (random.below(3) > 0) {
      at++;
      continue;
    }
    const begin = key.slice(0, random.below(key.length + 1));
    rows.pass(prefix.take(begin));
    const next = after(keys, at, begin);
    at = next === undefined ? keys.length : keys.indexOf(next);
  }
  expect(rows.next()).toBe(false);
}

type Walked = Pick<MergeCursor, "next" | "pass" | "row">;

/** A source that, when it is told to pass, goes there at the next step: as cursors over several do. */
function walked(source: Source): Walked {
  let passed: boolean | undefined;
  return {
    get row() {
      return source.row;
    },
    next() {
      const stands = passed ?? source.next();
      passed = undefined;
      return stands;
    },
    pass(prefix) {
      passed = source.pass(prefix);
    },
  };
}

function sorted(keys: Iterable<string>): string[] {
  return [...new Set(keys)].sort();
}

function memtableOf(keys: readonly string[]): Memtable {
  const memtable = new Memtable(4096);
  for (const key of keys) memtable.put(new RowKey().take(key), bytesOf(key), undefined);
  return memtable;
}

test("a memtable, a run, all of them as one, and a scan pass what stepping would", async () => {
  await tryEach(seedsUpTo(amount(60, 12, 2000)), import.meta.path, async (seed) => {
    const random = new SeededRandom(seed);
    const disk = new SimDisk();
    const limits = { ...tinyLimits, memtableBytesMax: 2 ** 16, tableBytesMax: 1024 };
    const tree = await openTree(disk, { limits, random });
    const layers = Array.from({ length: 1 + random.below(4) }, () =>
      Array.from({ length: 1 + random.below(300) }, () => `p${keyOf(random)}`),
    );
    for (const layer of layers) {
      for (const key of layer) tree.put(key, bytesOf(key.repeat(random.below(3))));
      tree.seal({ at: 1 });
      if (random.below(3) > 0) await tree.flushed();
    }
    const all = sorted(layers.flat());
    const rows = tree.scan("");
    walk(random, all, rows);
    rows.seek("");
    walk(random, all, rows);

    const cache = new BlockCache(4096);
    const runs = tree.runs.map((run) =>
      run.tables.map(({ info }) => Table.open(disk, directory, info)),
    );
    const cursorOf = (tables: Table[]) => new LaneCursor(cache, new Lane(tables));
    for (const tables of runs) {
      const keys: string[] = [];
      for (const one = cursorOf(tables); one.next(); ) keys.push(one.row.key);
      walk(random, keys, walked(cursorOf(tables)));
    }
    const memtables = layers.map(memtableOf);
    for (const [at, memtable] of memtables.entries()) {
      walk(random, sorted(layers[at] ?? []), walked(memtable.cursor()));
    }
    const sources = [...memtables.map((memtable) => memtable.cursor()), ...runs.map(cursorOf)];
    const merged = new MergeCursor(sources);
    merged.seek("");
    walk(random, all, merged);
    for (const table of runs.flat()) table.close();
    await tree.close();
  });
}, 600_000);

test("a scan that was told to pass does so in the tree as it is by then", async () => {
  const tree = await openTree(new SimDisk());
  for (const key of ["pa1", "pa2", "pb", "pc", "\xff\xff1", "\xff\xff2"])
    tree.put(key, bytesOf(key));
  const rows = tree.scan("");
  expect([rows.next(), rows.key]).toEqual([true, "pa1"]);
  rows.pass(new RowKey().take("pa"));
  tree.put("pa3", bytesOf("behind it"));
  tree.put("paa", bytesOf("behind it, too"));
  tree.put("pab", bytesOf("and this"));
  tree.put("pb", bytesOf("as it is by then"));
  expect([rows.next(), rows.key]).toEqual([true, "pb"]);
  rows.pass(new RowKey().take("pb"));
  rows.seek("pb");
  expect([rows.next(), rows.key]).toEqual([true, "pb"]);
  rows.seek("\xff");
  expect([rows.next(), rows.key]).toEqual([true, "\xff\xff1"]);
  rows.pass(new RowKey().take("\xff"));
  tree.put("\xff\xff3", bytesOf("nothing is behind these"));
  expect(rows.next()).toBe(false);
  rows.seek("\xff\xff3");
  expect([rows.next(), rows.key]).toEqual([true, "\xff\xff3"]);
  await tree.close();
});
