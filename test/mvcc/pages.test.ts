/**
 * Ranges over keys with many versions, read a page at a time while the store is written to, flushed,
 * merged and compacted: each must be what the model had at its revision.
 */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { openEnd } from "../../src/model/range.ts";
import { amount, seedsUpTo, tryEach } from "../support/effort.ts";
import type { ModelPair } from "./model.ts";
import { plainPair, Rig } from "./rig.ts";

const seeds = seedsUpTo(amount(40, 8, 1500));
const keys = 30;

/** Changes many keys, one after the other, and sometimes what the tables hold. */
async function disturb(rig: Rig, random: SeededRandom): Promise<void> {
  for (let count = random.below(random.below(2) === 0 ? 60 : 3); count > 0; count--) {
    const key = `key ${random.below(keys)}${random.below(4) === 0 ? "\0" : ""}`;
    const value = Buffer.alloc(random.below(40), `${rig.model.revision} `);
    const flags = { previous: false, ignoreValue: false, ignoreLease: false };
    if (random.below(8) > 0) rig.run({ kind: "put", key, value, lease: 0n, ...flags });
    else rig.run({ kind: "deleteRange", range: { key, end: "" }, previous: false });
  }
  rig.applyAll();
  const choice = random.below(10);
  if (choice < 3) return;
  if (choice < 4) {
    const { floor, revision } = rig.model;
    const revisionOf = Math.max(floor + 1, revision - random.below(100));
    if (revisionOf <= revision) rig.run({ kind: "compact", revision: revisionOf });
    rig.applyAll();
  }
  rig.seal();
  if (choice < 8) await rig.tree.flushed();
  else if (choice < 9) await rig.tree.major();
}

/** All pairs at a revision, a page at a time. */
async function read(rig: Rig, random: SeededRandom, revision: number): Promise<ModelPair[]> {
  const found: ModelPair[] = [];
  const release = rig.store.pin(revision);
  const source = rig.store.at(revision);
  for (let key = "\0"; ; key = `${found.at(-1)?.key}\0`) {
    const cursor = source.cursor({ key, end: openEnd });
    let left = 1 + random.below(12);
    while (left > 0 && cursor.next()) {
      found.push(plainPair(cursor.pair()));
      left--;
    }
    if (left > 0) break;
    if (random.below(3) > 0) await disturb(rig, random);
  }
  release();
  return found;
}

test("a range sees its revision, whatever is flushed, merged and compacted from page to page", async () => {
  await tryEach(seeds, import.meta.path, async (seed) => {
    const random = new SeededRandom(seed);
    const rig = new Rig(random);
    await rig.open();
    for (let round = 0; round < 25; round++) {
      await disturb(rig, random);
      if (random.below(8) === 0) await rig.crash();
      const { floor, revision } = rig.store;
      const old = Math.max(floor, 1, revision - random.below(200));
      const at = random.below(3) > 0 ? Math.max(old, revision - random.below(2)) : old;
      const expected = [...rig.model.stateAt(at).values()].sort((a, b) => (a.key < b.key ? -1 : 1));
      expect(await read(rig, random, at)).toEqual(expected);
    }
    await rig.close();
  });
}, 600_000);
