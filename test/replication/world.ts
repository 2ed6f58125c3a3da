/**
 * A bucket that leaders, gc, forks, readers and a branch use at the same time (test/sim/turns.ts),
 * and what must be true of it after every single call: whatever `manifest/latest`, a branch or a
 * reader refers to is there, and so is the log after it.
 */
import { CorruptionError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf, termOf } from "../../src/model/revision.ts";
import { lockKey, logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { ObjectError, type ObjectStore } from "../../src/object/store.ts";
import { fork, joinBranch, publishFirst, unfork } from "../../src/replication/branch.ts";
import { knownTables, publish } from "../../src/replication/checkpoint.ts";
import { type Collected, collect } from "../../src/replication/collect.ts";
import type { Manifest } from "../../src/replication/manifest.ts";
import { holdCheckpoint } from "../../src/replication/pin.ts";
import { download, listCheckpoints, restoreNewest } from "../../src/replication/restore.ts";
import { SimClock } from "../sim/clock.ts";
import { type Process, Turns } from "../sim/turns.ts";
import { contentOf, hashesOf } from "./tables.ts";
import { Truth } from "./truth.ts";

const turnMs = 60_000;
const fenceBytes = 200;
const startMs = Date.UTC(2026, 0, 1);

export type Role = "leader" | "gc" | "fork" | "reader" | "branch";
/** Changes what a process is told by its store, or what it says to it: a bug on purpose. */
export type Lie = (role: Role, store: ObjectStore) => ObjectStore;

export interface Outcome {
  /** The first thing that was not true; undefined when all was. */
  readonly broken: string | undefined;
  readonly turns: number;
  readonly counts: Readonly<Record<string, number>>;
  /** What happened last. */
  readonly tail: readonly string[];
}

export class World {
  readonly bucket: MemoryStore;
  readonly #store: ObjectStore;
  readonly #random: SeededRandom;
  readonly #turns: Turns;
  /** After how many turns gc gives an attempt up. */
  readonly #attemptTurnsMax: number;
  /** How many processes die in a hundred rounds. */
  readonly #killsMax: number;
  readonly #lie: Lie;
  readonly #reusesKeys: boolean;
  readonly #truth: Truth;
  readonly #clock = new SimClock();
  readonly #counts: Record<string, number> = {};
  readonly #roles = new Map<Process, Role>();
  /** Tables that were once part of the database. */
  readonly #pool: Buffer[] = [];
  #term = 0;
  #index = 0;
  #revision = 1;
  #isBranching: boolean;

  /** With `reusesKeys` a table is put under the same key each time. */
  constructor(seed: number, lie: Lie = (_, store) => store, reusesKeys = false) {
    this.#random = new SeededRandom(seed);
    const oneOf = (...numbers: number[]) => numbers[this.#random.below(numbers.length)] ?? 0;
    this.#attemptTurnsMax = oneOf(15, 60, 300);
    this.#killsMax = oneOf(2, 12);
    this.#turns = new Turns(this.#random, { sleep: oneOf(5, 25), twice: 15, late: oneOf(5, 30) });
    this.#lie = lie;
    this.#reusesKeys = reusesKeys;
    this.#isBranching = this.#random.below(2) === 0;
    this.bucket = new MemoryStore({ pageKeysMax: 4, clock: { wall: () => this.#nowMs } });
    this.#truth = new Truth(this.bucket);
    this.#store = withPrefix(this.bucket, "db");
  }

  async run(rounds: number): Promise<Outcome> {
    await this.#lead();
    for (let round = 0; round < rounds && this.#truth.broken === undefined; round++) {
      await this.#stir();
      await this.#turns.run(10 + this.#random.below(60), () => this.#truth.check());
    }
    if (this.#truth.broken === undefined) await this.#calm();
    return {
      broken: this.#truth.broken,
      turns: this.#turns.turn,
      counts: this.#counts,
      tail: this.#turns.log.slice(-60),
    };
  }

  get #nowMs(): number {
    return startMs + (this.#turns?.turn ?? 0) * turnMs;
  }

  /** Begins what is not going on, and ends something now and then. */
  async #stir(): Promise<void> {
    const running = (role: Role) =>
      [...this.#roles].filter(([process, its]) => its === role && !process.isDone).length;
    for (const [process, role] of this.#roles) {
      const isFatal = process.error !== undefined && !(process.error instanceof ObjectError);
      if (isFatal) this.#truth.break(`${role} ended with ${process.error}`);
      if (process.isDone) this.#roles.delete(process);
    }
    const dice = this.#random.below(100);
    if (running("leader") === 0 || (dice < 6 && running("leader") < 3)) await this.#lead();
    if (running("gc") < 2) this.#spawn("gc", this.#store, (store) => this.#collect(store));
    if (running("fork") < 2) {
      const own = this.#random.below(2) === 0 ? "a" : "b";
      if (running("fork") === 0) {
        this.#spawn("fork", this.#store, (store) => this.#fork(store, own));
      }
    }
    if (running("reader") < 1) this.#spawn("reader", this.#store, (store) => this.#read(store));
    if (running("branch") < 1 && this.#isBranching) {
      this.#spawn("branch", this.bucket, (store) => this.#startBranch(store));
    }
    if (dice >= 100 - this.#killsMax) {
      const victims = [...this.#roles.keys()].filter(({ isDone }) => !isDone);
      const victim = victims[this.#random.below(victims.length)];
      if (victim !== undefined) this.#turns.kill(victim);
    }
  }

  #spawn(role: Role, bucket: ObjectStore, work: (store: ObjectStore) => Promise<void>): void {
    const count = this.#count(role);
    const process = this.#turns.spawn(`${role}${count}`, bucket, (store) =>
      work(this.#lie(role, store)),
    );
    this.#roles.set(process, role);
  }

  #count(what: string, by = 1): number {
    const count = (this.#counts[what] ?? 0) + by;
    this.#counts[what] = count;
    return count;
  }

  /** Another takes over; the one before does not know yet. */
  async #lead(): Promise<void> {
    const term = ++this.#term;
    await this.#store.put(lockKey, Buffer.from(`${term}`));
    const fence = await this.#nextSlot(this.#store, true);
    this.#spawn("leader", this.#store, (store) => this.#reign(store, term, fence));
  }

  async #reign(store: ObjectStore, term: number, fence: number): Promise<void> {
    const random = this.#random;
    const local = new Map<string, Buffer>();
    const restored = await this.#restore(store, local);
    let known = restored === undefined ? new Map() : knownTables(restored);
    let [lastSeq, index, revision] = [fence, this.#index, this.#revision];
    for (let round = 0; round < 12; round++) {
      for (let writes = random.below(3); writes > 0 && this.#term === term; writes--) {
        lastSeq = await this.#nextSlot(store, false);
        index = ++this.#index;
        if (random.below(3) > 0) this.#revision++;
        revision = this.#revision;
      }
      this.#merge(local);
      const capture = {
        cluster: 7n,
        term: termOf(term),
        revision,
        position: { index: indexOf(index), term: termOf(term), chain: BigInt(index) },
        lastSeq,
        floor: 0,
        wallMs: this.#nowMs,
        tree: "tree",
        tables: [...local].map(([hash, bytes]) => ({
          hash,
          bytes: bytes.length,
          read: () => bytes,
        })),
      };
      const published = await publish(store, capture, {
        ...this.#common(),
        ...(this.#reusesKeys && { random: { float: () => 0, below: () => 0, u64: () => 1n } }),
        known,
        lockTerm: async () => Number((await store.get(lockKey))?.bytes.toString()),
      }).catch(unlessStore);
      this.#count(published?.outcome ?? "failed");
      if (published?.outcome === "published") known = knownTables(published.manifest);
    }
  }

  /** Puts a log object into the next slot; the slot. It is there once that was acknowledged. */
  async #nextSlot(store: ObjectStore, isFence: boolean): Promise<number> {
    const seq = this.#truth.lastSlot + 1;
    // The slot is taken at once: nobody else writes while this waits, in this world.
    this.#truth.fill(seq, isFence);
    const bytes = Buffer.alloc(isFence ? fenceBytes : 300, seq);
    await this.#store.putIfAbsent(logKey(seq), bytes);
    if (store !== this.#store) await store.get(lockKey);
    return seq;
  }

  async #restore(store: ObjectStore, local: Map<string, Buffer>): Promise<Manifest | undefined> {
    for (let tries = 0; tries < 5; tries++) {
      const { manifest } = await restoreNewest(store, {
        storeAt: () => store,
        parallel: 2,
        has: (hash) => local.has(hash),
        put: ({ hash }, bytes) => {
          local.set(hash, bytes);
        },
      });
      if (manifest === undefined) continue;
      const names = new Set(manifest.tables.map(({ hash }) => hash));
      for (const hash of local.keys()) if (!names.has(hash)) local.delete(hash);
      this.#count("restored");
      return manifest;
    }
    return undefined;
  }

  /** Takes tables out and puts others in, now and then one that was there before. */
  #merge(local: Map<string, Buffer>): void {
    const random = this.#random;
    for (const hash of [...local.keys()]) if (random.below(4) === 0) local.delete(hash);
    for (let more = 1 + random.below(2); more > 0; more--) {
      const old = this.#pool[random.below(this.#pool.length * 3 + 1)];
      const bytes = old ?? contentOf(random);
      if (old === undefined) this.#pool.push(bytes);
      for (const hash of hashesOf([bytes])) local.set(hash, bytes);
    }
  }

  async #collect(store: ObjectStore): Promise<void> {
    const random = this.#random;
    for (let round = 0; round < 3; round++) {
      const collected = await collect(store, {
        random,
        nowMs: this.#nowMs,
        retention: { keep: 1 + random.below(3) },
        graceMs: 0,
        attemptMsMax: this.#attemptTurnsMax * turnMs,
        parallel: 1 + random.below(3),
      });
      this.#note(collected);
    }
  }

  #note({ checkpoints, logObjects, tables, unreadable }: Collected): void {
    this.#count("collected checkpoints", checkpoints.length);
    this.#count("collected tables", tables.length);
    this.#count("collected log objects", logObjects);
    for (const { key, why } of unreadable) this.#truth.break(`gc cannot read ${key}: ${why}`);
  }

  async #fork(store: ObjectStore, own: string): Promise<void> {
    for (let round = 0; round < 4; round++) {
      const id = `${own}${this.#random.below(2)}`;
      const options = { ...this.#common(), nowMs: this.#nowMs, storeAt: () => store };
      if (this.#truth.relied.delete(id)) {
        await unfork(store, id, options);
        this.#count("unforked");
        continue;
      }
      const keys = (await listCheckpoints(store)).map(({ key }) => key);
      const checkpointKey = keys[this.#random.below(keys.length)];
      const forked = await fork(store, id, { ...options, ...(checkpointKey && { checkpointKey }) });
      this.#count(`fork ${forked.outcome}`);
      if (forked.outcome === "pinned") {
        this.#truth.relied.set(id, forked.pin.pin.checkpoint);
      }
      // It may be there from before, of a process that died.
      if (forked.outcome === "taken") await unfork(store, id, options);
    }
  }

  async #read(store: ObjectStore): Promise<void> {
    for (let round = 0; round < 4; round++) {
      const keys = (await listCheckpoints(store)).map(({ key }) => key);
      const key = keys[this.#random.below(keys.length)];
      if (key === undefined) continue;
      const options = { ...this.#common(), storeAt: () => store, nowMs: this.#nowMs };
      const expiresMs = this.#nowMs + 10_000 * turnMs;
      const held = await holdCheckpoint(store, key, { ...options, expiresMs });
      this.#count("manifest" in held ? "held" : `hold ${held.outcome}`);
      if (!("manifest" in held)) continue;
      await download(store, held.manifest, { ...options, has: () => false, put: () => undefined });
      await held.release();
    }
  }

  /** Forks, joins, and publishes the branch's first manifest, through the whole bucket. */
  async #startBranch(bucket: ObjectStore): Promise<void> {
    const storeAt = (prefix: string) => withPrefix(bucket, prefix);
    const source = storeAt("db");
    const own = storeAt("branch");
    const options = { ...this.#common(), nowMs: this.#nowMs, storeAt };
    const forked = await fork(source, "branch", options);
    if (forked.outcome === "taken") await unfork(source, "branch", options);
    if (forked.outcome !== "pinned") return;
    const key = JSON.parse((await source.get("branches/branch"))?.bytes.toString() ?? "{}");
    const joined = await joinBranch(source, key.ancestor_checkpoint_key, {
      ...options,
      sourcePrefix: "db",
      ownPrefix: "branch",
      id: "branch",
    });
    if (joined.outcome !== "joined") {
      this.#truth.break(`a branch is ${joined.outcome}`);
      return;
    }
    const leader = { cluster: 8n, term: termOf(1000) };
    const published = await publishFirst(own, joined.checkpoint, leader, {
      ...options,
      lockTerm: () => Promise.resolve(1000),
    });
    if (published.outcome !== "published") return;
    this.#count("branch started");
    this.#isBranching = false;
    this.#truth.relied.set("started branch", published.manifest);
  }

  #common() {
    return { random: this.#random, clock: this.#clock, parallel: 2, tableMsMax: 60_000 };
  }

  /** Everybody ends; then gc leaves nothing that nobody needs. */
  async #calm(): Promise<void> {
    for (const process of this.#roles.keys()) if (!process.isDone) this.#turns.kill(process);
    await this.#turns.run(5000, () => this.#truth.check());
    for (const id of ["a0", "a1", "b0", "b1"]) {
      this.#truth.relied.delete(id);
      await unfork(this.#store, id, { random: this.#random, nowMs: this.#nowMs });
    }
    this.#turns.turn += 20_000;
    for (let round = 0; round < 3; round++) {
      const options = { retention: { keep: 1 }, graceMs: 0, attemptMsMax: 0, parallel: 2 };
      const random = this.#random;
      this.#note(await collect(this.#store, { ...options, random, nowMs: this.#nowMs }));
      this.#truth.check();
    }
    this.#truth.checkLeft(this.#nowMs);
  }
}

function unlessStore(error: unknown): undefined {
  if (error instanceof ObjectError || error instanceof CorruptionError) return undefined;
  throw error;
}
