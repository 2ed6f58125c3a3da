/** What every store does that keeps older contents. */
import { expect, test } from "bun:test";
import { listAllVersions, type ObjectVersions } from "../../src/object/store.ts";
import type { Subject } from "./contract.ts";

/** Runs the suite over stores that `make` gives, an empty one for each test. */
export function versionsContract(name: string, make: () => Promise<Subject> | Subject): void {
  test(`${name}: every content a key had can be listed and got, deletions told`, async () => {
    const { done, store } = await make();
    const { versions } = store;
    if (versions === undefined) throw new Error("the store has no versions");
    try {
      await store.put("a/x", Buffer.from("one"));
      await store.put("a/x", Buffer.from("three"));
      await store.put("b", Buffer.from("other"));
      await store.delete("a/x");
      expect(await store.get("a/x")).toBeUndefined();
      const kept = await Array.fromAsync(listAllVersions(versions, "a/"));
      expect(kept.map(({ key, isLatest, isDeletion }) => [key, isLatest, isDeletion])).toEqual([
        ["a/x", true, true],
        ["a/x", false, false],
        ["a/x", false, false],
      ]);
      expect(kept.map(({ bytes }) => bytes)).toEqual([0, 5, 3]);
      expect(await contents(versions, kept)).toEqual([undefined, "three", "one"]);
      expect(await versions.get("a/y", kept[1]?.version ?? "")).toBeUndefined();
      await store.put("a/x", Buffer.from("again"));
      const [latest] = await Array.fromAsync(listAllVersions(versions, "a/"));
      expect([latest?.isLatest, latest?.isDeletion]).toEqual([true, false]);
      expect((await Array.fromAsync(listAllVersions(versions, ""))).length).toBe(5);
    } finally {
      await done?.();
    }
  });
}

function contents(
  versions: ObjectVersions,
  kept: readonly { key: string; version: string; isDeletion: boolean }[],
): Promise<(string | undefined)[]> {
  return Promise.all(
    kept.map(async ({ isDeletion, key, version }) =>
      isDeletion ? undefined : (await versions.get(key, version))?.bytes.toString(),
    ),
  );
}
