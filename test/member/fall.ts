/**
 * A member that dies at one call: of the bucket, before it is carried out or before its answer
 * comes; or of the disk. What it acknowledged until then is remembered, and held against whoever is
 * started afterwards.
 */
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import type { SimClock } from "../sim/clock.ts";
import type { SimDisk, SimDiskOptions } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { wholeQuery } from "../support/query.ts";
import { type BucketGiven, bucketOptions } from "./bucket.ts";
import { putOf, type Rig } from "./rig.ts";

/** Where a process ends. `number` counts the calls of the bucket or of the disk, from 1. */
export interface Crash {
  readonly at: "bucket, before" | "bucket, after" | "disk";
  readonly number: number;
}

/** What was asked of a database, and what was acknowledged. */
export class Ledger {
  /** The revision of each acknowledged key. */
  readonly acknowledged = new Map<string, number>();
  /** Every key that was asked for, whatever came of it. */
  readonly asked = new Set<string>();

  copy(): Ledger {
    const copy = new Ledger();
    for (const [key, revision] of this.acknowledged) copy.acknowledged.set(key, revision);
    for (const key of this.asked) copy.asked.add(key);
    return copy;
  }

  /** Puts `count` keys, one after the other; stops when told that the process is dead. */
  async put(rig: Rig, count: number, isDead: () => boolean = () => false): Promise<void> {
    for (let left = count; left > 0 && !isDead(); left--) {
      const key = `k${this.asked.size}`;
      this.asked.add(key);
      const answer = await passing(rig.clock, rig.member.propose(putOf(key, key)), isDead);
      if (answer === "dead") return;
      if (answer instanceof Refusal) throw new Error(`${key} was refused: ${answer.kind}`);
      this.acknowledged.set(key, answer.revision);
    }
  }

  /** Whether a member has everything acknowledged, and nothing that nobody asked for. */
  async verify({ clock, member }: Rig): Promise<void> {
    const reading = Promise.resolve(member.range(wholeQuery({ key: "\0", end: "\0" })));
    const reply = await passing(clock, reading, () => false);
    if (reply === "dead" || reply instanceof Refusal) throw new Error("a read was refused");
    const found = new Map(reply.kvs.map((pair) => [pair.key, pair.modRevision]));
    for (const [key, revision] of this.acknowledged) {
      if (found.get(key) === revision) continue;
      throw new Error(`${key} was acknowledged at ${revision} and is at ${found.get(key)}`);
    }
    for (const key of found.keys()) {
      if (!this.asked.has(key)) throw new Error(`${key} is there, and nobody asked for it`);
    }
  }
}

/** How much simulated time anything may take before it counts as hanging. */
const patienceMs = 120_000;

/** Waits for `work` while time passes; "dead" when the process dies meanwhile. */
export async function passing<T>(
  clock: SimClock,
  work: Promise<T>,
  isDead: () => boolean,
): Promise<T | "dead"> {
  let isOpen = true;
  const done = work.finally(() => {
    isOpen = false;
  });
  done.catch(() => undefined);
  const end = clock.now() + patienceMs;
  while (isOpen && !isDead()) {
    if (clock.now() > end) throw new Error("it hangs");
    await clock.advance(10);
    await clock.yield();
  }
  return isDead() ? "dead" : await done;
}

/** What a life leaves behind. */
export interface Remains {
  readonly bucket: MemoryStore;
  readonly disk: SimDisk;
  readonly ledger: Ledger;
  /** Whether it came to its end before the call at which it was to die. */
  readonly isWhole: boolean;
  readonly calls: { readonly bucket: number; readonly disk: number };
}

/** The same objects in a bucket of their own. */
export async function copyOf(bucket: MemoryStore): Promise<MemoryStore> {
  const copy = new MemoryStore();
  for (const key of bucket.keys()) await copy.put(key, bucket.peek(key) ?? Buffer.alloc(0));
  return copy;
}

export type Given = Omit<BucketGiven, "bucket" | "disk">;

/** What a life begins with. */
export interface Beginning {
  readonly bucket: MemoryStore;
  readonly disk: (hooks: SimDiskOptions) => SimDisk;
  readonly ledger: Ledger;
}

/** Starts a member, writes, stops it in order; or it dies at `crash`. */
export async function liveUntil(
  { bucket, disk: diskWith, ledger }: Beginning,
  given: Given,
  crash: Crash | undefined,
): Promise<Remains> {
  const calls = { bucket: 0, disk: 0 };
  let isDead = false;
  const die = () => {
    isDead = true;
    store.die();
    disk.unplug();
  };
  const store = new FaultyStore(bucket, {
    plan: () => {
      const isIt = ++calls.bucket === crash?.number && crash.at !== "disk";
      if (isDead || !isIt) return isDead ? "timeout" : "none";
      die();
      return crash.at === "bucket, after" ? "none" : "timeout";
    },
  });
  const disk = diskWith({
    fault: () => {
      if (++calls.disk === crash?.number && crash.at === "disk") die();
      return undefined;
    },
  });
  await live({ ...given, bucket: store, disk }, ledger, () => isDead);
  return { bucket, disk, ledger, isWhole: !isDead, calls };
}

async function live(given: BucketGiven, ledger: Ledger, isDead: () => boolean): Promise<void> {
  const options = bucketOptions(given);
  const { clock } = options;
  const fatals: unknown[] = [];
  const fatal = (error: unknown) => fatals.push(error);
  const opening = Member.open({ ...options, fatal });
  const member = await passing(clock, opening, isDead).catch((error: unknown) => {
    if (!isDead()) throw error;
    return "dead" as const;
  });
  if (member === "dead") return;
  const rig = { member, clock, disk: given.disk, fatals };
  await ledger.put(rig, 3, isDead);
  // The background has its turn.
  await passing(clock, clock.sleep(1500), isDead);
  await ledger.put(rig, 2, isDead);
  await passing(clock, member.close(), isDead).catch((error: unknown) => {
    if (!isDead()) throw error;
  });
  if (!isDead() && fatals.length > 0) throw fatals[0];
}

/** Starts a member on what is left; everything must be there, and it must take writes. */
export async function revive(
  bucket: ObjectStore,
  disk: SimDisk,
  ledger: Ledger,
  given: Given,
): Promise<void> {
  const options = bucketOptions({ ...given, bucket, disk });
  const fatals: unknown[] = [];
  const fatal = (error: unknown) => fatals.push(error);
  const { clock } = options;
  const member = await passing(clock, Member.open({ ...options, fatal }), () => false);
  if (member === "dead") throw new Error("nobody dies here");
  const rig = { member, clock, disk, fatals };
  await ledger.verify(rig);
  await ledger.put(rig, 2);
  await ledger.verify(rig);
  await passing(clock, member.close(), () => false);
  if (fatals.length > 0) throw fatals[0];
}

/** The disk a machine finds after a crash: of the process, or of the power. */
export function found(disk: SimDisk, seed: number, options: SimDiskOptions = {}): SimDisk {
  return seed % 2 === 0
    ? disk.processCrash(options)
    : disk.powerLoss(new SeededRandom(seed), options);
}
