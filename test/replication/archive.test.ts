import { expect, test } from "bun:test";
import { logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { findEnd } from "../../src/replication/archive.ts";
import { takeThroughBucket, writeHead } from "../../src/replication/lock.ts";
import { lead } from "./reign.ts";
import { batchAfter, batchesAfter, cluster, objectAt, origin, seeded } from "./rig.ts";

test("a log of fences and data is a chain of objects, and its end is found again", async () => {
  const store = new MemoryStore({ pageKeysMax: 2 });
  const first = await lead(store, 1);
  await first.put(batchesAfter(origin, 1, [1, 2]));
  await first.put(batchesAfter(first.end.position, 1, [3]));
  const second = await lead(store, 2);
  await second.put(batchesAfter(second.end.position, 2, [1]));
  const objects = await Promise.all([1, 2, 3, 4, 5].map((seq) => objectAt(store, seq)));
  expect(objects.map(({ end, kind, term }) => [kind, term, end.index])).toEqual([
    ["fence", 1, 0],
    ["data", 1, 3],
    ["data", 1, 6],
    ["fence", 2, 6],
    ["data", 2, 7],
  ] as never);
  for (const [at, object] of objects.slice(1).entries()) {
    expect(object.previousHash).toBe(objects[at]?.hash ?? "");
    expect(object.base).toEqual(objects[at]?.end ?? origin);
  }
  expect(await findEnd(store, cluster)).toEqual(second.end);
  expect(second.end).toMatchObject({ seq: 5, revision: 8, term: 2 });
  expect([second.objects, second.bytes]).toEqual([1, store.peek(logKey(5))?.length ?? 0]);
});

test("the log of a branch begins where its checkpoint ends", async () => {
  const store = new MemoryStore();
  const base = batchAfter(origin, 4, 9).end;
  const leader = await lead(store, 5, base);
  await leader.put([batchAfter(base, 5, 1)]);
  expect(await objectAt(store, 1)).toMatchObject({ kind: "fence", base, firstRevision: 10 });
  expect(await objectAt(store, 2)).toMatchObject({ base, lastRevision: 11 });
});

test("a leader whose successor has a fence is superseded, is told by whom, and stays so", async () => {
  const store = new MemoryStore();
  const old = await lead(store, 1);
  const self = { incarnation: 7n, name: "new", address: "10.0.0.7:2379" };
  const draft = takeThroughBucket({ head: undefined, self, cluster, pastTerm: 1 });
  await writeHead(store, undefined, draft, seeded(1));
  await lead(store, 2);
  const batch = batchAfter(origin, 1, 1);
  const failure = { name: "SupersededError", term: 2, leader: self };
  expect(old.put([batch])).rejects.toMatchObject(failure);
  expect(old.put([batch])).rejects.toMatchObject(failure);
  expect(old.put([batch])).rejects.toThrow("superseded in term 2 by new at 10.0.0.7:2379");
});

test("a fence of an older term than the log's is not put", async () => {
  const store = new MemoryStore();
  await lead(store, 2);
  expect(lead(store, 1)).rejects.toMatchObject({ name: "SupersededError", term: 2 });
});

test("a stopped archive gives up its put and puts nothing more", async () => {
  const store = new MemoryStore();
  const leader = await lead(store, 1);
  const put = leader.put([batchAfter(origin, 1, 1)]);
  leader.stop();
  expect(put).rejects.toMatchObject({ name: "StoppedError" });
  await put.catch(() => undefined);
  expect(leader.put([batchAfter(origin, 1, 1)])).rejects.toMatchObject({ name: "StoppedError" });
});

test("a log that ends before a slot known to have been used is refused", async () => {
  const store = new MemoryStore();
  await lead(store, 1);
  expect(await findEnd(store, cluster, { atLeast: 1 })).toMatchObject({ seq: 1 });
  expect(findEnd(store, cluster, { atLeast: 2 })).rejects.toThrow("up to slot 2 at least");
});

test("one put is under way at a time", async () => {
  const store = new MemoryStore();
  const leader = await lead(store, 1);
  const batch = batchAfter(origin, 1, 1);
  const put = leader.put([batch]);
  expect(leader.put([batch])).rejects.toThrow("one put");
  await put;
});
