/** A search that begins at a fence finds what a search by halves does. */
import { expect, test } from "bun:test";
import type { ByteString } from "../../src/lib/bytes.ts";
import { bytesOf } from "../../src/lib/bytes.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { BlockCursor, BlockWriter, RestartKeys } from "../../src/lsm/block.ts";
import { Fences } from "../../src/lsm/fences.ts";
import { RowKey } from "../../src/lsm/rowkey.ts";

const rowKey = new RowKey();

/** Keys that begin with each other, and keys that differ late or early. */
function keyOf(random: SeededRandom): ByteString {
  const bytes = ["\0", "\x01", "a", "b", "\x7f", "\x80", "\xff"];
  const beginning = ["", "a", "the same for many/", "the same for most/of them/"][random.below(4)];
  const rest = Array.from({ length: random.below(6) }, () => bytes[random.below(bytes.length)]);
  return `${beginning}${rest.join("")}`;
}

function blockOf(keys: readonly ByteString[]): Buffer {
  const writer = new BlockWriter();
  for (const key of keys) writer.add(rowKey.take(key), bytesOf("place"), 0, 5);
  return Buffer.from(writer.close(0));
}

test("a fence stands before every key, wherever one looks for it", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = new SeededRandom(seed);
    const count = 1 + random.below(2 ** random.below(11));
    const keys = [...new Set(Array.from({ length: count }, () => keyOf(random)))].sort();
    const block = blockOf(keys);
    const restarts = new RestartKeys(block);
    expect(restarts.count).toBe(Math.ceil(keys.length / 16));
    const fences = new Fences(restarts);
    const cursor = new BlockCursor();
    cursor.open(block);
    const whole = keys.filter((_, at) => at % 16 === 0);
    const targets = [
      ...keys,
      ...Array.from({ length: 300 }, () => keyOf(random)),
      "\xff".repeat(9),
    ];
    for (const target of targets) {
      const before = whole.findLastIndex((key) => key < target);
      expect([seed, target, fences.before(target)]).toEqual([seed, target, Math.max(0, before)]);
      const next = keys.find((key) => key >= target);
      expect(cursor.seekFrom(fences.before(target), target)).toBe(next !== undefined);
      if (next !== undefined) expect(cursor.key).toBe(next);
    }
  }
});
