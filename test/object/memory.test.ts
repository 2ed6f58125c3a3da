import { expect, test } from "bun:test";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { SimClock } from "../sim/clock.ts";
import { keysOf, objectContract } from "./contract.ts";
import { versionsContract } from "./versions.ts";

objectContract("memory", () => ({ store: new MemoryStore() }));
objectContract("memory in small pages", () => ({ store: new MemoryStore({ pageKeysMax: 7 }) }));
objectContract("memory with versions", () => ({ store: new MemoryStore({ versioned: true }) }));
objectContract("a prefix in memory", () => ({ store: withPrefix(new MemoryStore(), "db/main") }));

versionsContract("memory", () => ({ store: new MemoryStore({ versioned: true }) }));
versionsContract("a prefix in memory", () => ({
  store: withPrefix(new MemoryStore({ versioned: true }), "db"),
}));

test("one slash stands between prefix and key, however the prefix was typed", async () => {
  const bucket = new MemoryStore();
  const typed = ["db", "db/", "/db", "//db//", "/db/"];
  for (const [at, prefix] of typed.entries()) {
    await withPrefix(bucket, prefix).put(`k${at}`, Buffer.from(prefix));
  }
  await withPrefix(bucket, "a//b/").put("k", Buffer.from("x"));
  await withPrefix(bucket, "/").put("top", Buffer.from("x"));
  expect(bucket.keys()).toEqual(["a/b/k", ...typed.map((_, at) => `db/k${at}`), "top"]);
});

test("a prefix hides what stands beside it, its namesakes too", async () => {
  const bucket = new MemoryStore();
  const [db, db2] = [withPrefix(bucket, "db"), withPrefix(bucket, "db2")];
  await db.put("k", Buffer.from("1"));
  await db2.put("k", Buffer.from("2"));
  expect(await keysOf(db, "")).toEqual(["k"]);
  await db2.delete("k");
  expect((await db.get("k"))?.bytes.toString()).toBe("1");
});

test("a list tells when an object was written, by the store's clock", async () => {
  const clock = new SimClock();
  const store = new MemoryStore({ clock });
  await store.put("a", Buffer.from("x"));
  clock.setWall(5000);
  await store.put("b", Buffer.from("y"));
  const times = (await store.list("")).objects.map(({ modifiedMs }) => modifiedMs);
  expect(times).toEqual([Date.UTC(2026, 0, 1), 5000]);
});

test("what a caller does with its buffer later does not change the object", async () => {
  const store = new MemoryStore();
  const bytes = Buffer.from("abc");
  await store.put("k", bytes);
  bytes.fill("x");
  (await store.get("k"))?.bytes.fill("y");
  expect((await store.get("k"))?.bytes.toString()).toBe("abc");
});
