/** The keys of rows that are put are made as bytes, those that are looked for as strings. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { prefixHash } from "../../src/lsm/filter.ts";
import type { RowKey } from "../../src/lsm/rowkey.ts";
import { dataKey, dataRow, historyKey, historyRow, prefixLength } from "../../src/mvcc/keys.ts";

function textOf({ bytes, length }: RowKey): string {
  return bytes.toString("latin1", 0, length);
}

const numbers = [0, 1, 255, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER];

test("both ways make the same key, and the same hash of its prefix", () => {
  const random = new SeededRandom(1);
  const keys = ["", "\0", "a", "\0\xff\0", "k".repeat(300)];
  for (let at = 0; at < 200; at++) {
    const bytes = Array.from({ length: random.below(40) }, () => random.below(256) % 200);
    keys.push(String.fromCharCode(...bytes));
  }
  for (const key of keys) {
    const revision = numbers[random.below(numbers.length)] ?? 0;
    for (const sub of [0, 1, 2 ** 31 + 5, 2 ** 32 - 1]) {
      const data = dataKey(key, revision, sub);
      expect(textOf(dataRow(key, revision, sub))).toBe(data);
      expect(dataRow(key, revision, sub).hash).toBe(prefixHash(data, prefixLength(data)));
      const history = historyKey(revision, sub);
      expect(textOf(historyRow(revision, sub))).toBe(history);
      expect(historyRow(revision, sub).hash).toBe(prefixHash(history, prefixLength(history)));
    }
  }
});
