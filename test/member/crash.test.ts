/**
 * A member dies at every call of the bucket and of the disk while it takes over, in each of the ways
 * there are. Whoever starts then, on the same disk, and on a new one where the bucket has everything,
 * leads and has everything acknowledged.
 */
import { expect, test } from "bun:test";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { readHead } from "../../src/replication/lock.ts";
import { SimDisk, type SimDiskOptions } from "../sim/disk.ts";
import { amount, failureOf, say, seedsUpTo } from "../support/effort.ts";
import {
  type Beginning,
  type Crash,
  copyOf,
  found,
  type Given,
  Ledger,
  liveUntil,
  passing,
  type Remains,
  revive,
} from "./fall.ts";
import { behind, branching, forked, led, small, waiting } from "./past.ts";
import { openMember, type Rig } from "./rig.ts";

/** How a member comes to lead, and what it does so on. */
interface Way {
  readonly name: string;
  /** What is there before, anew each time. */
  readonly begin: () => Promise<Beginning>;
  readonly given: Given;
}

async function close({ clock, member }: Rig): Promise<void> {
  await passing(clock, member.close(), () => false);
}

const nothing = () =>
  Promise.resolve({
    bucket: new MemoryStore(),
    disk: (hooks: SimDiskOptions) => new SimDisk(hooks),
    ledger: new Ledger(),
  });

/** A directory without a bucket, whose log does not reach back to the beginning. */
async function alone(): Promise<Beginning> {
  const ledger = new Ledger();
  const rig = await openMember(new SimDisk(), { settings: small });
  for (let round = 0; round < 3; round++) {
    await ledger.put(rig, 5);
    await passing(rig.clock, rig.member.compact(rig.member.revision - 1, true), () => false);
    await passing(rig.clock, rig.clock.sleep(2000), () => false);
  }
  await ledger.put(rig, 3);
  await close(rig);
  const disk = (hooks: SimDiskOptions) => rig.disk.processCrash(hooks);
  return { bucket: new MemoryStore(), disk, ledger };
}

const ways: readonly Way[] = [
  { name: "an empty prefix", begin: nothing, given: waiting },
  { name: "an empty prefix, upload behind", begin: nothing, given: behind },
  { name: "data brought to an empty prefix", begin: alone, given: waiting },
  { name: "data brought to an empty prefix, upload behind", begin: alone, given: behind },
  { name: "the first start of a branch", begin: forked, given: branching },
  { name: "a takeover through the bucket", begin: () => led(waiting, true), given: waiting },
  { name: "a takeover on a new disk", begin: () => led(waiting, false), given: waiting },
  { name: "a takeover with its own log", begin: () => led(behind, true), given: behind },
  { name: "the bucket becomes a member", begin: () => led(behind, true), given: waiting },
  { name: "the bucket is no member any more", begin: () => led(waiting, true), given: behind },
];

const sampled = amount(16, 4, Number.POSITIVE_INFINITY);

/** Every call, or some, spread over all of them; others for every seed. */
function some(count: number, most: number, seed: number): number[] {
  const step = Math.max(1, count / most);
  const shift = ((seed * 7919) % 1000) / 1000;
  const numbers = Array.from({ length: Math.min(count, most) }, (_, at) =>
    Math.min(count, 1 + Math.floor((at + shift) * step)),
  );
  return [...new Set(numbers)];
}

async function tryWay({ begin, given, name }: Way): Promise<{ crashes: number; revived: number }> {
  const whole = await liveUntil(await begin(), given, undefined);
  expect(whole.isWhole, name).toBe(true);
  const counts = { crashes: 0, revived: 0 };
  for (const seed of seedsUpTo(amount(1, 1, 2))) {
    const { bucket, disk } = whole.calls;
    const crashes: Crash[] = [
      ...some(bucket, sampled, seed).map((number) => ({ at: "bucket, before" as const, number })),
      ...some(bucket, sampled, seed).map((number) => ({ at: "bucket, after" as const, number })),
      ...some(disk, 2 * sampled, seed).map((number) => ({ at: "disk" as const, number })),
    ];
    for (const crash of crashes) {
      try {
        counts.revived += await tryCrash(await begin(), given, crash, seed);
        counts.crashes++;
      } catch (error) {
        const what = `${name}, ${crash.at} call ${crash.number}`;
        throw failureOf(seed, import.meta.path, new Error(`${what}: ${error}`, { cause: error }));
      }
    }
  }
  return counts;
}

/** How many have started after it. */
async function tryCrash(
  beginning: Beginning,
  given: Given,
  crash: Crash,
  seed: number,
): Promise<number> {
  const remains = await liveUntil(beginning, given, crash);
  const { bucket, disk, ledger } = remains;
  const next = { ...given, seed: 78 };
  let revived = 1;
  if (await isMember(remains, given)) {
    await revive(await copyOf(bucket), new SimDisk(), ledger.copy(), next);
    revived++;
  }
  const same = found(disk, seed + crash.number);
  await revive(bucket, same, ledger, next);
  return revived;
}

/** Whether the bucket has everything: the lock says so, or it is what a branch begins with. */
async function isMember({ bucket }: Remains, given: Given): Promise<boolean> {
  const { options, prefix = "db" } = given;
  if (options?.branch !== undefined) return true;
  return (await readHead(withPrefix(bucket, prefix)))?.head.s3 ?? false;
}

for (const way of ways) {
  test(`whoever dies on the way leaves nothing in the way: ${way.name}`, async () => {
    const { crashes, revived } = await tryWay(way);
    say(`${way.name}: ${crashes} crashes, ${revived} starts after them`);
    expect(crashes).toBeGreaterThan(0);
  }, 600_000);
}
