/** Directories that did not wait for the bucket: what they alone acknowledged is not dropped for it. */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { readWhole } from "../../src/lib/disk.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { acceptLoss, readHead, writeHead } from "../../src/replication/lock.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  asynchronous,
  type BucketGiven,
  checkpointed,
  close,
  fill,
  often,
  openWithBucket,
} from "./bucket.ts";
import { pairsOf, until } from "./rig.ts";

/** A bucket that goes on without five entries of the disk that was there first. */
async function leftBehind(given: Pick<BucketGiven, "settings" | "options"> = {}) {
  const bucket = new MemoryStore();
  const options = { ...asynchronous, ...given.options };
  const first = await openWithBucket({ ...given, bucket, disk: new SimDisk(), options });
  await fill(first, 0, 10);
  await first.clock.advance(1000);
  await until(() => first.member.vitals().bucket?.revisionsAtRisk === 0);
  if (given.options?.causes !== undefined) await checkpointed(first);
  await fill(first, 10, 15);
  // Somebody says that the disk is lost, and goes on with what the bucket has.
  const store = withPrefix(bucket, "db");
  const observed = must(await readHead(store), "there is a lock");
  const { cluster, leader } = observed.head;
  const draft = acceptLoss({ head: observed.head, self: leader, cluster, pastTerm: 0 });
  await writeHead(store, observed, draft, { clock: first.clock, random: new SeededRandom(4) });
  const second = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2 });
  expect((await pairsOf(second.member)).length).toBe(10);
  await fill(second, 20, 30);
  return { bucket, first, second };
}

test("what a directory acknowledged by itself is not dropped when the bucket goes on without it", async () => {
  const { bucket, first, second } = await leftBehind();
  const late = openWithBucket({ bucket, disk: first.disk.processCrash(), seed: 3 });
  await expect(late).rejects.toThrow("to read them, start it without a bucket");
  // A directory whose writes the bucket has is a cache like any other.
  const { clock } = second;
  const kept = openWithBucket({ bucket, disk: second.disk.processCrash(), clock, seed: 5 });
  expect((await pairsOf((await kept).member)).length).toBe(20);
});

/** Another bit at `offset` of a file. */
const flip = (path: string, offset: number) => (disk: SimDisk) => {
  const bytes = Buffer.from(disk.peek(path));
  bytes.writeUInt8(bytes.readUInt8(offset) ^ 1, offset);
  disk.plant(path, bytes);
};

/** A frame to a segment. */
const short = { segmentBytesMax: 1024, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 500 };

test("nor when it is damaged: its end is seen all the same, or hidden, and both are told", async () => {
  const { bucket, first } = await leftBehind({ settings: short, options: often });
  const whole = first.disk.processCrash();
  const log = whole.list("/data/wal").map((name) => `/data/wal/${name}`);
  expect(log.length).toBeGreaterThan(2);
  const [begin = "", middle = "", end = ""] = [log[0], log.at(-2), log.at(-1)];
  const alone =
    /^\/data has entries up to 16, and .* others in their place, .*; to read them, start it/;
  const hidden = RegExp(`^${end} is damaged .*; it hides .*give this prefix a new --data-dir$`);
  const cases: [(disk: SimDisk) => void, RegExp][] = [
    [flip("/data/db/MANIFEST", 40), alone],
    [flip(begin, 570), alone],
    [flip(middle, 570), alone],
    [(disk) => disk.remove(middle), alone],
    [flip(end, 20), hidden],
    [flip(end, 570), hidden],
  ];
  for (const [damage, refusal] of cases) {
    const disk = whole.copy();
    damage(disk);
    const late = openWithBucket({ bucket, disk, settings: short, seed: 3 });
    await expect(late).rejects.toThrow(refusal);
  }
});

test("a damaged directory is repaired when the bucket has all that its log tells of", async () => {
  const given = { bucket: new MemoryStore(), settings: short };
  const options = { ...asynchronous, ...often };
  const first = await openWithBucket({ ...given, options, disk: new SimDisk() });
  await fill(first, 0, 5);
  await checkpointed(first);
  await fill(first, 5, 10);
  await close(first);
  const whole = first.disk.processCrash();
  const again = await openWithBucket({ ...given, disk: whole.copy(), seed: 2 });
  await close(again);
  const log = whole.list("/data/wal").map((name) => `/data/wal/${name}`);
  for (const path of ["/data/db/MANIFEST", log.at(-2) ?? ""]) {
    const disk = whole.copy();
    const { length } = readWhole(disk, path) ?? [];
    expect(length).toBeGreaterThan(100);
    flip(path, (length ?? 0) - 20)(disk);
    const rig = await openWithBucket({ ...given, disk, seed: 3 });
    expect((await pairsOf(rig.member)).length).toBe(10);
    await close(rig);
  }
});

test("a directory that did not wait for the bucket is welcome when the bucket has all it has", async () => {
  const bucket = new MemoryStore();
  const first = await openWithBucket({ bucket, disk: new SimDisk(), options: asynchronous });
  await fill(first, 0, 10);
  await close(first);
  const old = first.disk.processCrash();
  const again = await openWithBucket({ bucket, disk: old, seed: 2 });
  await fill(again, 10, 20);
  await close(again);
  const other = await openWithBucket({ bucket, disk: new SimDisk(), seed: 3 });
  await fill(other, 20, 25);
  await close(other);
  // As it was when it last ran without waiting.
  const copy = first.disk.processCrash();
  const late = await openWithBucket({ bucket, disk: copy, seed: 4 });
  expect((await pairsOf(late.member)).length).toBe(25);
});
