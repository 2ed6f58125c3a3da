/** A tree against a plain model of it. */
import { test } from "bun:test";
import { amount, seedsUpTo, tryEach } from "../support/effort.ts";
import { Life } from "./life.ts";

test("a tree holds what a map would, over flushes, merges and reopenings", async () => {
  await tryEach(seedsUpTo(amount(30, 3, 1500)), import.meta.path, (seed) =>
    new Life({ seed, starts: 4, steps: 200 }).run(),
  );
}, 600_000);
