import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Glob } from "bun";
import { generate } from "../../proto/generate.ts";

async function filesIn(directory: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const path of new Glob("**/*").scan(directory)) {
    files[path] = await Bun.file(`${directory}/${path}`).text();
  }
  return files;
}

test("the committed codecs are what the protocol files generate", async () => {
  const directory = mkdtempSync(`${tmpdir()}/t4-gen-`);
  try {
    await generate(directory);
    const committed = await filesIn(`${import.meta.dir}/../../src/gen`);
    const fresh = await filesIn(directory);
    expect(Object.keys(committed).sort()).toEqual(Object.keys(fresh).sort());
    const stale = Object.keys(fresh).filter((path) => committed[path] !== fresh[path]);
    expect({ stale, cure: "bun run generate" }).toEqual({ stale: [], cure: "bun run generate" });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
