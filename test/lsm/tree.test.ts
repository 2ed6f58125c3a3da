/** A tree against a plain model of it. */
import { test } from "bun:test";
import { Life, whole } from "./life.ts";

const seeds = whole ? 4000 : 60;

test("a tree holds what a map would, over flushes, merges and reopenings", async () => {
  for (let seed = 1; seed <= seeds; seed++) {
    await new Life({ seed, starts: 4, steps: 200 }).run();
  }
}, 600_000);
