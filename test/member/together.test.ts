/** Two processes that are created together on an empty prefix. */
import { expect, test } from "bun:test";
import { ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { defaultSettings } from "../../src/member/limits.ts";
import { Member } from "../../src/member/member.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { SupersededError } from "../../src/replication/archive.ts";
import { readHead } from "../../src/replication/lock.ts";
import { SimClock } from "../sim/clock.ts";
import { SimDisk } from "../sim/disk.ts";
import { FaultyStore } from "../sim/store.ts";
import { amount, say, seedsUpTo, tryEach } from "../support/effort.ts";
import { copyOf, type Given, Ledger, passing, revive } from "./fall.ts";
import { branching, forked } from "./past.ts";
import { optionsFor, whilePassing } from "./rig.ts";
import { Scene } from "./scene.ts";

/** What two processes bring to an empty prefix. */
const pairings = [
  "two new disks",
  "one with data",
  "both with data",
  "two first starts of a branch",
] as const;

for (const pairing of pairings) {
  test(`of two created together on an empty prefix one leads at last, in any order of their calls: ${pairing}`, async () => {
    const isBranch = pairing === "two first starts of a branch";
    const count = isBranch ? 0 : pairings.indexOf(pairing);
    const data = await Promise.all([21, 22].slice(0, count).map(dataOf));
    const given = isBranch ? branching : {};
    const base = isBranch ? await forked() : undefined;
    const scene = async () =>
      new Scene(base && (await copyOf(base.bucket)), base?.ledger.copy() ?? new Ledger());
    const sums = { orders: 0, led: 0, superseded: 0, refused: 0 };
    const step = amount(3, 9, 1);
    for (let first = 0; first <= 36; first += step) {
      for (let second = 1; second <= 36; second += step) {
        const order = (turn: number) => (turn < first ? 0 : turn < first + second ? 1 : 0);
        await together(await scene(), { data, given }, order, sums).catch((error: unknown) => {
          throw new Error(`${first} calls of one, then ${second} of the other: ${error}`);
        });
      }
    }
    const seeds = seedsUpTo(amount(60, 15, 3000));
    await tryEach(seeds, import.meta.path, async (seed) => {
      const random = new SeededRandom(seed);
      await together(await scene(), { data, given }, () => random.below(2), sums);
    });
    say(`${pairing}: ${JSON.stringify(sums)}`);
    expect(sums.led).toBeGreaterThan(sums.orders / 2);
  }, 600_000);
}

/** A directory that was used without a bucket, and whose log does not reach back to the beginning. */
interface Data {
  readonly disk: SimDisk;
  readonly cluster: bigint;
  readonly ledger: Ledger;
}

/** What two that start are given. */
interface Brought {
  readonly data: readonly Data[];
  readonly given: Given;
}

async function dataOf(seed: number): Promise<Data> {
  const clock = new SimClock();
  const settings = { ...defaultSettings, segmentAgeMsMax: 500 };
  const disk = new SimDisk();
  const random = new SeededRandom(seed);
  const member = await Member.open(optionsFor(disk, { clock, random, settings }));
  const ledger = new Ledger();
  const rig = { member, clock, disk, fatals: [] };
  for (let round = 0; round < 3; round++) {
    await ledger.put(rig, 3);
    await passing(clock, member.compact(member.revision - 1, true), () => false);
    await passing(clock, clock.sleep(1000), () => false);
  }
  await passing(clock, member.close(), () => false);
  return { disk, cluster: member.identity.clusterId, ledger };
}

/** Both start; `order` says whose call is carried out next, where both have one. */
async function together(
  scene: Scene,
  { data, given }: Brought,
  order: (turn: number) => number,
  sums: Record<"orders" | "led" | "superseded" | "refused", number>,
): Promise<void> {
  const state = { isOver: false };
  const begun = [];
  for (const at of [0, 1]) {
    const disk = data[at]?.disk.powerLoss(new SeededRandom(1)) ?? new SimDisk();
    const store = new FaultyStore(scene.bucket, { plan: () => (state.isOver ? "none" : "held") });
    begun.push({
      store,
      at,
      ...scene.opening(store, { ...given, disk, name: `${at}`, seed: 50 + at }),
    });
  }
  const settled = begun.map(({ member }) =>
    member.then(
      () => true,
      () => true,
    ),
  );
  const all = { isOpen: true };
  void Promise.all(settled).then(() => {
    all.isOpen = false;
  });
  for (let turn = 0; all.isOpen; turn++) {
    if (turn === 2000) throw new Error("they hang");
    for (const { clock } of begun) await clock.advance(5);
    await begun[0]?.clock.yield();
    const ready = begun.filter(({ store }) => store.held.length > 0);
    const chosen = ready.find(({ at }) => at === order(turn)) ?? ready[0];
    await chosen?.store.held[0]?.go();
  }
  state.isOver = true;
  await judge(scene, begun, { data, given }, sums);
}

/** Whoever leads by the lock takes writes; the others do not. */
async function judge(
  scene: Scene,
  begun: readonly (ReturnType<Scene["opening"]> & { readonly at: number })[],
  { data, given }: Brought,
  sums: Record<"orders" | "led" | "superseded" | "refused", number>,
): Promise<void> {
  sums.orders++;
  const head = (await readHead(withPrefix(scene.bucket, given.prefix ?? "db")))?.head;
  for (const { cluster, ledger } of data) {
    for (const key of ledger.asked) scene.ledger.asked.add(key);
    if (cluster !== head?.cluster) continue;
    for (const [key, revision] of ledger.acknowledged) scene.ledger.acknowledged.set(key, revision);
  }
  let leaders = 0;
  for (const { clock, disk, fatals, member: opening } of begun) {
    const member = await opening.catch((error: unknown) => error as Error);
    if (!(member instanceof Member)) {
      if (member instanceof SupersededError) sums.superseded++;
      else if (member instanceof ForeignError && /of cluster|by the disk of/.test(member.message))
        sums.refused++;
      else throw member;
      continue;
    }
    const rig = { clock, disk, fatals, member };
    const gist = await whilePassing(clock, scene.put(rig, `by ${member.name}`));
    const leads =
      head?.leader.incarnation === member.identity.memberId && head.term === member.term;
    expect(typeof gist === "number").toBe(leads);
    if (leads) leaders++;
  }
  sums.led += leaders;
  // Whoever had the lock last may have died of the other's fence: then nobody leads, and anyone may.
  expect(leaders).toBeLessThan(2);
  await revive(scene.bucket, new SimDisk(), scene.ledger, given);
}
