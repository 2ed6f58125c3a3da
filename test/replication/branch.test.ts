import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { termOf } from "../../src/model/revision.ts";
import { branchKey, condemnedKey, tablePrefix } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import {
  dependents,
  fork,
  isPinId,
  joinBranch,
  listBranches,
  publishFirst,
  readBranch,
  unfork,
} from "../../src/replication/branch.ts";
import { knownTables, publish } from "../../src/replication/checkpoint.ts";
import { collect } from "../../src/replication/collect.ts";
import { condemn } from "../../src/replication/condemned.ts";
import { keyOf, keyOfTable, type Manifest } from "../../src/replication/manifest.ts";
import { decodePin, encodePin } from "../../src/replication/pin.ts";
import { restoreNewest } from "../../src/replication/restore.ts";
import { FaultyStore } from "../sim/store.ts";
import { captureOf, contentOf, publishOptions } from "./tables.ts";

const nowMs = Date.UTC(2026, 0, 1);
const random = new SeededRandom(3);

function bucket() {
  const store = new MemoryStore({ pageKeysMax: 3, clock: { wall: () => nowMs } });
  const storeAt = (prefix: string) => withPrefix(store, prefix);
  return { store, storeAt, options: { random, nowMs, storeAt } };
}

async function published(...parts: Parameters<typeof publish>): Promise<Manifest> {
  const result = await publish(...parts);
  if (result.outcome !== "published") throw new Error(result.outcome);
  return result.manifest;
}

/** Forks `checkpointKey` of one prefix and starts the branch in another; its first manifest. */
async function branch(
  storeAt: (prefix: string) => ObjectStore,
  id: string,
  [sourcePrefix, ownPrefix]: readonly [string, string],
): Promise<Manifest> {
  const options = { random, nowMs, storeAt };
  const source = storeAt(sourcePrefix);
  const forked = await fork(source, id, options);
  if (forked.outcome !== "pinned") throw new Error(forked.outcome);
  const key = keyOf(forked.pin.pin.checkpoint);
  const joined = await joinBranch(source, key, { ...options, sourcePrefix, ownPrefix });
  if (joined.outcome !== "joined") throw new Error(joined.outcome);
  const leader = { cluster: 100n + BigInt(id.length), term: termOf(9) };
  const first = publishOptions(90, { lockTerm: () => Promise.resolve(9) });
  const result = await publishFirst(storeAt(ownPrefix), joined.checkpoint, leader, first);
  if (result.outcome !== "published") throw new Error(result.outcome);
  return result.manifest;
}

/** Hashes of the tables that a restore of the prefix fetches, in order. */
async function hashes(
  storeAt: (prefix: string) => ObjectStore,
  prefix: string,
): Promise<string[] | undefined> {
  const fetched: string[] = [];
  const { manifest } = await restoreNewest(storeAt(prefix), {
    storeAt,
    parallel: 2,
    has: () => false,
    put: ({ hash }) => {
      fetched.push(hash);
    },
  });
  return manifest && fetched.sort();
}

function gc(store: ObjectStore, keep = 1) {
  const retention = { keep };
  return collect(store, { random, nowMs, retention, graceMs: 0, attemptMsMax: 1e9, parallel: 2 });
}

test("a fork pins the newest checkpoint, or the one it is told; an id is used once", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  expect(await fork(source, "x", options)).toEqual({ outcome: "noCheckpoint" });
  const first = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  const second = await published(source, captureOf(2, [contentOf(random)]), publishOptions(2));
  const newest = await fork(source, "x", options);
  expect(newest).toMatchObject({ outcome: "pinned", pin: { pin: { checkpoint: second } } });
  expect(await fork(source, "x", options)).toEqual({ outcome: "taken" });
  const told = await fork(source, "y", { ...options, checkpointKey: keyOf(first) });
  expect(told).toMatchObject({ outcome: "pinned", pin: { pin: { checkpoint: first } } });
  const typo = { ...options, checkpointKey: `${keyOf(first)}x` };
  expect(await fork(source, "z", typo)).toEqual({ outcome: "noCheckpoint" });
  expect((await listBranches(source)).map(({ id }) => id)).toEqual(["x", "y"]);
});

test("an id that cannot be one is refused", async () => {
  const { options, storeAt } = bucket();
  for (const id of ["", "a/b", "../x", ".x", "reading-1", "x".repeat(64), "ü", "a b"]) {
    expect(isPinId(id), id).toBe(false);
    expect(await fork(storeAt("db"), id, options)).toEqual({ outcome: "badId" });
  }
  expect(["a", "A.b-c_9", "x".repeat(63)].every(isPinId)).toBe(true);
});

test("a fork of a checkpoint that is not whole, or about to go, leaves no pin", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  const manifest = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  const [table] = manifest.tables.map(keyOfTable);
  await condemn(source, "0".repeat(16), [table ?? ""], []);
  expect(await fork(source, "x", options)).toMatchObject({ outcome: "unusable" });
  expect(await readBranch(source, "x")).toBeUndefined();
  await source.delete(table ?? "");
  expect(await fork(source, "x", options)).toMatchObject({ outcome: "unusable" });
  expect(await unfork(source, "x", options)).toBe(false);
});

test("a fork looks at the sizes of tables, not into them: that is verify's", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  const manifest = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  const [key = ""] = manifest.tables.map(keyOfTable);
  const bytes = Buffer.from((await source.get(key))?.bytes ?? "");
  await source.put(key, bytes.subarray(1));
  expect(await fork(source, "x", options)).toMatchObject({ outcome: "unusable" });
  bytes.writeUInt8(bytes.readUInt8(0) ^ 1, 0);
  await source.put(key, bytes);
  expect(await fork(source, "x", options)).toMatchObject({ outcome: "pinned" });
});

test("an id can be forked again after it was let go", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  await fork(source, "x", options);
  expect(await unfork(source, "x", options)).toBe(true);
  expect(await unfork(source, "x", options)).toBe(false);
  expect(await fork(source, "x", options)).toMatchObject({ outcome: "pinned" });
});

test("a branch copies no table, and needs only its own prefix from then on", async () => {
  const { options, store, storeAt } = bucket();
  const source = storeAt("db");
  const [a, b, c] = [contentOf(random), contentOf(random), contentOf(random)];
  await published(source, captureOf(1, [a, b]), publishOptions(1));
  const first = await branch(storeAt, "x", ["db", "new"]);
  expect(store.keys(`new/${tablePrefix}`)).toEqual([]);
  expect(first).toMatchObject({ lastSeq: 0, revision: 2, cluster: 101n });
  // Source and branch go on, each its own way, and gc of both runs.
  await published(source, captureOf(9, [c]), publishOptions(2));
  await gc(source);
  const known = knownTables(first);
  const next = captureOf(2, [b, c], { cluster: 101n, term: termOf(9) });
  const lockTerm = () => Promise.resolve(9);
  await published(storeAt("new"), next, publishOptions(3, { known, lockTerm }));
  await gc(storeAt("new"));
  expect(await hashes(storeAt, "new")).toEqual(next.tables.map(({ hash }) => hash).sort());
  expect(store.keys(`new/${tablePrefix}`)).toHaveLength(1);
  // Only b is still the source's.
  const pin = await readBranch(source, "x");
  if (pin === undefined) throw new Error("the pin is there");
  const needed = await dependents(pin, "db", options);
  expect(needed.map(({ tables }) => tables)).toEqual([[keyOfTable(first.tables[1] as never)]]);
  await unfork(source, "x", options);
  await gc(source);
  expect(store.keys(`db/${tablePrefix}`)).toHaveLength(1);
});

test("a start that was interrupted finds the pin that has its prefix; another's is refused", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  const manifest = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  const join = (ownPrefix: string) =>
    joinBranch(source, keyOf(manifest), { ...options, sourcePrefix: "db", ownPrefix });
  expect(await join("new")).toEqual({ outcome: "unpinned" });
  await fork(source, "x", options);
  expect(await join("new")).toMatchObject({ outcome: "joined", id: "x" });
  expect(await join("new")).toMatchObject({ outcome: "joined", id: "x" });
  expect(await join("other")).toEqual({ outcome: "taken", prefix: "new" });
  await fork(source, "y", options);
  expect(await join("other")).toMatchObject({ outcome: "joined", id: "y" });
  expect((await listBranches(source)).map(({ pin }) => pin.branchPrefix)).toEqual(["new", "other"]);
});

test("a branch of a branch keeps the tables of the first", async () => {
  const { store, storeAt } = bucket();
  const [a, b] = [contentOf(random), contentOf(random)];
  await published(storeAt("one"), captureOf(1, [a]), publishOptions(1));
  const second = await branch(storeAt, "x", ["one", "two"]);
  const lockTerm = () => Promise.resolve(9);
  const options = publishOptions(2, { known: knownTables(second), lockTerm });
  const capture = captureOf(2, [a, b], { cluster: 101n, term: termOf(9) });
  await published(storeAt("two"), capture, options);
  const third = await branch(storeAt, "xy", ["two", "three"]);
  expect(third.tables.map(({ source }) => source).sort()).toEqual(["one", "two"]);
  await published(storeAt("one"), captureOf(5, [contentOf(random)]), publishOptions(3));
  for (const prefix of ["one", "two", "three"]) await gc(storeAt(prefix));
  expect(await hashes(storeAt, "three")).toEqual(capture.tables.map(({ hash }) => hash).sort());
  expect(store.keys("three/sst/")).toEqual([]);
});

test("a pin that was changed by hand is refused by name", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  await fork(source, "x", options);
  await source.put(branchKey("x"), Buffer.from("{}\n"));
  expect(readBranch(source, "x")).rejects.toThrow(/^branches\/x is damaged/);
});

/** A fork of the checkpoint under `id` that has put its pin and is about to read what is condemned. */
async function halfway(
  source: ObjectStore,
  id: string,
  options: Parameters<typeof fork>[2],
): Promise<{ readonly store: FaultyStore; readonly forked: ReturnType<typeof fork> }> {
  const store = new FaultyStore(source);
  store.next("get", condemnedKey, "held");
  const forked = fork(store, id, options);
  while (store.held.length === 0) await new Promise(setImmediate);
  return { store, forked };
}

test("a pin whose fork died before it had looked keeps its checkpoint, but no branch begins with it", async () => {
  const { options, store, storeAt } = bucket();
  const source = storeAt("db");
  const first = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  const checkpointKey = keyOf(first);
  const { store: died } = await halfway(source, "x", { ...options, checkpointKey });
  died.die();
  const join = () =>
    joinBranch(source, checkpointKey, { ...options, sourcePrefix: "db", ownPrefix: "new" });
  expect(await join()).toEqual({ outcome: "unverified", id: "x" });
  await published(source, captureOf(2, [contentOf(random)]), publishOptions(2));
  await published(source, captureOf(3, [contentOf(random)]), publishOptions(3));
  expect((await gc(source)).checkpoints).toHaveLength(1);
  expect(store.keys(`db/${checkpointKey}`)).toHaveLength(1);
  expect(store.keys(`db/${tablePrefix}`)).toHaveLength(2);
  const forked = await fork(source, "x", { ...options, checkpointKey });
  expect(forked).toMatchObject({ outcome: "pinned", pin: { pin: { isVerified: true } } });
  expect(await join()).toMatchObject({ outcome: "joined", id: "x" });
  expect(await fork(source, "x", options)).toEqual({ outcome: "taken" });
});

test("a fork whose id another fork takes before it has looked says so, and leaves the other's pin", async () => {
  for (const isCondemned of [false, true]) {
    const { options, storeAt } = bucket();
    const source = storeAt("db");
    const first = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
    const late = await halfway(source, "x", options);
    const second = await published(source, captureOf(2, [contentOf(random)]), publishOptions(2));
    expect(await fork(source, "x", options)).toMatchObject({ outcome: "pinned" });
    if (isCondemned) await condemn(source, "0".repeat(16), first.tables.map(keyOfTable), []);
    await late.store.letGo("get", condemnedKey);
    expect(await late.forked).toEqual({ outcome: "taken" });
    const pin = (await readBranch(source, "x"))?.pin;
    expect(pin).toMatchObject({ checkpoint: second, isVerified: true });
  }
});

test("a pin without the mark, of a branch that has begun, is neither joined nor replaced", async () => {
  const { options, storeAt } = bucket();
  const source = storeAt("db");
  const manifest = await published(source, captureOf(1, [contentOf(random)]), publishOptions(1));
  await branch(storeAt, "x", ["db", "new"]);
  const key = branchKey("x");
  const { isVerified, ...rest } = decodePin(key, (await source.get(key))?.bytes ?? Buffer.alloc(0));
  expect(isVerified).toBe(true);
  await source.put(key, encodePin(rest));
  expect(await fork(source, "x", options)).toEqual({ outcome: "taken" });
  const joined = joinBranch(source, keyOf(manifest), {
    ...options,
    sourcePrefix: "db",
    ownPrefix: "new",
  });
  expect(await joined).toEqual({ outcome: "unverified", id: "x" });
});
