/**
 * A snapshot is what the directory was at one moment, whatever its owner does while it is opened:
 * the disk here turns, at each single call in turn, into what it was a flush, a merge and a trim
 * later, and files that are open by then stay what they were.
 */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import type { Disk } from "../../src/lib/disk.ts";
import { readWhole } from "../../src/lib/disk.ts";
import { silent } from "../../src/lib/logger.ts";
import { noCounter, noHistogram } from "../../src/lib/meter.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Tree } from "../../src/lsm/tree.ts";
import { openDirectory as lockDirectory } from "../../src/member/directory.ts";
import { type Checkpoint, checkpointOf } from "../../src/member/durable.ts";
import { openDirectory, type Snapshot } from "../../src/member/snapshot.ts";
import { verifyDirectory } from "../../src/member/verify.ts";
import { indexOf, origin, termOf } from "../../src/model/revision.ts";
import { schemaOf } from "../../src/mvcc/schema.ts";
import { emptyState, Store } from "../../src/mvcc/store.ts";
import { Log } from "../../src/wal/log.ts";
import { SimDisk } from "../sim/disk.ts";

const path = "/data";
const clock = new SystemClock();
const cacheBytesMax = 2 ** 20;

/** Whoever writes to the directory. */
class Owner {
  readonly disk = new SimDisk();
  readonly #random = new SeededRandom(1);
  #tree: Tree<Checkpoint> | undefined;
  #store: Store | undefined;
  #log: Log | undefined;

  get store(): Store {
    return must(this.#store, "the owner is open");
  }

  async open(): Promise<void> {
    const { disk } = this;
    const random = this.#random;
    const fatal = (error: unknown) => {
      throw error;
    };
    const { identity, logPath, tablesPath } = await lockDirectory(disk, path, random);
    const common = { disk, clock, random, logger: silent };
    this.#tree = await Tree.open<Checkpoint>({
      ...common,
      directory: tablesPath,
      limits: {
        memtableBytesMax: 4096,
        sealedMax: 2,
        cacheBytesMax,
        blockBytes: 256,
        tableBytesMax: 8192,
        sliceMsMax: 1,
        fanout: 2,
      },
      meters: { flushSeconds: noHistogram, mergeSeconds: noHistogram },
      schema: schemaOf(() => this.#store?.keptFrom ?? -1),
      fatal,
    });
    this.#store = new Store({
      tree: this.#tree,
      state: emptyState,
      tabledRevision: () => this.#tree?.durable?.revision ?? 0,
      watchLimits: { watcherBytesMax: 0, totalBytesMax: 0, sliceRowsMax: 0 },
      wakeWatchers: () => undefined,
      leaseChanged: () => undefined,
    });
    this.#log = await Log.open({
      ...common,
      directory: logPath,
      cluster: identity.clusterId,
      limits: { segmentBytesMax: 8192, segmentAgeMsMax: 1e9 },
      meters: { fsyncSeconds: noHistogram, bytes: noCounter },
      applied: origin,
      replay: () => undefined,
    });
  }

  /** Puts as many keys, each in a batch of its own. */
  async put(count: number): Promise<void> {
    const { store } = this;
    const log = must(this.#log, "the owner is open");
    for (let put = 0; put < count; put++) {
      const key = `key ${this.#random.below(20)}`;
      const value = Buffer.alloc(100, `value ${store.revision} `);
      const { action, revision } = store.decide({
        kind: "put",
        key,
        value,
        lease: 0n,
        previous: false,
        ignoreValue: false,
        ignoreLease: false,
      });
      const index = indexOf(log.position.index + 1);
      const entry = { index, term: termOf(1), revision, action: must(action, "a put writes") };
      log.stage(entry);
      store.pend(entry);
      await log.sync();
      store.apply(entry);
    }
  }

  /** Flushes, merges everything and trims the log: no file is what it was. */
  async settle(): Promise<void> {
    const log = must(this.#log, "the owner is open");
    const tree = must(this.#tree, "the owner is open");
    tree.seal(checkpointOf(log.position, this.store.state, log.wallMs));
    await tree.major();
    log.trim(log.position.index);
  }

  async close(): Promise<void> {
    await this.#tree?.close();
    await this.#log?.close();
  }
}

/** A directory as it was. */
interface Moment {
  readonly disk: SimDisk;
  readonly truth: string[];
}

/** All keys with their revisions. */
function keysOf(store: Store): string[] {
  const cursor = store.cursor({ key: "\0", end: "\0" }, store.revision);
  const keys = [`revision ${store.revision}`];
  while (cursor.next()) {
    const { key, modRevision, value } = cursor.pair();
    keys.push(`${key} ${modRevision} ${Buffer.from(value)}`);
  }
  return keys;
}

/** The files as they are now. */
function momentOf({ disk, store }: Owner): Moment {
  const copy = new SimDisk();
  for (const directory of [path, `${path}/db`, `${path}/wal`]) {
    copy.makeDirectory(directory);
    for (const name of disk.list(directory)) {
      if (name === "db" || name === "wal") continue;
      const file = copy.create(`${directory}/${name}`);
      file.write(must(readWhole(disk, `${directory}/${name}`), "what is listed is there"), 0);
      file.close();
    }
  }
  return { disk: copy, truth: keysOf(store) };
}

/** Three moments of one directory, between which every table and every segment was replaced. */
async function moments(): Promise<Moment[]> {
  const owner = new Owner();
  await owner.open();
  const found: Moment[] = [];
  for (let round = 0; round < 3; round++) {
    await owner.put(60);
    await owner.settle();
    await owner.put(60);
    found.push(momentOf(owner));
  }
  await owner.close();
  return found;
}

/** A disk that is the first of some until the call with the first number, then the second … */
function turning(disks: readonly Disk[], turns: readonly number[]): Disk & { calls: number } {
  const now = () => {
    turned.calls++;
    return must(disks[turns.filter((turn) => turn <= turned.calls).length], "a disk for each turn");
  };
  const never = (): never => {
    throw new Error("who only reads does not write");
  };
  const turned = {
    calls: 0,
    open: (name: string) => now().open(name),
    list: (name: string) => now().list(name),
    create: never,
    rename: never,
    remove: never,
    makeDirectory: never,
    syncDirectory: never,
    lock: never,
    freeBytes: never,
  };
  return turned;
}

async function read(disk: Disk): Promise<string[]> {
  let snapshot: Snapshot | undefined;
  try {
    snapshot = await openDirectory(path, { disk, clock, cacheBytesMax });
    return keysOf(snapshot.store);
  } finally {
    snapshot?.close();
  }
}

test("a snapshot is one moment, whenever its owner replaces all files", async () => {
  const all = await moments();
  const disks = all.map(({ disk }) => disk);
  const truths = all.map(({ truth }) => truth);
  const quiet = turning(disks, []);
  expect(await read(quiet)).toEqual(truths[0] ?? []);
  expect(quiet.calls).toBeGreaterThan(6);
  const seen = [0, 0, 0];
  for (let first = 1; first <= quiet.calls + 1; first++) {
    for (const second of [first + 1, first + 3, first + quiet.calls, Infinity]) {
      const found = await read(turning(disks, [first, second]));
      const at = truths.findIndex((truth) => truth.join() === found.join());
      expect({ first, second, at, found }).toEqual({ first, second, at, found: truths[at] ?? [] });
      seen[at] = (seen[at] ?? 0) + 1;
    }
  }
  process.stdout.write(`${seen.join(", ")} snapshots of the three moments\n`);
  expect(Math.min(...seen)).toBeGreaterThan(0);
});

test("verifying, too, sees one moment", async () => {
  const disks = (await moments()).map(({ disk }) => disk);
  const quiet = turning(disks, []);
  await verifyDirectory(path, { disk: quiet, clock, cacheBytesMax });
  for (let first = 1; first <= quiet.calls; first++) {
    const disk = turning(disks, [first, first + 2]);
    const { damages } = await verifyDirectory(path, { disk, clock, cacheBytesMax });
    expect({ first, damages }).toEqual({ first, damages: [] });
  }
});

test("a table and a log that are each sound and not of one history are told apart", async () => {
  const [early, , late] = await moments();
  const [from, to] = [must(early, "there are three").disk, must(late, "there are three").disk];
  for (const name of to.list(`${path}/wal`)) to.remove(`${path}/wal/${name}`);
  for (const name of from.list(`${path}/wal`)) {
    const file = to.create(`${path}/wal/${name}`);
    file.write(must(readWhole(from, `${path}/wal/${name}`), "it is listed"), 0);
    file.close();
  }
  const { damages } = await verifyDirectory(path, { disk: to, clock, cacheBytesMax });
  expect(damages.map(({ range, what }) => [what, range])).toEqual([
    [
      expect.stringMatching(
        /^entries 121 to 300 are missing: the log ends with entry \d+, the tables with 300$/,
      ),
      expect.stringMatching(/^entries \d+ to 300$/),
    ],
  ]);
  const reading = openDirectory(path, { disk: to, clock, cacheBytesMax });
  await expect(reading).rejects.toThrow("the log ends with entry");
});
