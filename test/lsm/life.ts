/**
 * The life of a tree, from one seed: it is opened, written to, sealed, merged and read, until the
 * process or the machine dies; then again. After every start it must hold exactly what the model
 * held at the position that the tree says is durable.
 */
import { expect } from "bun:test";
import { bytesOf } from "../../src/lib/bytes.ts";
import { DiskError } from "../../src/lib/disk.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Tree } from "../../src/lsm/tree.ts";
import { SimClock } from "../sim/clock.ts";
import { type DiskCall, PowerLossError, SimDisk, type SimDiskOptions } from "../sim/disk.ts";
import { Model, newestOf, schemaOf, versionKey, versionPrefix, visible } from "./model.ts";
import { openTree, type Position, textOf, valueText } from "./rig.ts";

/** What happens to a call of the disk: an error, or the end of process or power before or in it. */
export type Fate = "EIO" | "ENOSPC" | "crash" | "crash inside" | undefined;

export interface LifeOptions {
  readonly seed: number;
  /** How many times the tree is opened. */
  readonly starts: number;
  /** Steps of one start, at most. */
  readonly steps: number;
  /** Decides about each call of the disk. */
  readonly fate?: (call: DiskCall) => Fate;
  /** Whether the machine loses power where it may, or only the process ever dies. */
  readonly losesPower?: boolean;
  /** A sync that is left out, as `sites` names it. */
  readonly skip?: string;
  /** Whether each start that lives to its last step flushes, merges and closes, not one in four. */
  readonly finishes?: boolean;
}

/** The calls of `sync` and `syncDirectory` that lives came by: "function: operation". */
export const sites = new Set<string>();

/** The process or the machine has died: whoever does something now is not there any more. */
class DeathError extends Error {}

export class Life {
  readonly #options: LifeOptions;
  readonly #random: SeededRandom;
  readonly #clock = new SimClock();
  readonly #model = new Model();
  readonly #siteOf = new Map<number, string>();
  #disk: SimDisk;
  #position = 0;
  /** The durable position that the tree told of last. */
  #promised = 0;
  #dies: (error: Error) => void = () => undefined;
  #diesInside = false;
  /** What the tree gave up for. */
  #fatal: unknown;
  /** Whether the disk has failed in a way that the tree may give up for, in this start. */
  #mayFail = false;
  /** The tree of this start, once it is open. */
  #tree: Tree<Position> | undefined;
  #calm = false;
  calls = 0;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#disk = new SimDisk(this.#hooks());
  }

  /** Lives the whole life. Rejects when the tree does not hold what it must. */
  async run(): Promise<void> {
    for (let start = 0; start < this.#options.starts; start++) await this.#start();
    this.#calm = true;
    const tree = await this.#open();
    await this.#finish(tree);
  }

  /** From one start of the process to its end. */
  async #start(): Promise<void> {
    const death = new Promise<never>((_, reject) => {
      this.#dies = reject;
    });
    try {
      const work = this.#work();
      // The one that lost the race has nobody who listens.
      work.catch(() => undefined);
      await Promise.race([work, death]);
    } catch (error) {
      if (!(error instanceof DeathError || this.#isExpected(error))) throw error;
    }
    this.#crash();
  }

  #isExpected(error: unknown): boolean {
    if (error instanceof PowerLossError) return true;
    return this.#mayFail && (error === this.#fatal || error instanceof DiskError);
  }

  #crash(): void {
    this.calls += this.#disk.calls;
    const power = this.#options.losesPower === true && this.#random.below(3) > 0;
    this.#siteOf.clear();
    this.#mayFail = false;
    this.#tree = undefined;
    this.#fatal = undefined;
    this.#diesInside = false;
    this.#disk = power
      ? this.#disk.powerLoss(this.#random, this.#hooks())
      : this.#disk.processCrash(this.#hooks());
  }

  async #work(): Promise<void> {
    const tree = await this.#open();
    for (let step = this.#random.below(this.#options.steps); step >= 0; step--) {
      await this.#step(tree);
      if (this.#fatal !== undefined) throw this.#fatal;
    }
    const finishes = this.#random.below(4) === 0 || this.#options.finishes === true;
    if (finishes) await this.#finish(tree);
  }

  /** Opens the tree and holds it against the model at the position it says. */
  async #open(): Promise<Tree<Position>> {
    const disk = this.#disk;
    const tree = await openTree(disk, {
      clock: this.#clock,
      random: this.#random,
      schema: schemaOf({
        floor: () => this.#model.floor,
        wantsMajor: () => this.#random.below(20) === 0,
      }),
      fatal: (error) => {
        // A process that died cannot complain.
        if (disk === this.#disk) this.#fatal = error;
      },
      onDurable: ({ at }) => {
        if (disk === this.#disk) this.#promised = at;
      },
    });
    if (disk !== this.#disk) throw new DeathError();
    const at = tree.durable?.at ?? 0;
    expect(at).toBeGreaterThanOrEqual(this.#promised);
    this.#promised = at;
    this.#position = at;
    this.#model.restore(at);
    this.#compare(tree);
    this.#tree = tree;
    return tree;
  }

  async #step(tree: Tree<Position>): Promise<void> {
    this.#mustLive(tree);
    const random = this.#random;
    const model = this.#model;
    const choice = random.below(100);
    if (choice < 70) this.#write(tree);
    else if (choice < 74) this.#readOne(tree);
    else if (choice < 76) this.#scan(tree);
    else if (choice < 77) await this.#readNewest(tree);
    else if (choice < 79) model.floor = Math.max(model.floor, model.version - random.below(60));
    else if (choice < 81) this.#seal(tree);
    else if (choice < 94) await this.#pass(tree, random.below(6));
    else if (choice < 96) await this.#settled(tree, tree.flushed());
    else if (choice < 97) await this.#settled(tree, tree.major());
    else if (choice < 98) tree.reconsider();
    else if (choice < 99) await this.#walk(tree);
    else this.#compare(tree);
    if (tree.isFull) {
      this.#seal(tree);
      await this.#settled(tree, tree.room());
    }
  }

  /** Up to 40 rows of one kind. */
  #write(tree: Tree<Position>): void {
    const random = this.#random;
    const kind = random.below(10);
    for (let count = random.below(40); count >= 0; count--) {
      if (kind < 4) this.#put(tree, this.#plainKey(), this.#value());
      else if (kind < 5) this.#delete(tree, this.#plainKey());
      else {
        const family = kind < 9 ? "v" : "w";
        const value = family === "v" && random.below(5) === 0 ? "" : `${this.#value()}.`;
        const name = this.#name(family);
        this.#put(tree, versionKey(name, ++this.#model.version), value);
        if (family === "w") this.#deleteVersion(tree, this.#name("w"));
      }
    }
  }

  #put(tree: Tree<Position>, key: string, value: string): void {
    const cut = this.#random.below(value.length + 1);
    const tail = value.slice(cut);
    if (tail === "") tree.put(key, bytesOf(value));
    else tree.put(key, bytesOf(value.slice(0, cut)), bytesOf(tail));
    this.#model.put(key, value);
  }

  #delete(tree: Tree<Position>, key: string): void {
    tree.delete(key);
    this.#model.delete(key);
  }

  #deleteVersion(tree: Tree<Position>, name: string): void {
    const found = this.#model.first(name, this.#random.below(this.#model.version + 1));
    if (found !== undefined && this.#random.below(3) === 0) this.#delete(tree, found[0]);
  }

  #seal(tree: Tree<Position>): void {
    this.#position += 1 + this.#random.below(3);
    this.#model.seal(this.#position);
    tree.seal({ at: this.#position });
  }

  #readOne(tree: Tree<Position>): void {
    const random = this.#random;
    const model = this.#model;
    for (let count = 0; count < 8; count++) {
      const key = this.#plainKey();
      const value = tree.get(key);
      expect(value && textOf(value)).toBe(model.rows.get(key));
      const name = this.#name(random.below(2) === 0 ? "v" : "w");
      const version = Math.max(model.floor, random.below(model.version + 20));
      const from = versionKey(name, version);
      const prefix = versionPrefix(name);
      const found = tree.first(from, prefix.length);
      const rows: [string, string][] = found ? [[found.key, valueText(found)]] : [];
      expect(visible(rows, model.floor)[0]).toEqual(model.first(name, version));
    }
  }

  #scan(tree: Tree<Position>): void {
    const [from = "", to = ""] = [this.#plainKey(), this.#plainKey()].sort();
    const rows = tree.scan(from, to);
    const expected = this.#model.visible().filter(([key]) => key >= from && key < to);
    for (const pair of expected) {
      expect(rows.next()).toBe(true);
      expect([rows.key, textOf(rows.value())]).toEqual(pair);
      if (this.#random.below(8) > 0) continue;
      const target = this.#plainKey();
      rows.seek(target);
      const next = expected.find(([each]) => each >= target);
      expect(rows.next()).toBe(next !== undefined);
      if (next !== undefined) expect(rows.key).toBe(next[0]);
      rows.seek(`${pair[0]}\0`);
    }
    expect(rows.next()).toBe(false);
  }

  /** A scan that lives on while the tree is written to. */
  async #walk(tree: Tree<Position>): Promise<void> {
    const rows = tree.scan("p", "q");
    const seen: string[] = [];
    while (rows.next()) {
      const value = this.#model.rows.get(rows.key);
      expect([rows.key, textOf(rows.value())]).toEqual([rows.key, `${value}`]);
      seen.push(rows.key);
      if (this.#random.below(3) === 0) this.#put(tree, this.#plainKey(), this.#value());
      if (this.#random.below(10) === 0) await this.#pass(tree, 1);
    }
    expect(seen).toEqual([...new Set(seen)].sort());
  }

  /**
   * The newest versions up to one, read from the fronts while those are enough for it, and while the
   * tree is written to, flushed and merged: they are those of the moment it began.
   */
  async #readNewest(tree: Tree<Position>): Promise<void> {
    const random = this.#random;
    const model = this.#model;
    const version =
      random.below(3) > 0 ? model.version : Math.max(model.floor, random.below(model.version + 1));
    const expected = model.newest(version);
    const isPaused = random.below(2) === 0;
    const tabled = () => model.versionAt(tree.durable?.at ?? 0);
    const rows = tree.scanFronts("v", "w", () => tabled() <= version);
    const found: [string, string][] = [];
    for (const row of newestOf(rows, version, () => random.below(2) === 0)) {
      found.push(row);
      if (isPaused && random.below(4) === 0) await this.#disturb(tree);
    }
    expect(found).toEqual(expected);
  }

  /** Later versions, which are in the tables soon. */
  async #disturb(tree: Tree<Position>): Promise<void> {
    for (let count = this.#random.below(20); count >= 0; count--) {
      this.#put(tree, versionKey(this.#name("v"), ++this.#model.version), this.#value());
    }
    if (this.#random.below(3) > 0) return;
    this.#seal(tree);
    if (this.#random.below(3) === 0) await this.#pass(tree, this.#random.below(8));
    else await this.#settled(tree, tree.flushed());
  }

  /** Everything there is, row by row. */
  #compare(tree: Tree<Position>): void {
    const found: [string, string][] = [];
    for (const rows = tree.scan(""); rows.next(); ) found.push([rows.key, textOf(rows.value())]);
    expect(visible(found, this.#model.floor)).toEqual(this.#model.visible());
  }

  /** Flushes, merges, reads, checks and closes. */
  async #finish(tree: Tree<Position>): Promise<void> {
    this.#seal(tree);
    await this.#settled(tree, tree.major());
    this.#compare(tree);
    expect(tree.durable).toEqual({ at: this.#position });
    expect(await this.#settled(tree, tree.check())).toEqual([]);
    await this.#settled(tree, tree.close());
    if (this.#fatal !== undefined) throw this.#fatal;
  }

  /** Waits for `work` while time passes, so that what is retried is. */
  async #settled<T>(tree: Tree<Position>, work: Promise<T> | undefined): Promise<T | undefined> {
    if (work === undefined) return undefined;
    let isOpen = true;
    const done = work.finally(() => {
      isOpen = false;
    });
    // Whoever waits for `done` is told.
    done.catch(() => undefined);
    while (isOpen) await this.#pass(tree, 1, 1000);
    const result = await done;
    this.#mustLive(tree);
    return result;
  }

  async #pass(tree: Tree<Position>, turns: number, milliseconds = 0): Promise<void> {
    for (let turn = 0; turn <= turns; turn++) {
      await this.#clock.advance(milliseconds);
      await this.#clock.yield();
      this.#mustLive(tree);
    }
  }

  /** Whoever has died while it waited does not go on: a later start has the model now. */
  #mustLive(tree: Tree<Position>): void {
    if (tree !== this.#tree) throw new DeathError();
  }

  #plainKey(): string {
    const random = this.#random;
    const key = `p${String.fromCharCode(random.below(3) * 127)}${random.below(60)}`;
    return random.below(50) === 0 ? key.padEnd(300, "x") : key;
  }

  #name(family: "v" | "w"): string {
    return `${family}${"name".slice(0, this.#random.below(4))}${this.#random.below(12)}`;
  }

  #value(): string {
    const random = this.#random;
    const length = random.below(40) === 0 ? random.below(3000) : random.below(30);
    return String.fromCharCode(random.below(256)).repeat(length);
  }

  #hooks(): SimDiskOptions {
    return {
      fault: (call) => {
        if (call.operation === "sync" || call.operation === "syncDirectory") {
          const site = siteOf(call);
          sites.add(site);
          this.#siteOf.set(call.number, site);
        }
        const fate = this.#calm ? undefined : this.#options.fate?.(call);
        if (fate === "crash") this.#die();
        else if (fate === "crash inside") this.#diesInside = true;
        else if (fate !== undefined)
          this.#mayFail ||= !(this.#tree !== undefined && mayGoOn(fate, call));
        return fate?.startsWith("crash") ? undefined : fate;
      },
      delay: async () => {
        for (let turns = this.#random.below(3); turns >= 0; turns--) await this.#clock.yield();
        if (this.#diesInside) this.#die();
      },
      skipSync: ({ number }) =>
        this.#options.skip !== undefined && this.#siteOf.get(number) === this.#options.skip,
    };
  }

  #die(): void {
    this.#diesInside = false;
    this.#disk.unplug();
    this.#dies(new DeathError());
  }
}

/** Whether a tree that was opened must survive this. */
function mayGoOn(fate: Fate, call: DiskCall): boolean {
  // After this one it is not known which manifest the disk would come back with.
  return fate === "ENOSPC" && siteOf(call) !== "replaceWhole: syncDirectory";
}

/** The function of ours that makes this call, as the stack tells it. */
function siteOf({ operation }: DiskCall): string {
  const frames = (new Error("where").stack ?? "").split("\n");
  const ours = frames.find((frame) => frame.includes("/src/"));
  const [, name] = /at (?:async )?(\S+) \(/.exec(ours ?? "") ?? [];
  return `${name}: ${operation}`;
}
