/** Blocks give back what went in, wherever one starts to read. */
import { expect, test } from "bun:test";
import { type ByteString, bytesOf } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { BlockCursor, BlockWriter, blockIsWhole } from "../../src/lsm/block.ts";
import { RowKey } from "../../src/lsm/rowkey.ts";
import { keyText } from "../../src/lsm/view.ts";
import { textOf } from "./rig.ts";

type Row = readonly [key: ByteString, value: ByteString | undefined];

const rowKey = new RowKey();

function encode(rows: readonly Row[], seed = 0): Buffer {
  const writer = new BlockWriter();
  for (const [key, value] of rows) {
    const bytes = bytesOf(value ?? "");
    writer.add(rowKey.take(key), bytes, value === undefined ? -1 : 0, bytes.length);
  }
  return Buffer.from(writer.close(seed));
}

function rowOf(cursor: BlockCursor): Row {
  const { bytes, end, key, start } = cursor;
  return [key, start < 0 ? undefined : textOf(bytes.subarray(start, end))];
}

/** Keys that share much, little and all of themselves, with every kind of byte. */
function randomRows(random: SeededRandom): Row[] {
  const keys = new Set<ByteString>();
  const letters = ["\0", "a", "b", "\x7f", "\x80", "\xff"];
  const count = random.below(80) + 1;
  while (keys.size < count) {
    let key = random.below(3) === 0 ? "shared by many/" : "";
    for (let at = random.below(12); at > 0; at--) key += letters[random.below(letters.length)];
    keys.add(random.below(30) === 0 ? key.padEnd(400, "\xff") : key);
  }
  return [...keys].sort().map((key) => {
    const length = random.below(20) === 0 ? random.below(40_000) : random.below(12);
    return [key, random.below(6) === 0 ? undefined : "v".repeat(length)];
  });
}

test("a block gives back its rows in order", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const rows = randomRows(new SeededRandom(seed));
    const cursor = new BlockCursor();
    const found: Row[] = [];
    for (cursor.open(encode(rows)); cursor.next(); ) found.push(rowOf(cursor));
    expect([seed, found]).toEqual([seed, rows]);
    expect(cursor.next()).toBe(false);
  }
});

test("a search finds the first row at or after any key, and goes on from there", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const rows = randomRows(random);
    const cursor = new BlockCursor();
    cursor.open(encode(rows));
    const targets = rows.flatMap(([key]) => [key, `${key}\0`, `${key}\xff`, key.slice(0, -1)]);
    for (const target of targets) {
      const at = rows.findIndex(([key]) => key >= target);
      expect([seed, target, cursor.seek(target)]).toEqual([seed, target, at >= 0]);
      // The key is made when it is asked for: also after the cursor has moved on.
      const asks = random.below(2) === 0;
      if (at >= 0 && asks) expect(rowOf(cursor)).toEqual(rows[at] as Row);
      const next = at < 0 ? undefined : rows[at + 1];
      expect(cursor.next()).toBe(next !== undefined);
      if (next !== undefined) expect(rowOf(cursor)).toEqual(next);
    }
  }
});

test("a search tells how much of its target a row begins with, and the rest of the key", () => {
  for (let seed = 1; seed <= 100; seed++) {
    const random = new SeededRandom(seed);
    const rows = randomRows(random);
    const cursor = new BlockCursor();
    cursor.open(encode(rows));
    for (const target of rows.flatMap(([key]) => [key, `${key}a`, key.slice(0, -1)])) {
      if (!cursor.seek(target)) continue;
      const key = rows.find(([each]) => each >= target)?.[0] ?? "";
      let matched = 0;
      while (matched < target.length && key[matched] === target[matched]) matched++;
      expect([seed, target, key, cursor.matched]).toEqual([seed, target, key, matched]);
      cursor.takeKey();
      expect(keyText(cursor)).toBe(key);
    }
  }
});

test("a writer starts a new block after it has closed one", () => {
  const writer = new BlockWriter();
  const value = Buffer.from("value");
  writer.add(rowKey.take("a"), value, 0, 5);
  const first = Buffer.from(writer.close(1));
  expect(writer.rows).toBe(0);
  expect(writer.add(rowKey.take("ab"), value, 1, 3)).toBe(1);
  const cursor = new BlockCursor();
  cursor.open(writer.close(2));
  expect(cursor.next()).toBe(true);
  expect(rowOf(cursor)).toEqual(["ab", "al"]);
  cursor.open(first);
  expect(cursor.next()).toBe(true);
  expect(rowOf(cursor)).toEqual(["a", "value"]);
});

test("keys that do not ascend are a bug of the writer", () => {
  for (const [first, second] of [
    ["b", "a"],
    ["b", "b"],
    ["bb", "b"],
    ["\xff", "\x7f"],
  ] as const) {
    const writer = new BlockWriter();
    writer.add(rowKey.take(first), Buffer.alloc(0), -1, 0);
    expect(() => writer.add(rowKey.take(second), Buffer.alloc(0), -1, 0)).toThrow("keys ascend");
  }
});

test("a good block is not whole in another place", () => {
  const block = encode([["key", "value"]], 4096);
  expect(blockIsWhole(block, 4096)).toBe(true);
  expect(blockIsWhole(block, 8192)).toBe(false);
  expect(blockIsWhole(block.subarray(0, 3), 4096)).toBe(false);
});
