import { expect, test } from "bun:test";
import { SeededRandom } from "../../../src/lib/random.ts";
import type { Field } from "../../../src/rpc/hpack/decoder.ts";
import { DynamicTable, fieldBytes } from "../../../src/rpc/hpack/table.ts";
import { randomField, sizeOf } from "./blocks.ts";

function entriesOf(table: DynamicTable): Field[] {
  const entries: Field[] = [];
  for (let field = table.at(0); field !== undefined; field = table.at(entries.length)) {
    entries.push(field);
  }
  return entries;
}

test("2.3.2 and 4: it agrees with a plain list, for 300 seeds", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SeededRandom(seed);
    const limit = [0, 1, 31, 32, 33, 64, 100, 500, 4096][random.below(9)] ?? 0;
    const gone: Field[] = [];
    const table = new DynamicTable(limit, (field) => gone.push(field));
    const plain: Field[] = [];
    const expectedGone: Field[] = [];
    const evict = (bytes: number) => {
      while (plain.length > 0 && sizeOf(plain) > bytes) {
        expectedGone.push(...plain.splice(plain.length - 1));
      }
    };
    for (let step = 0; step < 60; step++) {
      if (random.below(8) === 0) {
        table.resize(random.below(limit + 1));
        evict(table.bytesMax);
      } else {
        const field = random.below(3) === 0 ? { name: "", value: "" } : randomField(random);
        table.add(field);
        evict(table.bytesMax - fieldBytes(field));
        if (fieldBytes(field) <= table.bytesMax) plain.unshift(field);
      }
      expect({ seed, step, entries: entriesOf(table) }).toEqual({ seed, step, entries: plain });
    }
    expect(gone).toEqual(expectedGone);
  }
});

test("4.1: it is full of the smallest entries, and each is found", () => {
  const table = new DynamicTable(4096);
  for (let round = 0; round < 1000; round++) table.add({ name: "", value: "" });
  expect(entriesOf(table)).toHaveLength(128);
  expect(table.at(128)).toBeUndefined();
});
