/** The disk fails once, at each call there is. */
import { expect, test } from "bun:test";
import type { DiskCall } from "../sim/disk.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { type Fate, Life } from "./life.ts";

const seeds = seedsUpTo(amount(2, 1, 8));
/** Of so many calls of a life one fails. */
const oneIn = amount(1, 8, 1);

/** Calls that can find the disk full. */
const growing = new Set(["create", "write", "sync", "rename", "remove", "syncDirectory"]);

function lifeOf(seed: number, fate: (call: DiskCall) => Fate): Life {
  return new Life({ seed, starts: 1, steps: 40, finishes: true, losesPower: true, fate });
}

test.each([
  ["EIO", "a disk that fails ends the tree, and what was durable is there afterwards"],
  ["ENOSPC", "a disk that is full is waited for, and nothing is lost"],
] as const)(
  "%s: %s",
  async (code) => {
    let faults = 0;
    await tryEach(seeds, import.meta.path, async (seed) => {
      const quiet = lifeOf(seed, () => undefined);
      await quiet.run();
      for (let number = 1; number <= quiet.calls; number += oneIn) {
        let isHit = false;
        const life = lifeOf(seed, (call) => {
          isHit = call.number === number && (code === "EIO" || growing.has(call.operation));
          if (isHit) faults++;
          return isHit ? code : undefined;
        });
        await life.run();
      }
    });
    say(`${faults} faults`);
    expect(faults).toBeGreaterThan(100 / oneIn);
  },
  600_000,
);
