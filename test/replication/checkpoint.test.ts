import { expect, test } from "bun:test";
import { CorruptionError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { termOf } from "../../src/model/revision.ts";
import { checkpointKey, latestKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { ObjectError, type ObjectStore } from "../../src/object/store.ts";
import { knownTables, publish } from "../../src/replication/checkpoint.ts";
import { collect } from "../../src/replication/collect.ts";
import {
  keyOf,
  keyOfTable,
  type Manifest,
  readLatest,
  readManifest,
  type TableRef,
} from "../../src/replication/manifest.ts";
import { listsEarly } from "./lies.ts";
import { captureOf, contentOf, methodsOf, publishOptions } from "./tables.ts";

const random = new SeededRandom(1);
const [a, b, c] = [contentOf(random), contentOf(random), contentOf(random)];

/** Counts calls; what `fails` names fails, nobody knowing what came of it. */
function counted(store: ObjectStore, fails?: (operation: string, key: string) => boolean) {
  const calls: string[] = [];
  const handler: ProxyHandler<ObjectStore> = {
    get: (target, name: keyof ObjectStore) => {
      const method = target[name];
      if (typeof method !== "function") return method;
      return (...parts: never[]) => {
        calls.push(`${name} ${parts[0]}`);
        if (fails?.(name, parts[0] as unknown as string)) {
          return Promise.reject(new ObjectError("unknown", name, `${parts[0]}`, "no answer"));
        }
        return (method as (...all: never[]) => unknown).apply(target, parts);
      };
    },
  };
  return { calls, store: new Proxy(store, handler) };
}

async function published(...parts: Parameters<typeof publish>): Promise<Manifest> {
  const result = await publish(...parts);
  if (result.outcome !== "published") throw new Error(result.outcome);
  return result.manifest;
}

test("a checkpoint puts only tables the bucket does not have, and points to itself", async () => {
  const store = new MemoryStore();
  const first = await published(store, captureOf(1, [a, b]), publishOptions(1));
  const known = knownTables(first);
  const second = await publish(store, captureOf(2, [b, c]), publishOptions(2, { known }));
  expect(second).toMatchObject({
    outcome: "published",
    uploaded: { tables: 1, bytes: c.length },
  });
  expect(store.keys("sst/")).toHaveLength(3);
  expect(store.keys("checkpoint/").filter((key) => key.includes("pending"))).toEqual([]);
  const latest = (await readLatest(store))?.latest;
  expect(latest?.checkpointKey).toBe(checkpointKey(1, 3));
  const found = await readManifest(store, latest?.checkpointKey ?? "");
  expect(found?.manifest).toMatchObject({ tree: "tables of 2", lastSeq: 2 });
});

test("an index that has not moved makes no request", async () => {
  const { calls, store } = counted(new MemoryStore());
  const capture = captureOf(5, [a]);
  const { position } = await published(store, capture, publishOptions(1));
  calls.length = 0;
  const again = await publish(store, capture, publishOptions(2, { knownIndex: position.index }));
  expect(again.outcome).toBe("present");
  expect(calls).toEqual([]);
});

test("a checkpoint of one more table takes ten requests", async () => {
  const { calls, store } = counted(new MemoryStore());
  const first = await published(store, captureOf(1, [a]), publishOptions(1));
  calls.length = 0;
  await published(store, captureOf(2, [a, b]), publishOptions(2, { known: knownTables(first) }));
  expect(calls.map((call) => call.split(" ")[0])).toEqual([
    "get",
    "get",
    "putIfAbsent",
    "get",
    "list",
    "put",
    "putIfAbsent",
    "get",
    "putIfMatch",
    "delete",
  ]);
});

test("a manifest is replaced by one with a later index, never by an earlier one", async () => {
  const store = new MemoryStore();
  await published(store, captureOf(4, [a], { revision: 9 }), publishOptions(1));
  await published(store, captureOf(6, [b], { revision: 9 }), publishOptions(2));
  const old = await publish(store, captureOf(5, [c], { revision: 9 }), publishOptions(3));
  expect(old).toEqual({ outcome: "present", index: 6 });
  const found = await readManifest(store, checkpointKey(1, 9));
  expect(found?.manifest?.position.index as number).toBe(6);
});

test("who was superseded publishes nothing and leaves no pending behind", async () => {
  const store = new MemoryStore();
  const lockTerm = () => Promise.resolve(2);
  const result = await publish(store, captureOf(1, [a]), publishOptions(1, { lockTerm }));
  expect(result).toEqual({ outcome: "superseded", term: 2 });
  expect(store.keys("checkpoint/")).toEqual([]);
  expect(store.peek(latestKey)).toBeUndefined();
});

test("manifest/latest does not go back", async () => {
  const store = new MemoryStore();
  let other: Promise<Manifest> | undefined;
  const lockTerm = async () => {
    other = published(store, captureOf(8, [b], { term: termOf(2) }), publishOptions(2));
    await other;
    return 1;
  };
  await published(store, captureOf(7, [a]), publishOptions(1, { lockTerm }));
  const newest = await other;
  expect((await readLatest(store))?.latest.checkpointKey).toBe(keyOf(newest as Manifest));
});

test("a table whose bytes have changed on the disk is refused by name", async () => {
  const store = new MemoryStore();
  const capture = captureOf(1, [a]);
  const [table] = capture.tables;
  const rotten = { ...capture, tables: [{ hash: "0".repeat(64), bytes: a.length, read: () => b }] };
  expect(table).toBeDefined();
  const attempt = publish(store, rotten, publishOptions(1));
  expect(attempt).rejects.toThrow(CorruptionError);
  await attempt.catch(() => undefined);
  expect(store.keys("sst/")).toEqual([]);
});

test("an attempt after one that failed goes on where that one was", async () => {
  const bucket = new MemoryStore();
  const known = new Map<string, TableRef>();
  const failing = counted(
    bucket,
    (operation, key) => operation === "put" && puts++ > 1 && key !== "",
  );
  let puts = 0;
  const tables = [a, b, c];
  const options = { known, parallel: 1 };
  const failed = publish(failing.store, captureOf(1, tables), publishOptions(1, options));
  expect(await failed.catch((error: Error) => error.name)).toBe("ObjectError");
  const result = await publish(bucket, captureOf(1, tables), publishOptions(2, options));
  expect(result).toMatchObject({ outcome: "published", uploaded: { tables: 1 } });
});

test("a damaged manifest or pointer in its way is replaced", async () => {
  const store = new MemoryStore();
  const first = await published(store, captureOf(1, [a], { revision: 4 }), publishOptions(1));
  await store.put(keyOf(first), Buffer.from("{}"));
  await store.put(latestKey, Buffer.from("{}"));
  const second = await published(store, captureOf(2, [b], { revision: 4 }), publishOptions(2));
  expect((await readLatest(store))?.latest.checkpointKey).toBe(keyOf(second));
  expect((await readManifest(store, keyOf(second)))?.manifest).toEqual(second);
});

test("a table that takes too long is given up", async () => {
  const never = counted(new MemoryStore());
  const options = publishOptions(1, { tableMsMax: 1000 });
  let signal: AbortSignal | undefined;
  const store: ObjectStore = {
    ...methodsOf(never.store),
    put: (key, _, call) => {
      signal = call?.signal;
      return new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => {
          reject(new ObjectError("unknown", "put", key, "given up"));
        });
      });
    },
  };
  const attempt = publish(store, captureOf(1, [a]), options).catch((error: Error) => error.name);
  const { clock } = options as unknown as { clock: { advance(ms: number): Promise<void> } };
  while (signal === undefined) await new Promise((resolve) => setImmediate(resolve));
  await clock.advance(1000);
  expect(await attempt).toBe("ObjectError");
});

/**
 * gc condemns a table that an attempt which was given up has put, and has read everything again;
 * now a checkpoint says that it relies on it, gc deletes it, and is done. Whether the checkpoint
 * is whole then.
 */
async function race(change: (store: ObjectStore) => ObjectStore): Promise<boolean> {
  const bucket = new MemoryStore();
  const known = new Map<string, TableRef>();
  const failing = { known, lockTerm: () => Promise.reject(new Error("no answer")) };
  await publish(bucket, captureOf(1, [a]), publishOptions(1, failing)).catch(() => undefined);
  const first = await published(bucket, captureOf(2, [b]), publishOptions(2));
  for (const [hash, table] of knownTables(first)) known.set(hash, table);
  const mayDelete = Promise.withResolvers<void>();
  const isAtDelete = Promise.withResolvers<void>();
  const gated: ObjectStore = {
    ...methodsOf(bucket),
    delete: async (key) => {
      if (key.startsWith("sst/")) isAtDelete.resolve();
      if (key.startsWith("sst/")) await mayDelete.promise;
      await bucket.delete(key);
    },
  };
  const gc = collect(gated, {
    random: new SeededRandom(3),
    nowMs: Date.now() + 1000,
    retention: { keep: 1 },
    graceMs: 0,
    attemptMsMax: 0,
    parallel: 1,
  });
  await isAtDelete.promise;
  const paused: ObjectStore = {
    ...methodsOf(bucket),
    get: async (key) => {
      if (key === "gc/condemned.json") {
        mayDelete.resolve();
        await gc;
      }
      return await bucket.get(key);
    },
  };
  const options = publishOptions(4, { known });
  const manifest = await published(change(paused), captureOf(3, [a, b]), options);
  return manifest.tables.every((table) => bucket.peek(keyOfTable(table)) !== undefined);
}

test("a table that gc deletes meanwhile is put again, under another key", async () => {
  expect(await race((store) => store)).toBe(true);
});

test("it would be missing if tables were looked for before what is condemned is read", async () => {
  expect(await race(listsEarly)).toBe(false);
});
