/** A tree against a plain model of it. */
import { test } from "bun:test";
import { Life } from "./life.ts";
import { whole } from "./rig.ts";

const seeds = whole ? 1500 : 30;

test("a tree holds what a map would, over flushes, merges and reopenings", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    await new Life({ seed, starts: 4, steps: 200 }).run();
  }
}, 600_000);
