/** What was before a start: members that have led, and a source that was forked. */
import { SeededRandom } from "../../src/lib/random.ts";
import { checkpointKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { fork } from "../../src/replication/branch.ts";
import { SimDisk } from "../sim/disk.ts";
import { noCauses, openWithBucket } from "./bucket.ts";
import { type Beginning, type Given, Ledger, passing, revive } from "./fall.ts";

/** Small enough for the log to be trimmed. */
export const small = { memtableBytesMax: 2 ** 20, segmentBytesMax: 4096, segmentAgeMsMax: 500 };
export const causes = { ...noCauses, intervalMs: 1000 };
export const waiting: Given = { seed: 77, settings: small, options: { causes } };
export const behind: Given = { ...waiting, options: { causes, syncUpload: false } };

/** A member has led a bucket for a while, in two terms. */
export async function led(given: Given, keepsDisk: boolean): Promise<Beginning> {
  const bucket = new MemoryStore();
  const ledger = new Ledger();
  let disk = new SimDisk();
  for (let term = 1; term <= 2; term++) {
    const rig = await openWithBucket({ ...given, seed: term, bucket, disk });
    await ledger.put(rig, 4);
    await passing(rig.clock, rig.clock.sleep(2500), () => false);
    await ledger.put(rig, 3);
    disk = rig.disk.processCrash();
  }
  return {
    bucket,
    disk: (hooks) => (keepsDisk ? disk.processCrash(hooks) : new SimDisk(hooks)),
    ledger,
  };
}

/** A source with a checkpoint of its third term that is pinned. */
export async function forked(): Promise<Beginning> {
  const { bucket, disk, ledger } = await led(waiting, true);
  await revive(bucket, disk({}), ledger, { ...waiting, seed: 5 });
  const pinned = await fork(withPrefix(bucket, "db"), "b1", {
    storeAt: (prefix) => withPrefix(bucket, prefix),
    nowMs: 0,
    random: new SeededRandom(9),
  });
  if (pinned.outcome !== "pinned") throw new Error(pinned.outcome);
  const { revision, term } = pinned.pin.pin.checkpoint;
  branchPoint.checkpointKey = checkpointKey(term, revision);
  const own = new Ledger();
  for (const [key, at] of ledger.acknowledged) {
    own.asked.add(key);
    if (at <= revision) own.acknowledged.set(key, at);
  }
  return { bucket, disk: (hooks) => new SimDisk(hooks), ledger: own };
}

const branchPoint = { sourcePrefix: "db", checkpointKey: "", prefix: "branch" };
export const branching: Given = {
  ...waiting,
  prefix: "branch",
  options: { causes, branch: branchPoint },
};
