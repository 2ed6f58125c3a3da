import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { beginBranch } from "../../src/member/branch.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { fork } from "../../src/replication/branch.ts";
import { keyOf } from "../../src/replication/manifest.ts";
import { SimDisk } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { checkpointed, close, fill, often, openWithBucket } from "./bucket.ts";
import { optionsFor, pairsOf, until } from "./rig.ts";

test("a branch begins with a checkpoint, copies no table, and goes its own way", async () => {
  const bucket = new MemoryStore();
  const source = await openWithBucket({ bucket, disk: new SimDisk(), options: often });
  await fill(source, 0, 30);
  await checkpointed(source);
  const forked = await fork(withPrefix(bucket, "db"), "b1", {
    storeAt: (prefix) => withPrefix(bucket, prefix),
    nowMs: 0,
    random: new SeededRandom(9),
  });
  if (forked.outcome !== "pinned") throw new Error(forked.outcome);
  const { checkpoint } = forked.pin.pin;
  const key = `checkpoint/${`${checkpoint.term}`.padStart(10, "0")}/${`${checkpoint.revision}`.padStart(20, "0")}/manifest.json`;
  await fill(source, 30, 40);
  const branch = { sourcePrefix: "db", checkpointKey: key, prefix: "branch" };
  const given = { bucket, prefix: "branch", options: { ...often, branch } };
  const first = await openWithBucket({ ...given, disk: new SimDisk(), seed: 3 });
  expect((await pairsOf(first.member)).length).toBe(30);
  expect(first.member.identity.clusterId).not.toBe(source.member.identity.clusterId);
  await fill(first, 50, 55);
  const before = await pairsOf(first.member);
  // Without a disk, with and without the flags.
  const second = await openWithBucket({ ...given, disk: new SimDisk(), seed: 4 });
  expect(await pairsOf(second.member)).toEqual(before);
  const third = await openWithBucket({ bucket, prefix: "branch", disk: new SimDisk(), seed: 5 });
  expect(await pairsOf(third.member)).toEqual(before);
  expect((await pairsOf(source.member)).length).toBe(40);
  const own = await withPrefix(bucket, "branch").list("sst/");
  const hashes = own.objects.map((object) => object.key.slice(4, 68));
  const inherited = new Set(checkpoint.tables.map(({ hash }) => hash));
  expect(hashes.filter((hash) => inherited.has(hash))).toEqual([]);
});

test("the flags of a branch start no other database", async () => {
  const bucket = new MemoryStore();
  const source = await openWithBucket({ bucket, disk: new SimDisk(), options: often });
  await fill(source, 0, 10);
  await checkpointed(source);
  const forking = { storeAt: (prefix: string) => withPrefix(bucket, prefix), nowMs: 0 };
  const random = new SeededRandom(9);
  const forked = await fork(withPrefix(bucket, "db"), "b1", { ...forking, random });
  if (forked.outcome !== "pinned") throw new Error(forked.outcome);
  const checkpointKey = keyOf(forked.pin.pin.checkpoint);
  const branch = { sourcePrefix: "db/", checkpointKey, prefix: "other" };
  const other = await openWithBucket({ bucket, prefix: "other", disk: new SimDisk(), seed: 2 });
  await fill(other, 0, 2);
  const given = { bucket, disk: new SimDisk(), seed: 3 };
  const slip = openWithBucket({ ...given, prefix: "other", options: { branch } });
  await expect(slip).rejects.toThrow("is not the branch of that checkpoint");
  await fill(other, 2, 3);

  const options = { branch: { ...branch, prefix: "branch" } };
  const first = await openWithBucket({ ...given, prefix: "branch", options });
  await close(first);
  const second = await openWithBucket({
    ...given,
    prefix: "branch",
    disk: new SimDisk(),
    options,
    seed: 4,
  });
  expect((await pairsOf(second.member)).length).toBe(10);
});

test("a branch does not begin with a pin whose fork did not finish, until it is forked again", async () => {
  const bucket = new MemoryStore();
  const storeAt = (prefix: string) => withPrefix(bucket, prefix);
  const source = await openWithBucket({ bucket, disk: new SimDisk(), options: often });
  await fill(source, 0, 10);
  await checkpointed(source);
  const dying = new FaultyStore(storeAt("db"));
  dying.next("get", "gc/condemned.json", "held");
  const forking = { storeAt, nowMs: 0, random: new SeededRandom(9) };
  void fork(dying, "b1", forking);
  await until(() => dying.held.length > 0);
  dying.die();
  const key = bucket.keys("db/checkpoint/").at(-1)?.slice(3) ?? "";
  const branch = { sourcePrefix: "db", checkpointKey: key, prefix: "branch" };
  const start = { bucket, prefix: "branch", options: { branch }, seed: 3 };
  const opening = openWithBucket({ ...start, disk: new SimDisk() });
  await expect(opening).rejects.toThrow('is pinned for branch "b1" by a fork that did not finish');
  expect(bucket.keys("branch/")).toEqual([]);
  expect(await fork(storeAt("db"), "b1", forking)).toMatchObject({ outcome: "pinned" });
  const first = await openWithBucket({ ...start, disk: new SimDisk() });
  expect((await pairsOf(first.member)).length).toBe(10);
});

/** A bucket with a branch whose first start ended before it had a lock. */
async function begunBranch() {
  const bucket = new MemoryStore();
  const storeAt = (prefix: string) => withPrefix(bucket, prefix);
  const source = await openWithBucket({ bucket, disk: new SimDisk(), options: often });
  await fill(source, 0, 10);
  await checkpointed(source);
  const forking = { storeAt, nowMs: 0, random: new SeededRandom(9) };
  const forked = await fork(storeAt("db"), "b1", forking);
  if (forked.outcome !== "pinned") throw new Error(forked.outcome);
  const checkpointKey = keyOf(forked.pin.pin.checkpoint);
  const branch = { sourcePrefix: "db", checkpointKey, prefix: "branch" };
  const own = { store: storeAt("branch"), storeAt };
  await beginBranch(optionsFor(new SimDisk()), own, branch);
  return { bucket, branch, start: { bucket, prefix: "branch", seed: 3 } };
}

test("a branch whose only checkpoint is damaged does not begin as an empty database", async () => {
  const { branch, bucket, start } = await begunBranch();
  const [key = ""] = bucket.keys("branch/checkpoint/");
  const whole = Buffer.from((await bucket.get(key))?.bytes ?? "");
  const damaged = Buffer.from(whole);
  damaged.writeUInt8(damaged.readUInt8(9) ^ 1, 9);
  await bucket.put(key, damaged);
  for (const options of [{}, { branch }]) {
    const opening = openWithBucket({ ...start, disk: new SimDisk(), options });
    await expect(opening).rejects.toThrow(/\/branch\/checkpoint\/ is damaged .*manifest.json/);
  }
  expect(bucket.keys("branch/").filter((each) => !/checkpoint|manifest/.test(each))).toEqual([]);
  await bucket.put(key, whole);
  const rig = await openWithBucket({ ...start, disk: new SimDisk() });
  expect((await pairsOf(rig.member)).length).toBe(10);
});

test("nor does one whose tables are gone, or that has begun its log", async () => {
  const { bucket, start } = await begunBranch();
  const tables = bucket.keys("db/sst/");
  const contents = await Promise.all(tables.map(async (key) => (await bucket.get(key))?.bytes));
  for (const key of tables) await bucket.delete(key);
  const opening = openWithBucket({ ...start, disk: new SimDisk() });
  await expect(opening).rejects.toThrow(/its table memory:\/db\/sst\/\S+ is not there/);
  for (const [at, key] of tables.entries()) await bucket.put(key, contents[at] ?? Buffer.alloc(0));
  await close(await openWithBucket({ ...start, disk: new SimDisk() }));
  for (const key of tables) await bucket.delete(key);
  const again = openWithBucket({ ...start, disk: new SimDisk(), seed: 4 });
  await expect(again).rejects.toThrow(/its table memory:\/db\/sst\/\S+ is not there/);
});
