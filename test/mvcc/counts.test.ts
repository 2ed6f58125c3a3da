import { expect, test } from "bun:test";
import { SystemClock } from "../../src/lib/clock.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { type Reading, readRange } from "../../src/member/read.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { RangeReply } from "../../src/model/reply.ts";
import { wholeQuery } from "../support/query.ts";
import { Rig } from "./rig.ts";

const everything = wholeQuery({ key: "k", end: "l" });

const reading: Reading = {
  clock: new SystemClock(),
  sliceMsMax: 1000,
  signal: undefined,
  isClosed: () => false,
};

const put = { value: Buffer.from("v"), lease: 0n, ignoreValue: false, ignoreLease: false } as const;

async function rigWith(keys: number): Promise<Rig> {
  const rig = new Rig(new SeededRandom(1));
  await rig.open();
  for (let at = 0; at < keys; at++) {
    const key = `k${String(at).padStart(6, "0")}`;
    rig.run({ kind: "put", key, previous: false, ...put });
  }
  rig.applyAll();
  return rig;
}

/** Reads pages as Kubernetes does: the revision of the first, then from after the last key. */
async function listed(rig: Rig, limit: number, change: () => void) {
  const pages: RangeReply[] = [];
  let key = everything.range.key;
  for (;;) {
    const query = {
      ...everything,
      range: { key, end: "l" },
      limit,
      revision: pages[0]?.revision ?? 0,
    };
    const reply = await readRange(query, rig.store, reading);
    if (reply instanceof Refusal) throw new Error(reply.kind);
    pages.push(reply);
    if (!reply.more) return pages;
    key = `${reply.kvs.at(-1)?.key}\0`;
    change();
  }
}

test("pages of a listing count what is left at its revision, whatever is written meanwhile", async () => {
  const keys = 3000;
  const rig = await rigWith(keys);
  let extra = 0;
  const pages = await listed(rig, 250, () => {
    rig.run({ kind: "put", key: `k9${extra++}`, previous: false, ...put });
    rig.run({
      kind: "deleteRange",
      range: { key: `k00${extra}`, end: `k00${extra}1` },
      previous: false,
    });
    rig.applyAll();
  });
  expect(pages.map(({ count }) => count)).toEqual(
    Array.from({ length: keys / 250 }, (_, page) => keys - page * 250),
  );
  expect(pages.flatMap(({ kvs }) => kvs.map(({ key }) => key))).toEqual(
    Array.from({ length: keys }, (_, at) => `k${String(at).padStart(6, "0")}`),
  );
  await rig.close();
});

test("only the first page of a listing walks the whole range", async () => {
  const keys = 3000;
  const rig = await rigWith(keys);
  rig.seal();
  // All in one run of small blocks, of which a few fit the cache: who walks reads the disk.
  await rig.tree.major();
  let before = rig.diskCalls;
  const readsOfPages: number[] = [];
  await listed(rig, keys / 5, () => {
    readsOfPages.push(rig.diskCalls - before);
    before = rig.diskCalls;
  });
  const [first = 0, ...others] = readsOfPages;
  expect(others).toHaveLength(3);
  expect(first).toBeGreaterThan(keys / 20);
  for (const reads of others) expect(reads).toBeWithin(1, first / 3);
  await rig.close();
});
