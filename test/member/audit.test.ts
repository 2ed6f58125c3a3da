/** `t4 verify` of a bucket: nothing in a sound one, and every damage of every kind of object. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { verifyBucket } from "../../src/member/audit.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { type CallOptions, listAll } from "../../src/object/store.ts";
import { audit } from "../../src/replication/audit.ts";
import { fork } from "../../src/replication/branch.ts";
import { collect } from "../../src/replication/collect.ts";
import { decodePin, encodePin } from "../../src/replication/pin.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount } from "../support/effort.ts";
import { openWithBucket } from "./bucket.ts";
import { pairsOf } from "./rig.ts";
import { cacheBytesMax, makeHistory, type Told } from "./source.ts";

async function verify({ bucket, prefix = "db" }: { bucket: MemoryStore; prefix?: string }) {
  const storeAt = (other: string) => withPrefix(bucket, other);
  const clock = new SimClock();
  const options = { disk: new SimDisk(), clock, cacheBytesMax, scratch: "/scratch" };
  return await verifyBucket({ store: storeAt(prefix), storeAt }, options);
}

/** A bucket with several checkpoints, a branch that has begun, and a boundary of gc. */
async function makeBucket(): Promise<Told> {
  const told = await makeHistory(30, 6);
  const { rig, store, storeAt } = told;
  const random = new SeededRandom(5);
  const nowMs = rig.clock.wall();
  const forked = await fork(store, "twig", { random, nowMs, storeAt });
  expect(forked.outcome).toBe("pinned");
  const how = { random, nowMs: nowMs + 3_600_000, retention: { keep: 3 }, graceMs: 0 };
  await collect(store, { ...how, attemptMsMax: 60_000, parallel: 4 });
  return told;
}

async function copyOf(bucket: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  for await (const { key } of listAll(bucket, "")) {
    await copy.put(key, Buffer.from((await bucket.get(key))?.bytes ?? []));
  }
  return copy;
}

async function keysOf({ store }: Told): Promise<string[]> {
  return (await Array.fromAsync(listAll(store, ""))).map(({ key }) => key);
}

test("a sound bucket is sound, and everything in it is counted", async () => {
  const told = await makeBucket();
  const { damages, notes, parts } = await verify(told);
  expect({ damages, notes }).toEqual({ damages: [], notes: [] });
  const keys = await keysOf(told);
  const count = (prefix: string) => keys.filter((key) => key.startsWith(prefix)).length;
  const counts = Object.fromEntries(parts.map((part) => [part.name, part.counts]));
  expect(counts).toMatchObject({
    checkpoints: { whole: count("checkpoint/") },
    pins: { objects: 1, active: 1 },
    nodes: { objects: 1 },
    tables: { objects: count("sst/"), inherited: 0 },
    log: { objects: count("wal/") },
    database: { revision: 31, keys: 10 },
  });
  expect(count("wal/")).toBeLessThan(31);
});

test("a flipped bit in any object is found, and the object named", async () => {
  const told = await makeBucket();
  const random = new SeededRandom(1);
  const kinds = new Map<string, number>();
  const rounds = amount(2, 1, 20);
  for (const key of await keysOf(told)) {
    for (let round = 0; round < rounds; round++) {
      const bucket = await copyOf(told.bucket);
      const found = await bucket.get(`db/${key}`);
      const bytes = Buffer.from(found?.bytes ?? []);
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      await bucket.put(`db/${key}`, bytes);
      const { damages } = await verify({ bucket });
      const paths = damages.map(({ path }) => path);
      expect({ key, at, named: paths.some((path) => path.endsWith(`db/${key}`)) }).toEqual({
        key,
        at,
        named: true,
      });
      const kind = key.split("/")[0] ?? "";
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  process.stdout.write(`flips found: ${JSON.stringify(Object.fromEntries(kinds))}\n`);
  expect(kinds.size).toBe(8);
}, 120_000);

test("an object that is gone and that others need is found, with what is in doubt", async () => {
  const told = await makeBucket();
  const keys = await keysOf(told);
  const log = keys.filter((key) => key.startsWith("wal/"));
  const [manifest = ""] = keys.filter((key) => key.startsWith("checkpoint/")).slice(-1);
  const newest = keys.filter((key) => key.startsWith("sst/"));
  const middle = log[log.length - 3] ?? "";
  const cases: readonly [string, RegExp, RegExp | undefined][] = [
    ["leader-lock", /nobody can tell who may lead/, undefined],
    [middle, /it is missing/, /^entr(y|ies) \d+/],
    ...newest.map((key): [string, RegExp, RegExp] => [key, /missing/, /^checkpoints checkpoint\//]),
  ];
  for (const [key, what, range] of cases) {
    const bucket = await copyOf(told.bucket);
    await bucket.delete(`db/${key}`);
    const { damages } = await verify({ bucket });
    const damage = damages.find(({ path }) => path.endsWith(`db/${key}`));
    expect({ key, what: damage?.what ?? "" }).toEqual({ key, what: expect.stringMatching(what) });
    if (range !== undefined) expect(damage?.range ?? "").toMatch(range);
  }
  const bucket = await copyOf(told.bucket);
  await bucket.delete(`db/${manifest}`);
  const { damages } = await verify({ bucket });
  expect(damages).toEqual([
    {
      path: expect.stringMatching(/db\/manifest\/latest$/),
      offset: undefined,
      what: `it names ${manifest}, which is not there`,
      range: undefined,
    },
  ]);
  process.stdout.write(`${cases.length + 1} objects that went missing were found\n`);
}, 60_000);

test("every request of an audit can be called off", async () => {
  const { rig, store, storeAt } = await makeBucket();
  const { signal } = new AbortController();
  const [calls, deaf] = [new Set<string>(), new Set<string>()];
  const watched = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function") return value;
      return (key: string, ...rest: unknown[]) => {
        const call = `${String(name)} ${key.split("/")[0]}`;
        calls.add(call);
        if ((rest.at(-1) as CallOptions | undefined)?.signal !== signal) deaf.add(call);
        return (value as (...all: unknown[]) => unknown).call(target, key, ...rest);
      };
    },
  });
  const checkTree = () => undefined;
  await audit(watched, { storeAt, nowMs: rig.clock.wall(), parallel: 4, checkTree, signal });
  expect([...calls]).toContain("get nodes");
  expect([...calls]).toContain("get wal");
  expect([...deaf]).toEqual([]);
});

test("what a fork that did not finish has named may be gone; what one that did, may not", async () => {
  const told = await makeBucket();
  const { bucket, store } = told;
  const { bytes = Buffer.alloc(0) } = (await store.get("branches/twig")) ?? {};
  const { isVerified: _, ...pin } = decodePin("branches/twig", bytes);
  const [table, ...tables] = pin.checkpoint.tables;
  if (table === undefined) throw new Error("it has a table");
  const lost = { ...table, copy: "f".repeat(16) };
  const dead = { ...pin, checkpoint: { ...pin.checkpoint, tables: [lost, ...tables] } };
  await store.put("branches/dead", encodePin(dead));
  expect(await verify({ bucket })).toMatchObject({ damages: [], notes: [] });
  await store.put("branches/dead", encodePin({ ...dead, isVerified: true }));
  const { damages } = await verify({ bucket });
  expect(damages.map(({ what }) => what)).toEqual(["it is missing"]);
});

test("an object of the log in another's place is found", async () => {
  const told = await makeBucket();
  const log = (await keysOf(told)).filter((key) => key.startsWith("wal/"));
  const [one = "", other = ""] = log.slice(-2);
  const bucket = await copyOf(told.bucket);
  await bucket.put(`db/${other}`, (await bucket.get(`db/${one}`))?.bytes ?? Buffer.alloc(0));
  const { damages } = await verify({ bucket });
  expect(damages.map(({ path, what }) => [path.slice(path.indexOf("db/")), what])).toEqual([
    [`db/${other}`, expect.stringMatching(/^it is the object of slot \d+$/)],
  ]);
});

test("a branch is verified with the tables of its source, and a lost one is named there", async () => {
  const told = await makeBucket();
  const { bucket, rig, store } = told;
  const pin = await store.get("branches/twig");
  const checkpointKey = /"ancestor_checkpoint_key":"([^"]+)"/.exec(`${pin?.bytes}`)?.[1] ?? "";
  const branch = { sourcePrefix: "db", checkpointKey, prefix: "twig" };
  const twig = await openWithBucket({
    bucket,
    prefix: "twig",
    clock: rig.clock,
    disk: new SimDisk(),
    seed: 9,
    options: { branch },
  });
  expect((await pairsOf(twig.member)).length).toBe(10);
  const { damages, parts } = await verify({ bucket, prefix: "twig" });
  expect(damages).toEqual([]);
  const inherited = parts.find(({ name }) => name === "tables")?.counts.inherited ?? 0;
  expect(inherited).toBeGreaterThan(0);
  const [, hash = "", copy = ""] =
    /"hash":"([0-9a-f]+)","bytes":\d+,"copy":"([0-9a-f]+)"/.exec(`${pin?.bytes}`) ?? [];
  const table = `sst/${hash}-${copy}`;
  await bucket.delete(`db/${table}`);
  const after = await verify({ bucket, prefix: "twig" });
  expect(after.damages.map(({ path }) => path)).toEqual([`${bucket.address}db/${table}`]);
});
