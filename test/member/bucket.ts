/** A member with a bucket, on a simulated machine. */
import { expect } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { BucketSettings } from "../../src/member/duties.ts";
import { defaultSettings } from "../../src/member/limits.ts";
import { Member, type MemberOptions } from "../../src/member/member.ts";
import type { BucketOptions } from "../../src/member/rooms.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import { SimClock } from "../sim/clock.ts";
import type { SimDisk } from "../sim/disk.ts";
import { gist, optionsFor, putOf, type Rig, whilePassing } from "./rig.ts";

/** What a test says of the bucket; the rest is as `t4 run` has it. */
export interface BucketGiven {
  readonly bucket: ObjectStore;
  readonly prefix?: string;
  readonly disk: SimDisk;
  readonly clock?: SimClock;
  readonly seed?: number;
  readonly name?: string;
  readonly options?: Partial<BucketOptions & BucketSettings>;
  readonly settings?: Partial<typeof defaultSettings>;
}

export const noCauses = { intervalMs: 0, entries: 0, logBytes: 0, objects: 0 };

/** What the member is opened with. */
export function bucketOptions(given: BucketGiven): MemberOptions & { readonly clock: SimClock } {
  const { bucket, clock = new SimClock(), disk, name = "one", prefix = "db", seed = 1 } = given;
  const options = optionsFor(disk, {
    clock,
    name,
    random: new SeededRandom(seed),
    settings: { ...defaultSettings, ...given.settings },
    bucket: {
      store: withPrefix(bucket, prefix),
      storeAt: (other) => withPrefix(bucket, other),
      syncUpload: true,
      strictReads: true,
      address: "",
      place: () => "here",
      branch: undefined,
      batchDelayMs: 0,
      causes: noCauses,
      lookEveryMs: 300_000,
      localBytesMax: 2 ** 30,
      ...given.options,
    },
  });
  return { ...options, clock };
}

/** Opens it; time passes meanwhile. */
export async function openWithBucket(given: BucketGiven): Promise<Rig> {
  const fatals: unknown[] = [];
  const options = bucketOptions(given);
  const { clock } = options;
  const opening = Member.open({ ...options, fatal: (error) => fatals.push(error) });
  const member = await whilePassing(clock, opening);
  return { member, clock, disk: given.disk, fatals };
}

/** Puts keys `from` to `to` less one. */
export async function fill({ clock, member }: Rig, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at++) {
    const put = member.propose(putOf(`k${String(at).padStart(4, "0")}`, `${at}`));
    expect(typeof gist(await whilePassing(clock, put))).toBe("number");
  }
}

export async function close({ clock, member }: Rig): Promise<void> {
  await whilePassing(clock, member.close());
}

/** Lets the background make a checkpoint. */
export async function checkpointed({ clock, member }: Rig): Promise<void> {
  const { index } = member.applied;
  for (let steps = 0; (member.vitals().bucket?.checkpointIndex ?? 0) < index; steps++) {
    if (steps === 10_000) throw new Error("no checkpoint is made");
    await clock.advance(100);
    await clock.yield();
  }
}

export const often = { causes: { ...noCauses, intervalMs: 1000 } };
export const asynchronous = { syncUpload: false };
