/**
 * Damage: every object of a bucket and every file of a directory is flipped somewhere, or removed,
 * and a member is started, with its disk and without. Either it has everything acknowledged, or it
 * is refused by an error that names the object or the file.
 */
import { expect, test } from "bun:test";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Member } from "../../src/member/member.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { collect } from "../../src/replication/collect.ts";
import { SimDisk } from "../sim/disk.ts";
import { amount, failureOf, say, seedsUpTo } from "../support/effort.ts";
import { bucketOptions, noCauses, openWithBucket } from "./bucket.ts";
import { copyOf, type Given, Ledger, passing, revive } from "./fall.ts";
import { dataDirectory, type Rig } from "./rig.ts";

interface Remains {
  readonly bucket: MemoryStore;
  readonly disk: SimDisk;
  readonly ledger: Ledger;
}

const settings = { segmentBytesMax: 8192, memtableBytesMax: 2 ** 20, segmentAgeMsMax: 700 };
const causes = { ...noCauses, intervalMs: 1500 };

async function sleep({ clock }: Rig, milliseconds: number): Promise<void> {
  await passing(clock, clock.sleep(milliseconds), () => false);
}

/** Three terms, checkpoints between the writes, a run of gc in the middle. */
async function lived(syncUpload: boolean): Promise<Remains> {
  const bucket = new MemoryStore();
  const ledger = new Ledger();
  let disk = new SimDisk();
  for (let term = 1; term <= 3; term++) {
    const options = { causes, syncUpload };
    const rig = await openWithBucket({ bucket, disk, seed: term, settings, options });
    await ledger.put(rig, 4);
    await sleep(rig, 3000);
    await ledger.put(rig, 4);
    await sleep(rig, 2000);
    await ledger.put(rig, 3);
    if (term === 2) await tidied(bucket);
    if (term < 3 || !syncUpload) await passing(rig.clock, rig.member.close(), () => false);
    disk = rig.disk.processCrash();
  }
  return { bucket, disk, ledger };
}

async function tidied(bucket: MemoryStore): Promise<void> {
  const gone = await collect(withPrefix(bucket, "db"), {
    random: new SeededRandom(1),
    nowMs: Date.now() + 3_600_000,
    retention: { keep: 2 },
    graceMs: 0,
    attemptMsMax: 1000,
    parallel: 4,
  });
  expect(gone.logObjects).toBeGreaterThan(0);
}

/** What of `key` stays the same from case to case. */
function classOf(key: string): string {
  const [, kind = key, rest = ""] = /^db\/([^/]+)\/?(.*)$/.exec(key) ?? [];
  if (kind === "checkpoint") return rest.endsWith("manifest.json") ? "checkpoint" : "pending";
  return kind === "gc" ? `gc/${rest}` : kind;
}

/** Starts a member on what is left; what became of it. */
async function start(
  bucket: MemoryStore,
  disk: SimDisk,
  ledger: Ledger,
  { given = {}, where }: { readonly given?: Given; readonly where: string },
): Promise<"whole" | "refused"> {
  const fatals: unknown[] = [];
  const fatal = (error: unknown) => fatals.push(error);
  const options = { ...bucketOptions({ settings, ...given, bucket, disk }), fatal };
  const { clock } = options;
  let member: Member | "dead";
  try {
    member = await passing(clock, Member.open(options), () => false);
  } catch (error) {
    isNamed(error, where);
    return "refused";
  }
  if (member === "dead") throw new Error("nobody dies here");
  const rig = { member, clock, disk, fatals };
  try {
    await ledger.verify(rig);
    await ledger.put(rig, 2);
    await sleep(rig, 4000);
    await ledger.verify(rig);
  } catch (error) {
    if (fatals.length === 0) throw error;
    isNamed(fatals[0], where);
    return "refused";
  }
  if (fatals.length > 0) isNamed(fatals[0], where);
  await passing(clock, member.close(), () => false);
  return "whole";
}

/** Whether an error says what is wrong, and where: in the damaged place, or what misses it. */
function isNamed(error: unknown, where: string): void {
  const isKind = error instanceof CorruptionError || error instanceof ForeignError;
  if (!isKind) throw error;
  const names = /(wal|db|sst|checkpoint|nodes|gc|branches)\/|leader-lock|\/data|memory:/;
  if (!names.test(error.message)) throw new Error(`${where}: ${error.message} names nothing`);
}

class Tally {
  readonly #counts = new Map<string, Record<"whole" | "refused", number>>();
  cases = 0;

  add(what: string, outcome: "whole" | "refused"): void {
    const counts = this.#counts.get(what) ?? { whole: 0, refused: 0 };
    counts[outcome]++;
    this.#counts.set(what, counts);
    this.cases++;
  }

  toString(): string {
    const lines = [...this.#counts].sort().map(([what, { refused, whole }]) => {
      return `  ${what}: ${whole} whole, ${refused} refused by name`;
    });
    return [`${this.cases} cases`, ...lines].join("\n");
  }
}

type Damage = "flipped" | "removed" | "cut short";

/** `bytes` with that done to them; undefined for nothing left. */
function damaged(bytes: Buffer, damage: Damage, random: SeededRandom): Buffer | undefined {
  if (damage === "removed") return undefined;
  if (damage === "cut short") return bytes.subarray(0, random.below(bytes.length));
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
}

const seeds = seedsUpTo(amount(2, 1, 40));

async function damagedBucket(syncUpload: boolean): Promise<Tally> {
  const { bucket, disk, ledger } = await lived(syncUpload);
  const keys = bucket.keys();
  const tally = new Tally();
  const last = keys.filter((key) => key.startsWith("db/wal/")).at(-1);
  for (const seed of seeds) {
    const random = new SeededRandom(seed);
    for (const key of keys) {
      for (const damage of ["flipped", "removed", "cut short"] as const) {
        if (damage === "removed" && seed !== seeds[0]) continue;
        const bytes = damaged(bucket.peek(key) ?? Buffer.alloc(0), damage, random);
        for (const place of ["with its disk", "on a new disk"] as const) {
          const broken = await copyOf(bucket);
          if (bytes === undefined) await broken.delete(key);
          else await broken.put(key, bytes);
          const where = `${key} ${damage}, ${place}, seed ${seed}`;
          const own =
            place === "with its disk" ? disk.powerLoss(new SeededRandom(1)) : new SimDisk();
          // That the end of a log is gone, nothing tells but whoever has more of it.
          const isEnd = damage === "removed" && key === last;
          try {
            const given = { seed: 9, options: { causes, syncUpload } };
            const outcome = await start(broken, own, isEnd ? ledgerBut(ledger) : ledger.copy(), {
              given,
              where,
            });
            tally.add(`${classOf(key)} ${damage}, ${place}`, outcome);
          } catch (error) {
            throw failureOf(
              seed,
              import.meta.path,
              new Error(`${where}: ${error}`, { cause: error }),
            );
          }
        }
      }
    }
  }
  return tally;
}

/** Without what the last object may hold. */
function ledgerBut(ledger: Ledger): Ledger {
  const copy = ledger.copy();
  const newest = Math.max(...copy.acknowledged.values());
  for (const [key, revision] of copy.acknowledged) {
    if (revision === newest) copy.acknowledged.delete(key);
  }
  return copy;
}

test("damage to any object is got over, or refused by its name", async () => {
  const tally = await damagedBucket(true);
  say(`objects of a bucket that is a member: ${tally}`);
  expect(tally.cases).toBeGreaterThan(100);
}, 600_000);

test("damage to any file is got over, or refused by its name", async () => {
  for (const syncUpload of [true, false]) {
    const { bucket, disk, ledger } = await lived(syncUpload);
    const tally = new Tally();
    const whole = disk.powerLoss(new SeededRandom(1));
    for (const seed of seeds) {
      const random = new SeededRandom(seed);
      for (const path of whole.paths()) {
        if (path.endsWith("/LOCK")) continue;
        for (const damage of ["flipped", "removed", "cut short"] as const) {
          if (damage === "removed" && seed !== seeds[0]) continue;
          const bytes = damaged(whole.peek(path), damage, random);
          const broken = new SimDisk();
          for (const other of whole.paths()) {
            const content = other === path ? bytes : whole.peek(other);
            if (content !== undefined) broken.plant(other, content);
          }
          const where = `${path} ${damage}, seed ${seed}, syncUpload ${syncUpload}`;
          try {
            const given = { seed: 9, options: { causes, syncUpload } };
            const outcome = await start(await copyOf(bucket), broken, ledger.copy(), {
              given,
              where,
            });
            tally.add(`${fileClassOf(path)} ${damage}`, outcome);
          } catch (error) {
            throw failureOf(
              seed,
              import.meta.path,
              new Error(`${where}: ${error}`, { cause: error }),
            );
          }
        }
      }
    }
    say(`files of a directory, the bucket a member: ${syncUpload}: ${tally}`);
    expect(tally.cases).toBeGreaterThan(15);
  }
}, 600_000);

function fileClassOf(path: string): string {
  const name = path.slice(dataDirectory.length + 1);
  if (name.startsWith("wal/")) return "wal";
  return name.endsWith(".sst") ? "db/*.sst" : name;
}

test("a checkpoint is made again after damage to the newest and to what points to it", async () => {
  const { bucket, disk, ledger } = await lived(true);
  const keys = ["db/manifest/latest", bucket.keys("db/checkpoint/").at(-1) ?? ""];
  for (const key of keys) {
    const broken = await copyOf(bucket);
    await broken.put(
      key,
      damaged(bucket.peek(key) ?? Buffer.alloc(0), "cut short", new SeededRandom(3)) ??
        Buffer.alloc(0),
    );
    const before = broken.keys("db/checkpoint/").length;
    const own = disk.powerLoss(new SeededRandom(1));
    const rig = await openWithBucket({
      bucket: broken,
      disk: own,
      settings,
      options: { causes },
      seed: 9,
    });
    const own2 = ledger.copy();
    await own2.put(rig, 3);
    await sleep(rig, 6000);
    expect([key, rig.member.vitals().bucket?.checkpointIndex]).toEqual([
      key,
      rig.member.applied.index,
    ]);
    expect(broken.keys("db/checkpoint/").length).toBeGreaterThan(before);
    await revive(broken, new SimDisk(), own2, {});
  }
});

test("a log in the bucket whose end is gone is refused by a directory that has waited for it", async () => {
  const { bucket, disk, ledger } = await lived(true);
  const keys = bucket.keys("db/wal/").slice(-4);
  for (let count = 1; count <= 4; count++) {
    const broken = await copyOf(bucket);
    for (const key of keys.slice(-count)) await broken.delete(key);
    const outcome = start(broken, disk.copy(), count === 1 ? ledgerBut(ledger) : ledger.copy(), {
      given: { seed: 9, options: { causes } },
      where: `the last ${count}`,
    });
    // One batch may have been on its way: that one nobody can tell from one that is gone.
    expect([count, await outcome]).toEqual([count, count === 1 ? "whole" : "refused"]);
  }
});
