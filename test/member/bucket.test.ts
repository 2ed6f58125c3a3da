import { expect, test } from "bun:test";
import { MemoryStore } from "../../src/object/memory.ts";
import { SimDisk } from "../sim/disk.ts";
import { openWithBucket } from "./bucket.ts";
import { gist, pairsOf, putOf, whilePassing } from "./rig.ts";

test("what was acknowledged is there after the disk is gone", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk() });
  for (let at = 0; at < 20; at++) {
    const answer = first.member.propose(putOf(`k${String(at).padStart(2, "0")}`, `${at}`));
    expect(gist(await whilePassing(first.clock, answer))).toBe(at + 2);
  }
  const before = await pairsOf(first.member);
  expect(before.length).toBe(20);
  // The process dies, and its disk with it.
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  expect(await pairsOf(second.member)).toEqual(before);
  expect(gist(await whilePassing(second.clock, second.member.propose(putOf("more", ""))))).toBe(22);
});
