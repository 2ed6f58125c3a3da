/** The keys of rows that are put are made as bytes, those that are looked for as strings. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { prefixHash } from "../../src/lsm/filter.ts";
import { keyText } from "../../src/lsm/view.ts";
import { revisionOf } from "../../src/model/revision.ts";
import {
  dataKey,
  dataRevision,
  dataRow,
  dataSub,
  historyKey,
  historyPosition,
  historyRow,
  keyOf,
  prefixLength,
} from "../../src/mvcc/keys.ts";

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
      expect(keyText(dataRow(key, revision, sub))).toBe(data);
      expect(dataRow(key, revision, sub).hash).toBe(prefixHash(data, data.length - 12));
      const row = dataRow(key, revision, sub);
      expect(prefixLength(row)).toBe(data.length - 12);
      expect([keyOf(row), dataRevision(row), dataSub(row)]).toEqual([key, revision, sub]);
      const history = historyKey(revision, sub);
      expect(keyText(historyRow(revision, sub))).toBe(history);
      expect(historyPosition(historyRow(revision, sub))).toEqual({
        revision: revisionOf(revision),
        sub,
      });
      expect(historyRow(revision, sub).hash).toBe(prefixHash(history, 1));
    }
  }
});
