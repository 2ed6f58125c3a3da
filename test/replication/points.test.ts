import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { logKey, pointKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { listAll, type ObjectStore } from "../../src/object/store.ts";
import { publish } from "../../src/replication/checkpoint.ts";
import { collect } from "../../src/replication/collect.ts";
import {
  listPoints,
  pinPoint,
  readPoint,
  releasePoint,
  viewOf,
} from "../../src/replication/points.ts";
import { restoreNewest } from "../../src/replication/restore.ts";
import { captureOf, contentOf, methodsOf, publishOptions } from "./tables.ts";

const start = Date.UTC(2026, 0, 1);
const random = new SeededRandom(5);

/** A versioned bucket: each minute a checkpoint of a table of its own, and two log objects. */
async function bucketOf(minutes: number) {
  const now = { ms: start };
  const store = new MemoryStore({ versioned: true, clock: { wall: () => now.ms } });
  const tables: Buffer[] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    now.ms += 60_000;
    const bytes = contentOf(random);
    tables.push(bytes);
    await store.put(logKey(2 * minute - 1), Buffer.alloc(300, minute));
    const capture = captureOf(2 * minute - 1, [bytes]);
    const result = await publish(store, capture, publishOptions(minute));
    expect(result.outcome).toBe("published");
    now.ms += 1000;
    await store.put(logKey(2 * minute), Buffer.alloc(310, minute));
  }
  now.ms += 1000;
  return { store, tables, now };
}

test("a point is the checkpoint and the log of its moment, after gc has taken both", async () => {
  const { now, store, tables } = await bucketOf(5);
  const atMs = start + 2 * 60_000 + 10_000;
  await collect(store, {
    random,
    nowMs: now.ms,
    retention: { keep: 1 },
    graceMs: 0,
    attemptMsMax: 1e9,
    parallel: 2,
  });
  const pinned = await pinPoint(store, "x", { random, nowMs: now.ms, atMs });
  expect(pinned.outcome).toBe("pinned");
  const point = await readPoint(store, "x");
  if (point === undefined) throw new Error("it is there");
  const view = viewOf(store, point);
  const fetched: Buffer[] = [];
  const { manifest } = await restoreNewest(view, {
    storeAt: () => view,
    parallel: 1,
    has: () => false,
    put: (_, bytes) => {
      fetched.push(bytes);
    },
  });
  expect(manifest?.position.index as number).toBe(3);
  expect(fetched).toEqual(tables.slice(1, 2));
  const log = await Array.fromAsync(listAll(view, "wal/"));
  expect(log.map(({ bytes, key }) => [key, bytes])).toEqual([[logKey(4), 310]]);
  expect((await view.get(logKey(4)))?.bytes).toEqual(Buffer.alloc(310, 2));
  expect(view.put("x", Buffer.alloc(1))).rejects.toThrow("read-only");
});

test("a point keeps its checkpoint from gc until it is let go", async () => {
  const { now, store } = await bucketOf(3);
  await pinPoint(store, "x", { random, nowMs: now.ms, atMs: start + 70_000 });
  const gc = () =>
    collect(store, {
      random,
      nowMs: now.ms,
      retention: { keep: 1 },
      graceMs: 0,
      attemptMsMax: 1e9,
      parallel: 2,
    });
  expect((await gc()).checkpoints).toHaveLength(1);
  expect((await listPoints(store)).map(({ id }) => id)).toEqual(["x"]);
  expect(await releasePoint(store, "x", { random, nowMs: now.ms })).toBe(true);
  expect(await releasePoint(store, "x", { random, nowMs: now.ms })).toBe(false);
  expect((await gc()).checkpoints).toHaveLength(1);
});

test("a point that takes the id of one that gc is deleting is refused", async () => {
  const { now, store } = await bucketOf(2);
  const options = { random, nowMs: now.ms };
  expect((await pinPoint(store, "x", options)).outcome).toBe("pinned");
  expect(await releasePoint(store, "x", options)).toBe(true);
  now.ms += 24 * 3_600_000;
  let outcome: string | undefined;
  const paused: ObjectStore = {
    ...methodsOf(store),
    delete: async (key) => {
      if (key === pointKey("x")) outcome = (await pinPoint(store, "x", options)).outcome;
      await store.delete(key);
    },
  };
  await collect(paused, {
    random,
    nowMs: now.ms,
    retention: { keep: 1 },
    graceMs: 0,
    attemptMsMax: 1e9,
    parallel: 1,
  });
  expect(outcome).toBe("unusable");
  expect(await readPoint(store, "x")).toBeUndefined();
  expect((await pinPoint(store, "x", options)).outcome).toBe("pinned");
  expect(await readPoint(store, "x")).toBeDefined();
});

test("there is no point before the first checkpoint, twice, or without versions", async () => {
  const { now, store } = await bucketOf(1);
  const options = { random, nowMs: now.ms };
  expect(await pinPoint(store, "x", { ...options, atMs: start })).toEqual({
    outcome: "noCheckpoint",
  });
  expect((await pinPoint(store, "x", options)).outcome).toBe("pinned");
  expect(await pinPoint(store, "x", options)).toEqual({ outcome: "taken" });
  expect(await pinPoint(store, "a/b", options)).toEqual({ outcome: "badId" });
  expect(await pinPoint(new MemoryStore(), "x", options)).toEqual({ outcome: "noVersions" });
  // A bucket of S3 whose versioning was never turned on.
  const unversioned: ObjectStore = {
    ...methodsOf(store),
    versions: {
      get: () => Promise.resolve(undefined),
      list: async (prefix, from) => {
        const page = await store.versions?.list(prefix, from);
        const versions = page?.versions.map((each) => ({ ...each, version: "null" })) ?? [];
        return { versions, next: page?.next };
      },
    },
  };
  expect(await pinPoint(unversioned, "y", options)).toEqual({ outcome: "noVersions" });
});
