/** What is remembered of keys is true, and the recent ones are remembered. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { Heads } from "../../src/mvcc/heads.ts";

type Known = readonly [number, number, number, bigint] | null;

function known(heads: Heads, key: string): Known | undefined {
  const head = heads.get(key);
  if (!head) return head;
  return [head.createRevision, head.modRevision, head.version, head.lease];
}

test("a head is what was set last, or not known", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const random = new SeededRandom(seed);
    const heads = new Heads(2 ** (14 + random.below(4)));
    const model = new Map<string, Known>();
    const keyOf = () => {
      const kind = random.below(20);
      if (kind === 0) return "k".repeat(random.below(1100));
      return `${"\xff".repeat(kind % 6)}${random.below(kind < 10 ? 50 : 5000)}`;
    };
    let hits = 0;
    for (let at = 1; at <= 30_000; at++) {
      const key = keyOf();
      const kind = random.below(10);
      if (kind === 0) {
        heads.setGone(key);
        model.set(key, null);
      } else if (kind === 1) {
        heads.forget(key);
        model.delete(key);
      } else {
        const mod = random.below(2) === 0 ? at : at * 2 ** 36;
        const lease = random.below(4) === 0 ? BigInt.asIntN(64, random.u64()) : 0n;
        heads.set(key, at, mod, at % 7, lease);
        model.set(key, [at, mod, at % 7, lease]);
      }
      if (key.length <= 1024) expect(known(heads, key)).toEqual(model.get(key));
      const other = keyOf();
      const found = known(heads, other);
      if (found === undefined) continue;
      expect(model.has(other)).toBe(true);
      expect(found).toEqual(model.get(other) as Known);
      hits++;
    }
    expect(hits).toBeGreaterThan(3000);
  }
});

test("of many keys the newest are known, and most that fit", () => {
  const heads = new Heads(2 ** 20);
  const count = 20_000;
  for (let at = 0; at < count; at++) heads.set(`/registry/pods/${at}`, at + 1, at + 1, 1, 0n);
  const isKnown = (at: number) => heads.get(`/registry/pods/${at}`) !== undefined;
  expect(isKnown(count - 1)).toBe(true);
  expect(isKnown(0)).toBe(false);
  const recent = Array.from({ length: 10_000 }, (_, at) => isKnown(count - 1 - at));
  expect(recent.filter(Boolean).length).toBeGreaterThan(9000);
});
