/** The read path: a large range is read in slices, at one revision, whatever happens meanwhile. */
import { expect, test } from "bun:test";
import { defaultSettings, limitsOf } from "../../src/member/limits.ts";
import { AbandonedError, readRange } from "../../src/member/read.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { RangeReply } from "../../src/model/reply.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { wholeQuery } from "../support/query.ts";
import {
  gist,
  openMember,
  openWritePath,
  pairsOf,
  putOf,
  tableBytes,
  told,
  whilePassing,
} from "./rig.ts";

const everything = { key: "\0", end: "\0" };
const keys = 3000;
const settings = { memtableBytesMax: 65_536 };

const manyPuts = Array.from({ length: keys }, (_, at) => putOf(`${at}`.padStart(4, "0"), `${at}`));

/** A member with many keys, on a clock on which a slice is over after a look or two. */
async function slicingMember() {
  const clock = new SimClock(0, 1);
  const rig = await openMember(new SimDisk(), { clock, settings });
  await Promise.all(manyPuts.map((put) => rig.member.propose(put)));
  return rig;
}

/** What they make. */
const expected = Array.from({ length: keys }, (_, at) => `${`${at}`.padStart(4, "0")}=${at}`);

test("a large range lets writes pass, and shows the revision at which it began", async () => {
  const { member } = await slicingMember();
  let isDone = false;
  const read = pairsOf(member).finally(() => {
    isDone = true;
  });
  let written = 0;
  while (!isDone) {
    await member.propose(putOf(`${written % keys}`.padStart(4, "0"), "new"));
    written++;
  }
  expect(await read).toEqual(expected);
  expect(written).toBeGreaterThan(1);
});

test("what takes no longer than a slice is answered at once", async () => {
  const { member } = await slicingMember();
  const one = member.range(wholeQuery({ key: "0017", end: "" }));
  expect(told(one as RangeReply)).toEqual(["0017=17"]);
  const some = member.range(wholeQuery({ key: "0017", end: "0020" }));
  expect(told(some as RangeReply)).toEqual(["0017=17", "0018=18", "0019=19"]);
  const all = member.range(wholeQuery(everything));
  expect(all).toBeInstanceOf(Promise);
  expect(told(await all)).toEqual(expected);
});

test("a large range is read to its end when compaction passes its revision", async () => {
  const limits = limitsOf(defaultSettings);
  const { clock, committer, store, tree } = await openWritePath(new SimDisk(), limits);
  await Promise.all(manyPuts.map((put) => committer.propose(put)));
  const pause = Promise.withResolvers<void>();
  let pauses = 0;
  const pausing = new SimClock(0, 1);
  pausing.yield = () => {
    pauses++;
    return pause.promise;
  };
  const { sliceMsMax } = limits;
  const isClosed = () => false;
  const reading = { clock: pausing, sliceMsMax, signal: undefined, isClosed };
  const read = readRange(wholeQuery(everything), store, reading);
  expect(pauses).toBe(1);
  await committer.propose({ kind: "deleteRange", range: everything, previous: false });
  await committer.propose({ kind: "compact", revision: store.revision });
  committer.seal();
  await whilePassing(clock, tree.major());
  expect(told(await readRange(wholeQuery(everything), store, reading))).toEqual([]);
  pause.resolve();
  expect(told(await read)).toEqual(expected);
  expect(pauses).toBeGreaterThan(2);
});

test("what a range holds back from compaction goes when its reader has left", async () => {
  const { clock, disk, member } = await slicingMember();
  const stays = new AbortController();
  const range = member.range(wholeQuery(everything), stays.signal);
  const read = Promise.resolve(range).catch((error: unknown) => error);
  const pinned = member.revision;
  await member.propose({ kind: "deleteRange", range: everything, previous: false });
  await member.compact(member.revision, false);
  stays.abort();
  expect(await read).toBeInstanceOf(AbandonedError);
  await member.propose(putOf("after", "1"));
  await whilePassing(clock, member.compact(member.revision, true));
  expect(pinned).toBeLessThan(member.revision);
  expect(tableBytes(disk)).toBeLessThan(2000);
});

test("revisions that are to come and those that are gone are refused", async () => {
  const { clock, member } = await openMember(new SimDisk());
  for (const value of ["1", "2", "3"]) await member.propose(putOf("a", value));
  expect(await pairsOf(member, 5)).toBe("futureRevision");
  expect(await pairsOf(member, 2)).toEqual(["a=1"]);
  await whilePassing(clock, member.compact(3, false));
  expect(await pairsOf(member, 2)).toBe("compacted");
  expect(await pairsOf(member, 3)).toEqual(["a=2"]);
  expect(await pairsOf(member, 4)).toEqual(["a=3"]);
});

test("a member that failed still answers those who do not ask for proof, until it closes", async () => {
  let fails = false;
  const disk = new SimDisk({
    fault: ({ operation }) => (fails && operation === "sync" ? "EIO" : undefined),
  });
  const { member } = await openMember(disk);
  await member.propose(putOf("a", "1"));
  fails = true;
  expect(gist(await member.propose(putOf("a", "2")))).toBe("outcomeUnknown");
  const stale = { ...wholeQuery(everything), serializable: true };
  expect(await member.range(wholeQuery(everything))).toEqual(new Refusal("stopped"));
  expect(await member.range(stale)).toMatchObject({ count: 1 });
  await member.close();
  expect(await member.range(stale)).toEqual(new Refusal("stopped"));
});
