/** What a member that nobody calls asks the bucket for, in an hour of a simulated clock. */
import { MemoryStore } from "../../src/object/memory.ts";
import { MeteredStore } from "../../src/object/metered.ts";
import { openWithBucket } from "../member/bucket.ts";
import { SimDisk } from "../sim/disk.ts";
import { Requests } from "./deposit.ts";
import { keyEnd, keyPrefix } from "./keys.ts";
import { putMany } from "./member.ts";

const minuteMs = 60_000;

/** Requests in the second hour after some writes, with checkpoints as `t4 run` makes them. */
export async function idleRequests(isWatched: boolean): Promise<number> {
  const requests = new Requests();
  const memory = new MemoryStore();
  const bucket = new MeteredStore(memory, { meters: requests.meters, clock: { now: () => 0 } });
  const causes = { intervalMs: 15 * minuteMs, entries: 0, logBytes: 64 * 2 ** 20, objects: 2000 };
  const { clock, member } = await openWithBucket({
    bucket,
    disk: new SimDisk(),
    options: { causes },
  });
  await putMany(member, 100, (step) => step);
  if (isWatched) {
    member.watch(
      {
        range: { key: keyPrefix, end: keyEnd },
        startRevision: 0,
        previous: false,
        noPut: false,
        noDelete: false,
      },
      () => undefined,
    );
  }
  const hour = async () => {
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(minuteMs);
      // For what goes on without looking at the clock.
      for (let turn = 0; turn < 20; turn++) await clock.yield();
    }
  };
  await hour();
  const before = requests.puts + requests.gets;
  await hour();
  const after = requests.puts + requests.gets;
  if (member.vitals().bucket?.checkpointIndex !== member.vitals().appliedIndex) {
    throw new Error("the idle member made no checkpoint");
  }
  return after - before;
}
