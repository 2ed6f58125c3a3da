/** The time in a log never goes back, whatever the clocks say of those who write it. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { logKey, logPrefix, seqOf } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { fork } from "../../src/replication/branch.ts";
import { keyOf } from "../../src/replication/manifest.ts";
import { decodeLogObject } from "../../src/replication/record.ts";
import { findCheckpoint } from "../../src/replication/restore.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { checkpointed, close, fill, often, openWithBucket } from "./bucket.ts";
import { openMember, type Rig, whilePassing } from "./rig.ts";

const late = Date.UTC(2026, 1, 2);
const early = Date.UTC(2026, 1, 1);
/** Small enough for the log to be trimmed. */
const settings = { segmentBytesMax: 1024, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 500 };

/** When each batch of the bucket's log was closed, in order. */
async function stamps(bucket: MemoryStore, rig: Rig, prefix = "db"): Promise<number[]> {
  const { clusterId } = rig.member.identity;
  const found: number[] = [];
  for (const key of bucket.keys(`${prefix}/${logPrefix}`)) {
    const seq = seqOf(key.slice(prefix.length + 1)) ?? 0;
    const bytes = (await bucket.get(`${prefix}/${logKey(seq)}`))?.bytes ?? Buffer.alloc(0);
    found.push(...decodeLogObject(seq, bytes, clusterId).batches.map(({ wallMs }) => wallMs));
  }
  return found;
}

function expectNoneBefore(found: readonly number[], least: number): void {
  expect(found.length).toBeGreaterThan(3);
  expect(found.toSorted((a, b) => a - b)).toEqual([...found]);
  expect(Math.min(...found)).toBeGreaterThanOrEqual(least);
}

/** A member without a bucket all of whose entries are in its tables; where its disk is left. */
async function alone(): Promise<SimDisk> {
  const rig = await openMember(new SimDisk(), { clock: new SimClock(late), settings });
  await fill(rig, 0, 5);
  await whilePassing(rig.clock, rig.member.compact(rig.member.revision - 1, true));
  await whilePassing(rig.clock, rig.clock.sleep(5000));
  await close(rig);
  return rig.disk.processCrash();
}

test("a leader whose clock is behind goes on from the last one's time, with its disk or another", async () => {
  for (const keepsDisk of [true, false]) {
    const bucket = new MemoryStore();
    const given = { bucket, settings, options: often };
    const first = await openWithBucket({
      ...given,
      disk: new SimDisk(),
      clock: new SimClock(late),
    });
    await fill(first, 0, 5);
    await checkpointed(first);
    await close(first);
    const disk = keepsDisk ? first.disk.processCrash() : new SimDisk();
    const second = await openWithBucket({ ...given, disk, clock: new SimClock(early), seed: 2 });
    await fill(second, 5, 8);
    expectNoneBefore(await stamps(bucket, second), late);
  }
});

test("a directory that is brought by a clock that is behind brings its time", async () => {
  const bucket = new MemoryStore();
  const disk = await alone();
  const given = { bucket, settings, clock: new SimClock(early), disk, seed: 2 };
  const rig = await openWithBucket(given);
  await fill(rig, 5, 8);
  expectNoneBefore(await stamps(bucket, rig), late);
  const store = withPrefix(bucket, "db");
  const { manifest } = await findCheckpoint(store, { storeAt: () => store });
  expect(manifest?.wallMs).toBeGreaterThanOrEqual(late);
});

test("a branch begins with the time of its checkpoint", async () => {
  const bucket = new MemoryStore();
  const clock = new SimClock(late);
  const source = await openWithBucket({ bucket, disk: new SimDisk(), clock, options: often });
  await fill(source, 0, 5);
  await checkpointed(source);
  const storeAt = (prefix: string) => withPrefix(bucket, prefix);
  const forked = await fork(storeAt("db"), "b", { storeAt, nowMs: 0, random: new SeededRandom(9) });
  if (forked.outcome !== "pinned") throw new Error(forked.outcome);
  const checkpointKey = keyOf(forked.pin.pin.checkpoint);
  const options = { branch: { sourcePrefix: "db", checkpointKey, prefix: "branch" } };
  const given = { bucket, prefix: "branch", options, disk: new SimDisk(), seed: 2 };
  const rig = await openWithBucket({ ...given, clock: new SimClock(early) });
  await fill(rig, 5, 8);
  expectNoneBefore(await stamps(bucket, rig, "branch"), late);
});
