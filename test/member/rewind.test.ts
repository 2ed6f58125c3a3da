/** Any moment that a bucket has can be had back, and an interrupted restore does no harm. */
import { expect, test } from "bun:test";
import { ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { claimDirectory, lockDirectory } from "../../src/member/directory.ts";
import { glimpse } from "../../src/member/glimpse.ts";
import { coursesTo, type Moment, newestIn } from "../../src/member/moment.ts";
import { type Rewound, rewind } from "../../src/member/rewind.ts";
import { tablePrefix } from "../../src/object/keys.ts";
import { listAll } from "../../src/object/store.ts";
import { collect } from "../../src/replication/collect.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount } from "../support/effort.ts";
import {
  cacheBytesMax,
  databaseIn,
  knownAt,
  makeHistory,
  pairsIn,
  rewindOptions,
  type Told,
} from "./source.ts";

const path = "/restored";

async function rewindTo(
  told: Told,
  moment: Moment | "end",
  disk: SimDisk,
  seed = 1,
): Promise<Rewound | undefined> {
  const newest = await newestIn(told);
  if (newest === undefined) throw new Error("there is a database");
  const claimed = await claimDirectory(disk, path);
  try {
    const courses = coursesTo(told, newest, moment, () => undefined);
    return await rewind(claimed, courses, rewindOptions(told, disk, seed));
  } finally {
    claimed.lock.release();
  }
}

test("every revision, and the time of every write, can be had back", async () => {
  const told = await makeHistory(26, 7);
  for (const [revision, { pairs, wallMs }] of told.known) {
    for (const moment of [{ revision }, { wallMs }, { wallMs: wallMs + 999 }]) {
      const disk = new SimDisk();
      const rewound = await rewindTo(told, moment, disk);
      const found = await databaseIn(disk, path);
      expect({ moment, ...found }).toMatchObject({ moment, pairs, revision });
      expect(found.identity.clusterId).toBe(rewound?.clusterId ?? 0n);
      expect(found.identity.clusterId).not.toBe(told.rig.member.identity.clusterId);
    }
  }
  process.stdout.write(`${told.known.size} revisions, each had back in 3 ways\n`);
}, 60_000);

test("what gc has taken the log of cannot be had back, and nothing is changed", async () => {
  const told = await makeHistory(26, 7);
  const nowMs = told.rig.clock.wall() + 3_600_000;
  const retention = { keep: 1 };
  const random = new SeededRandom(1);
  await collect(told.store, {
    random,
    nowMs,
    retention,
    graceMs: 0,
    attemptMsMax: 60_000,
    parallel: 4,
  });
  const disk = new SimDisk();
  expect(await rewindTo(told, { revision: 5 }, disk)).toBeUndefined();
  expect(disk.paths()).toEqual([]);
  expect(await rewindTo(told, { revision: 24 }, disk)).toMatchObject({ revision: 24 });
});

test("a checkpoint with a damaged table is passed over for the one before, and more log", async () => {
  const told = await makeHistory(20, 7);
  const before = await rewindTo(told, "end", new SimDisk());
  const newest = before?.checkpoint;
  for (const table of newest?.tables ?? []) {
    for await (const { bytes, key } of listAll(told.store, `${tablePrefix}${table.hash}`)) {
      await told.store.put(key, Buffer.alloc(bytes));
    }
  }
  const disk = new SimDisk();
  const after = await rewindTo(told, "end", disk);
  expect(after?.revision).toBe(before?.revision);
  expect(after?.checkpoint?.revision ?? 0).toBeLessThan(newest?.revision ?? 0);
  expect((await databaseIn(disk, path)).pairs).toEqual([...knownAt(told, 21).pairs]);
});

/** Lets the power fail at a call; what is found then. */
async function interrupted(told: Told, at: number, disk: SimDisk, revision: number) {
  const died = Promise.withResolvers<"died">();
  const random = new SeededRandom(at);
  const failing = disk.powerLoss(random, {
    fault: ({ number }) => {
      if (number < at) return undefined;
      failing.unplug();
      died.resolve("died");
      return undefined;
    },
  });
  const restored = rewindTo(told, { revision }, failing, at).catch(() => undefined);
  const outcome = await Promise.race([died.promise, restored.then(() => "done" as const)]);
  return { outcome, calls: failing.calls, found: failing.powerLoss(random) };
}

/** What a member would find: "half", or the revision of a database; 0 for none. */
async function foundIn(disk: SimDisk): Promise<number | "half"> {
  try {
    const locked = await lockDirectory(disk, path);
    locked.lock.release();
    return locked.identity === undefined ? 0 : (await databaseIn(disk, path)).revision;
  } catch (error) {
    if (error instanceof ForeignError && error.what.includes("half of a database")) return "half";
    throw error;
  }
}

test("power that fails at any call leaves the old database, a half that is refused, or the new one", async () => {
  const told = await makeHistory(12, 5);
  const emptied = new SimDisk();
  const filled = new SimDisk();
  await rewindTo(told, { revision: 4 }, filled);
  const counts = { old: 0, half: 0, new: 0 };
  for (const [disk, old] of [
    [emptied, 0],
    [filled, 4],
  ] as const) {
    const { calls } = await interrupted(told, Number.POSITIVE_INFINITY, disk.processCrash(), 10);
    const step = Math.max(1, Math.floor(calls / amount(40, 15, calls)));
    for (let at = 1; at <= calls; at += step) {
      const { found } = await interrupted(told, at, disk.processCrash(), 10);
      const holds = await foundIn(found);
      expect([old, "half", 10]).toContain(holds);
      counts[holds === old ? "old" : holds === "half" ? "half" : "new"]++;
      const again = await rewindTo(told, { revision: 10 }, found, at + 1);
      expect(again?.revision).toBe(10);
      expect((await databaseIn(found, path)).pairs).toEqual([...knownAt(told, 10).pairs]);
    }
  }
  process.stdout.write(`found after power loss: ${JSON.stringify(counts)}\n`);
  expect(Math.min(counts.old, counts.half, counts.new)).toBeGreaterThan(0);
}, 60_000);

test("a glimpse is the newest state, and leaves no trace in the bucket", async () => {
  const told = await makeHistory(26, 7);
  const list = async () =>
    (await Array.fromAsync(listAll(told.bucket, ""))).map(({ key, modifiedMs }) => [
      key,
      modifiedMs,
    ]);
  const before = await list();
  const disk = new SimDisk();
  const options = { disk, clock: new SimClock(), cacheBytesMax, scratch: "/scratch" };
  const snapshot = await glimpse(told, options);
  expect(snapshot && pairsIn(snapshot)).toEqual([...knownAt(told, 27).pairs]);
  snapshot?.close();
  expect(await list()).toEqual(before);
  const nothing = { ...told, store: told.storeAt("other") };
  expect(await glimpse(nothing, options)).toBeUndefined();
});
