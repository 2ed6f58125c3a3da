import { expect, test } from "bun:test";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { boundaryKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { encodeBoundary } from "../../src/replication/boundary.ts";
import { knownTables, publish } from "../../src/replication/checkpoint.ts";
import { keyOf, keyOfTable, type Manifest, type TableRef } from "../../src/replication/manifest.ts";
import { findCheckpoint, restoreNewest } from "../../src/replication/restore.ts";
import { seal } from "../../src/replication/sealed.ts";
import { say } from "../support/effort.ts";
import { captureOf, contentOf, publishOptions } from "./tables.ts";

/** A bucket with checkpoints of the indexes 1 to `count`, and the tables of each. */
async function bucketOf(count: number) {
  const store = new MemoryStore({ pageKeysMax: 2 });
  const random = new SeededRandom(7);
  const contents: Buffer[][] = [];
  const manifests: Manifest[] = [];
  let known = new Map<string, TableRef>();
  for (let index = 1; index <= count; index++) {
    const tables = [...(contents.at(-1)?.slice(1) ?? [contentOf(random)]), contentOf(random)];
    contents.push(tables);
    const result = await publish(store, captureOf(index, tables), publishOptions(index, { known }));
    if (result.outcome !== "published") throw new Error(result.outcome);
    known = knownTables(result.manifest);
    manifests.push(result.manifest);
  }
  return { store, contents, manifests };
}

/** What a restore finds and fetches. */
async function restored(store: ObjectStore, has: ReadonlySet<string> = new Set()) {
  const tables = new Map<string, Buffer>();
  const progress: [number, number][] = [];
  const found = await restoreNewest(store, {
    storeAt: () => store,
    parallel: 2,
    has: (hash) => has.has(hash),
    put: ({ hash }, bytes) => {
      tables.set(hash, bytes);
    },
    progress: (done, total) => {
      progress.push([done, total]);
    },
  });
  return { ...found, tables, progress };
}

test("the newest checkpoint comes back, byte for byte, and says how far it is", async () => {
  const { store, contents, manifests } = await bucketOf(3);
  const { manifest, progress, skipped, tables } = await restored(store);
  expect(manifest).toEqual(manifests[2] as Manifest);
  expect(skipped).toEqual([]);
  expect([...tables.values()].sort(Buffer.compare)).toEqual(
    (contents[2] ?? []).toSorted(Buffer.compare),
  );
  const total = (contents[2] ?? []).reduce((sum, { length }) => sum + length, 0);
  expect(progress[0]).toEqual([0, total]);
  expect(progress.at(-1)).toEqual([total, total]);
});

test("tables that the disk has are not fetched", async () => {
  const { store, manifests } = await bucketOf(2);
  const [own, other] = (manifests[1] as Manifest).tables.map(({ hash }) => hash);
  const { tables } = await restored(store, new Set([own ?? ""]));
  expect([...tables.keys()]).toEqual([other ?? ""]);
});

test("nothing is found in an empty prefix", async () => {
  const store = new MemoryStore();
  expect(await findCheckpoint(store, { storeAt: () => store })).toEqual({
    manifest: undefined,
    skipped: [],
  });
});

test("any damage to a checkpoint or its tables, and the one before it comes back", async () => {
  let damages = 0;
  const { manifests } = await bucketOf(3);
  const newest = manifests[2] as Manifest;
  const own = newest.tables.find(({ copy }) => copy === newest.attempt) as TableRef;
  for (const key of [keyOf(newest), keyOfTable(own)]) {
    const { store } = await bucketOf(3);
    const bytes = store.peek(key) ?? Buffer.alloc(0);
    const restores = async (damage: string) => {
      const { manifest, skipped } = await restored(store);
      expect(manifest?.position.index as number, damage).toBe(2);
      expect(skipped.map((each) => each.key)).toEqual([keyOf(newest)]);
      damages++;
    };
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ 0x40, at);
      await store.put(key, flipped);
      await restores(`${key} flipped at ${at}`);
    }
    await store.put(key, bytes.subarray(1));
    await restores(`${key} cut`);
    await store.delete(key);
    if (key === keyOf(newest)) {
      expect((await restored(store)).manifest?.position.index as number).toBe(2);
    } else await restores(`${key} gone`);
  }
  say(`restore: ${damages} damaged checkpoints passed over`);
});

test("when no checkpoint is whole each is named with what is wrong", async () => {
  const { store, manifests } = await bucketOf(2);
  for (const key of store.keys("sst/")) await store.delete(key);
  const { manifest, skipped } = await restored(store);
  expect(manifest).toBeUndefined();
  expect(skipped.map(({ key }) => key)).toEqual(manifests.toReversed().map(keyOf));
  for (const { why } of skipped) expect(why).toMatch(/^its table memory:\/?sst\/.* is not there$/);
});

test("a checkpoint whose log has been deleted is not used", async () => {
  const { store } = await bucketOf(3);
  await store.put(boundaryKey, encodeBoundary({ seq: 6, index: 5 }));
  const { manifest, skipped } = await findCheckpoint(store, { storeAt: () => store });
  expect(manifest).toBeUndefined();
  expect(skipped[0]?.why).toBe("the log after it was deleted up to slot 5");
});

test("a damaged boundary is refused by name", async () => {
  const { store } = await bucketOf(1);
  await store.put(boundaryKey, Buffer.from('{"seq":1}'));
  expect(restored(store)).rejects.toThrow(CorruptionError);
});

test("a checkpoint of a newer format or another cluster is refused, nothing older is used", async () => {
  const { store, manifests } = await bucketOf(2);
  const storeAt = () => store;
  expect(findCheckpoint(store, { storeAt, cluster: 8n })).rejects.toThrow(ForeignError);
  const key = keyOf(manifests[1] as Manifest);
  const { checksum: _, ...fields } = JSON.parse(store.peek(key)?.toString() ?? "");
  await store.put(key, seal({ ...fields, format_version: 9 }));
  expect(findCheckpoint(store, { storeAt })).rejects.toThrow(ForeignError);
});
