/** Filters never deny what is there, and seldom affirm what is not. */
import { expect, test } from "bun:test";
import { buildFilter, filterMayHave, prefixHash } from "../../src/lsm/filter.ts";

const count = 20_000;

function hashOf(text: string): number {
  return prefixHash(text, text.length);
}

test("a filter has every prefix that went in and at most 2 in 100 others", () => {
  const hashes = Uint32Array.from({ length: count }, (_, at) => hashOf(`/registry/pods/${at}`));
  const filter = buildFilter(hashes);
  expect(filter.length * 8).toBeLessThan(count * 11);
  expect(hashes.every((hash) => filterMayHave(filter, hash))).toBe(true);
  let affirmed = 0;
  for (let at = 0; at < count; at++) {
    if (filterMayHave(filter, hashOf(`/registry/pods/${at}x`))) affirmed++;
  }
  expect(affirmed / count).toBeLessThan(0.02);
});

test("a filter of nothing denies everything", () => {
  const filter = buildFilter(new Uint32Array(0));
  expect(filterMayHave(filter, hashOf("anything"))).toBe(false);
});

test("only the prefix counts", () => {
  expect(prefixHash("abcdefgh", 5)).toBe(hashOf("abcde"));
  expect(hashOf("abcd\0")).not.toBe(hashOf("abcd"));
});

test("hashes are what they were when the first table was written", () => {
  // The reference values of MurmurHash3_x86_32 with seed 0.
  expect(hashOf("")).toBe(0);
  expect(hashOf("a")).toBe(0x3c2569b2);
  expect(hashOf("abc")).toBe(0xb3dd93fa);
  expect(hashOf("hello")).toBe(0x248bfa47);
  expect(hashOf("hello, world")).toBe(0x149bbb7f);
  expect(hashOf("\xff\xfe\xfd\xfc\xfb")).toBe(prefixHash("\xff\xfe\xfd\xfc\xfb tail", 5));
});
