/** What waits for a slow client keeps no more memory than it is counted with. */
import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { KeyValue } from "../../src/model/event.ts";
import type { Watcher } from "../../src/mvcc/watcher.ts";
import { Rig } from "./rig.ts";

const put = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false } as const;
const request = { range: { key: "k", end: "" }, previous: true, noPut: false, noDelete: false };

/** The pairs that a watcher was fed, and those before them. */
function pairsFor(rig: Rig, watcher: Watcher): KeyValue[] {
  const pairs: KeyValue[] = [];
  for (;;) {
    const notice = rig.store.watchers.take(watcher);
    if (notice?.kind !== "events") return pairs;
    for (const event of notice.events) {
      if (event.type === "put") pairs.push(event.kv, ...(event.previous ? [event.previous] : []));
    }
  }
}

test("values that watchers are fed are no views of a memtable or a block", async () => {
  const rig = new Rig(new SeededRandom(1));
  await rig.open();
  const value = Buffer.from("small");
  for (let at = 0; at < 3; at++) rig.run({ kind: "put", key: "k", value, ...put });
  rig.applyAll();
  const past = rig.store.watchers.watch({ ...request, startRevision: 2 }, () => undefined);
  const live = rig.store.watchers.watch({ ...request, startRevision: 0 }, () => undefined);
  rig.catchUp();
  rig.run({ kind: "put", key: "k", value: Buffer.from("new"), ...put });
  rig.applyAll();
  rig.catchUp();
  rig.seal();
  await rig.tree.flushed();
  const later = rig.store.watchers.watch({ ...request, startRevision: 2 }, () => undefined);
  rig.catchUp();
  const pairs = [past, live, later].flatMap((watcher) => pairsFor(rig, watcher));
  expect(pairs.map((pair) => Buffer.from(pair.value).toString())).toEqual([
    ...["small", "small", "small", "small", "small"],
    ...["new", "small"],
    ...["new", "small"],
    ...["small", "small", "small", "small", "small", "new", "small"],
  ]);
  for (const pair of pairs.filter((each) => each.value.length === 5)) {
    expect(pair.value.buffer.byteLength).toBeLessThanOrEqual(4 * value.length);
  }
  await rig.close();
});
