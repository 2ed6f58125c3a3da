/** A tree against a plain model of it. */
import { expect, test } from "bun:test";
import { bytesOf, orderedU32 } from "../../src/lib/bytes.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount, seedsUpTo, tryEach } from "../support/effort.ts";
import { Life } from "./life.ts";
import { openTree, tinyLimits } from "./rig.ts";

test("a tree holds what a map would, over flushes, merges and reopenings", async () => {
  await tryEach(seedsUpTo(amount(30, 3, 1500)), import.meta.path, (seed) =>
    new Life({ seed, starts: 4, steps: 200 }).run(),
  );
}, 600_000);

test("an opening tells how many of the tables are open", async () => {
  const disk = new SimDisk();
  const limits = { ...tinyLimits, tableBytesMax: 512 };
  const tree = await openTree(disk, { limits });
  for (let at = 0; at < 200; at++)
    tree.put(`p${orderedU32(at)}`, bytesOf("a value of some length"));
  tree.seal({ at: 1 });
  await tree.major();
  const { length } = tree.tables();
  await tree.close();
  expect(length).toBeGreaterThan(3);
  const told: [number, number][] = [];
  const again = await openTree(disk, { limits, onOpening: (...counts) => told.push(counts) });
  expect(told).toEqual(Array.from({ length }, (_, at) => [at + 1, length]));
  await again.close();
});
