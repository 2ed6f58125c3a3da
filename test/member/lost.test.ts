/** What clients hold on to across a lost disk: leases, and watches resumed from where they were. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Member } from "../../src/member/member.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { WatchNotice, WatchRequest } from "../../src/mvcc/watcher.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { noCauses, openWithBucket } from "./bucket.ts";
import { Ledger, passing } from "./fall.ts";
import { gist, pairsOf, putOf, type Rig, whilePassing } from "./rig.ts";

const settings = { segmentBytesMax: 8192, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 700 };
const options = { causes: { ...noCauses, intervalMs: 1500 } };

async function sleep({ clock }: Rig, milliseconds: number): Promise<void> {
  await passing(clock, clock.sleep(milliseconds), () => false);
}

test("leases are there after the disk is lost, with their full time, and end on time", async () => {
  for (const makesCheckpoint of [false, true]) {
    const bucket = new MemoryStore();
    const first = await openWithBucket({ bucket, disk: new SimDisk(), settings, options });
    for (let lease = 1n; lease <= 5n; lease++) {
      const granted = first.member.lessor.grant(lease, 20);
      expect(await whilePassing(first.clock, granted)).not.toBeInstanceOf(Refusal);
      const put = first.member.propose(putOf(`of ${lease}`, "", lease));
      expect(typeof gist(await whilePassing(first.clock, put))).toBe("number");
    }
    await whilePassing(first.clock, first.member.propose({ kind: "revoke", lease: 5n }));
    await sleep(first, makesCheckpoint ? 15_000 : 500);
    const next = await openWithBucket({ bucket, disk: new SimDisk(), seed: 2, settings, options });
    const began = next.clock.now();
    expect([...(next.member.lessor.all() as bigint[])].sort()).toEqual([1n, 2n, 3n, 4n]);
    for (let lease = 1n; lease <= 4n; lease++) {
      expect(next.member.lessor.life(lease)).toMatchObject({
        ttlSeconds: 20,
        keys: [`of ${lease}`],
      });
    }
    await sleep(next, began + 19_500 - next.clock.now());
    expect((await whilePassing(next.clock, pairsOf(next.member))).length).toBe(4);
    expect(await whilePassing(next.clock, next.member.lessor.keepAlive(1n))).toBe(20);
    await sleep(next, 2000);
    expect(await whilePassing(next.clock, pairsOf(next.member))).toEqual(["of 1="]);
    await whilePassing(next.clock, next.member.close());
  }
});

/** Reads a watch until it has everything; the events as "key@revision". */
class Follower {
  readonly seen: string[] = [];
  /** The revision up to which everything was told. */
  upTo = 0;
  #handle: ReturnType<Member["watch"]> | undefined;

  /** Watches on `member`, from after what was seen. */
  resume(member: Member): void {
    const request: WatchRequest = {
      range: { key: "\0", end: "\0" },
      startRevision: this.upTo + 1,
      previous: false,
      noPut: false,
      noDelete: false,
    };
    this.#handle = member.watch(request, () => undefined);
  }

  take(most: number): void {
    for (let left = most; left > 0; left--) {
      const notice: WatchNotice | undefined = this.#handle?.take();
      if (notice === undefined) return;
      if (notice.kind === "compacted") throw new Error("what it needs is compacted");
      for (const event of notice.events) {
        const { key, modRevision } = event.type === "put" ? event.kv : event;
        this.seen.push(`${key}@${modRevision}`);
        this.upTo = modRevision;
      }
    }
  }

  async finish({ clock, member }: Rig): Promise<void> {
    while (!(this.#handle?.isCurrent() ?? true) || this.upTo < member.revision) {
      this.take(100);
      await passing(clock, clock.sleep(10), () => false);
    }
  }
}

test("a watch resumed on a new disk from where it was is told every event once", async () => {
  const seeds = seedsUpTo(amount(10, 3, 200));
  let events = 0;
  await tryEach(seeds, import.meta.path, async (seed) => {
    const random = new SeededRandom(seed);
    const bucket = new MemoryStore();
    const ledger = new Ledger();
    const followers = [new Follower(), new Follower(), new Follower()];
    let rig: Rig | undefined;
    for (let life = 1; life <= 4; life++) {
      rig = await openWithBucket({ bucket, disk: new SimDisk(), seed: life, settings, options });
      for (const follower of followers) follower.resume(rig.member);
      for (let round = random.below(8); round >= 0; round--) {
        await ledger.put(rig, 1 + random.below(4));
        for (const follower of followers) follower.take(random.below(4));
        await sleep(rig, random.below(1500));
      }
    }
    if (rig === undefined) throw new Error("it has lived");
    for (const follower of followers) await follower.finish(rig);
    const expected = [...ledger.acknowledged].map(([key, revision]) => `${key}@${revision}`);
    for (const follower of followers) expect(follower.seen).toEqual(expected);
    events += 3 * expected.length;
  });
  say(`${seeds.length} lives of four disks: ${events} events told once`);
});
