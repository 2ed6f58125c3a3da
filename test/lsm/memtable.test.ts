/** A memtable against a plain map. */
import { expect, test } from "bun:test";
import { bytesOf, orderedU32 } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { prefixHash } from "../../src/lsm/filter.ts";
import { Memtable, type MemtableCursor } from "../../src/lsm/memtable.ts";
import { RowKey } from "../../src/lsm/rowkey.ts";
import { textOf } from "./rig.ts";

const nothing = new Uint8Array(0);

function rowOf({ bytes, end, key, start }: MemtableCursor): [string, string | null] {
  return [key, start < 0 ? null : textOf(bytes.subarray(start, end))];
}

const key = new RowKey();

/** Whole keys are prefixes. */
function rowKey(text: string): RowKey {
  return key.take(text).endPrefixAt(text.length);
}

function hashOf(key: string): number {
  return prefixHash(key, key.length);
}

/** Keys that ascend, keys in no order, and keys that begin with each other. */
function keyOf(random: SeededRandom, ascending: number): string {
  const kind = random.below(5);
  if (kind < 2) return `h${orderedU32(ascending)}`;
  if (kind < 4) return `d${random.below(3000)}`;
  const bytes = ["\0", "\x01", "a", "\x7f", "\x80", "\xff"];
  return Array.from({ length: random.below(6) }, () => bytes[random.below(bytes.length)]).join("");
}

test("a memtable holds the newest row of each key, in order", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SeededRandom(seed);
    const table = new Memtable(2 ** random.below(22));
    const model = new Map<string, string | null>();
    for (let at = 0; at < 5000; at++) {
      const key = keyOf(random, at);
      if (random.below(10) === 0) {
        table.delete(rowKey(key));
        model.set(key, null);
        continue;
      }
      const value = `${at}`.repeat(random.below(500) === 0 ? 5000 : random.below(4));
      const cut = random.below(value.length + 1);
      const tail = cut === value.length ? undefined : bytesOf(value.slice(cut));
      table.put(rowKey(key), bytesOf(value.slice(0, cut)), tail);
      model.set(key, value);
    }
    const rows = [...model].sort(([a], [b]) => (a < b ? -1 : 1));
    expect(table.rows).toBe(rows.length);
    const cursor = table.cursor();
    for (const row of rows) {
      expect(cursor.next()).toBe(true);
      expect(rowOf(cursor)).toEqual(row);
    }
    expect(cursor.next()).toBe(false);
    for (let at = 0; at < 500; at++) {
      const key = random.below(2) === 0 ? keyOf(random, at) : `d${random.below(4000)}\0`;
      const value = table.get(key);
      expect(value ? textOf(value) : value).toBe(model.get(key));
      if (value !== undefined) expect(table.mayHave(hashOf(key))).toBe(true);
      const next = rows.find(([each]) => each >= key);
      expect(cursor.seek(key)).toBe(next !== undefined);
      if (next !== undefined) expect(rowOf(cursor)).toEqual(next);
    }
  }
});

test("a cursor goes on from where it was sought, and ends where nothing follows", () => {
  const table = new Memtable(2 ** 12);
  for (const key of ["c", "a", "b"]) table.put(rowKey(key), bytesOf(key), undefined);
  const cursor = table.cursor();
  expect([cursor.seek("aa"), cursor.key]).toEqual([true, "b"]);
  expect([cursor.next(), cursor.key]).toEqual([true, "c"]);
  expect([cursor.next(), cursor.next()]).toEqual([false, false]);
  expect([cursor.seek("d"), cursor.next()]).toEqual([false, false]);
  expect([cursor.seek(""), cursor.key]).toEqual([true, "a"]);
});

test("a memtable counts what it takes in memory", () => {
  const table = new Memtable(2 ** 20);
  expect(table.bytes).toBe(0);
  table.put(rowKey("key"), new Uint8Array(1000), new Uint8Array(24));
  const one = table.bytes;
  expect(one).toBeGreaterThan(1027);
  expect(one).toBeLessThan(1200);
  table.put(rowKey("key"), nothing, undefined);
  table.delete(rowKey("other"));
  expect(table.rows).toBe(2);
  expect(table.bytes).toBeGreaterThan(one);
});

test("a value that was read stays as it was when its row is put again", () => {
  const table = new Memtable(2 ** 20);
  table.put(rowKey("key"), bytesOf("old"), undefined);
  const old = table.get("key");
  table.put(rowKey("key"), bytesOf("new"), undefined);
  expect(textOf(old ?? nothing)).toBe("old");
  expect(textOf(table.get("key") ?? nothing)).toBe("new");
});

test("a memtable knows most keys that it does not have", () => {
  for (const expectedBytes of [1, 2 ** 12, 2 ** 20]) {
    const table = new Memtable(expectedBytes);
    const rows = Math.ceil(expectedBytes / 256);
    for (let at = 0; at < rows; at++) table.put(rowKey(`d${at}`), nothing, undefined);
    const asked = Array.from({ length: 2000 }, (_, at) => hashOf(`x${at}`));
    expect(asked.filter((hash) => table.mayHave(hash)).length).toBeLessThan(asked.length / 5);
  }
});
