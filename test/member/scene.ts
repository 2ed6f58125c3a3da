/** Members on one bucket, each behind faults of its own, and what all of them acknowledged. */
import { expect } from "bun:test";
import { Member } from "../../src/member/member.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { SimDisk } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { type BucketGiven, bucketOptions, openWithBucket } from "./bucket.ts";
import { copyOf, Ledger, revive } from "./fall.ts";
import { gist, pairsOf, putOf, type Rig } from "./rig.ts";

/** A bucket, and what is acknowledged by whoever leads. */
export class Scene {
  readonly bucket: MemoryStore;
  readonly ledger: Ledger;
  #seeds = 0;

  constructor(bucket = new MemoryStore(), ledger = new Ledger()) {
    this.bucket = bucket;
    this.ledger = ledger;
  }

  /** A member behind faults of its own. */
  async open(given: Partial<BucketGiven> = {}) {
    const store = new FaultyStore(this.bucket);
    const rig = await openWithBucket(this.#given(store, given));
    return { ...rig, store };
  }

  /** Begins to open one, which a held call may keep from it; time is to pass on its clock. */
  opening(store: FaultyStore, given: Partial<BucketGiven> = {}) {
    const fatals: unknown[] = [];
    const options = bucketOptions(this.#given(store, given));
    const { clock } = options;
    const disk = options.disk as SimDisk;
    const member = Member.open({ ...options, fatal: (error) => fatals.push(error) });
    member.catch(() => undefined);
    return { clock, disk, fatals, member };
  }

  /** The next free slot. */
  get slot(): string {
    return `db/${logKey(this.bucket.keys("db/wal/").length + 1)}`;
  }

  /** On a new disk and a copy of the bucket everything is there; what is there by key. */
  async holds(keys: readonly string[]): Promise<void> {
    const bucket = await copyOf(this.bucket);
    const rig = await openWithBucket({ bucket, disk: new SimDisk(), seed: 99 });
    await this.ledger.verify(rig);
    const found = (await pairsOf(rig.member)) as string[];
    expect(found.map((pair) => pair.split("=")[0] ?? "")).toEqual([...keys]);
    await revive(bucket, new SimDisk(), this.ledger.copy(), {});
  }

  /** A put whose answer the test looks at, of a key that verify() knows. */
  put({ member }: Pick<Rig, "member">, key: string): Promise<string | number> {
    this.ledger.asked.add(key);
    return member.propose(putOf(key, key)).then((answer) => {
      if (!(answer instanceof Refusal)) this.ledger.acknowledged.set(key, answer.revision);
      return gist(answer);
    });
  }

  #given(bucket: FaultyStore, given: Partial<BucketGiven>): BucketGiven {
    return { bucket, disk: new SimDisk(), seed: ++this.#seeds, ...given };
  }
}
