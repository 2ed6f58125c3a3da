/**
 * The life of a log, from one seed: it is opened, written to, rotated and trimmed, with staging
 * while a sync runs, until the process or the machine dies; then again. After every start it must
 * hold what its logbook says.
 */
import { expect } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { DiskError } from "../../src/lib/disk.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf } from "../../src/model/revision.ts";
import { LogFailedError, LogFullError } from "../../src/wal/failure.ts";
import type { Log } from "../../src/wal/log.ts";
import { SimClock } from "../sim/clock.ts";
import { type DiskCall, PowerLossError, SimDisk, type SimDiskOptions } from "../sim/disk.ts";
import { entryOf, Logbook, openLog, randomValue } from "./logbook.ts";

/** What happens to a call of the disk: an error, or the end of process or power before or in it. */
export type Fate = "EIO" | "ENOSPC" | "EDQUOT" | "crash" | "crash inside" | undefined;

export interface LifeOptions {
  readonly seed: number;
  /** How many times the log is opened. */
  readonly starts: number;
  /** Decides about each call; `number` counts them over the whole life, from 1. */
  readonly fate?: (number: number, call: DiskCall) => Fate;
  /** Whether the machine loses power where it may, or only the process ever dies. */
  readonly losesPower?: boolean;
  /** A sync that is left out, as `sites` names it. */
  readonly skip?: string;
}

/** The calls of `sync` and `syncDirectory` that lives came by: "function: operation". */
export const sites = new Set<string>();

const limits = { segmentBytesMax: 4096, segmentAgeMsMax: 10_000 };
/** From where on room is made: some starts make it for every segment, some never. */
const spareFromBytes = [1, 1024, 8192];
const stepsMax = 12;

export class Life {
  readonly #options: LifeOptions;
  readonly #random: SeededRandom;
  readonly #clock = new SimClock();
  readonly #book = new Logbook();
  readonly #siteOf = new Map<number, string>();
  #disk: SimDisk;
  #applied = 0;
  #calls = 0;
  #dies: () => void = () => undefined;
  /** Of this start: a process that is dead takes no step more, even where nothing told it. */
  #process = { isDead: false };
  #diesInside = false;
  /** Whether the disk has failed in a way that the log may fail of, since this start. */
  #failed = false;
  #opened = false;
  #calm = false;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.#disk = new SimDisk(this.#hooks());
  }

  /** Calls of the disk so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Lives the whole life. Rejects when the log does not hold what it must. */
  async run(): Promise<void> {
    for (let start = 0; start < this.#options.starts; start++) await this.#start();
    this.#calm = true;
    const opened = await this.#open();
    this.#book.reopened(opened, this.#applied);
  }

  /** From one start of the process to its end. */
  async #start(): Promise<void> {
    this.#process = { isDead: false };
    const death = new Promise<"dead">((resolve) => {
      this.#dies = () => resolve("dead");
    });
    const ended = this.#work().catch((error) => {
      if (!isPowerLoss(error)) throw error;
    });
    await Promise.race([ended, death]);
    this.#book.crashed();
    const power = this.#options.losesPower === true && this.#random.below(3) > 0;
    this.#siteOf.clear();
    this.#failed = false;
    this.#opened = false;
    this.#diesInside = false;
    this.#disk = power
      ? this.#disk.powerLoss(this.#random, this.#hooks())
      : this.#disk.processCrash(this.#hooks());
  }

  #open() {
    return openLog(this.#disk, {
      limits: { ...limits, spareFromBytes: this.#spareFrom() },
      clock: this.#clock,
      random: this.#random,
      applied: this.#book.positionAt(this.#applied),
    });
  }

  #spareFrom(): number {
    return must(spareFromBytes[this.#random.below(spareFromBytes.length)], "one of them");
  }

  async #work(): Promise<void> {
    const process = this.#process;
    let log: Log;
    try {
      const opened = await this.#open();
      this.#book.reopened(opened, this.#applied);
      log = opened.log;
      this.#opened = true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      expect(this.#failed).toBe(true);
      return;
    }
    for (let step = this.#random.below(stepsMax); step >= 0 && !process.isDead; step--) {
      try {
        await this.#step(log);
      } catch (error) {
        if (error instanceof LogFailedError && !isPowerLoss(error.cause)) {
          expect(error.cause).toBeInstanceOf(DiskError);
          expect(this.#failed).toBe(true);
          expect(() => log.discard()).toThrow(LogFailedError);
          return;
        }
        throw error;
      }
    }
  }

  async #step(log: Log): Promise<void> {
    const random = this.#random;
    const choice = random.below(10);
    if (choice === 0) {
      await this.#clock.advance(random.below(20_000));
      await log.rotateIfOld().catch(unlessFull);
    } else if (choice === 1) {
      this.#applied += random.below(this.#book.acknowledged - this.#applied + 1);
      try {
        log.trim(indexOf(this.#applied));
      } catch (error) {
        unlessFull(error);
      }
    } else {
      this.#stage(log);
      try {
        await this.#book.sync(log, () => {
          if (random.below(2) === 0) this.#stage(log);
        });
      } catch (error) {
        unlessFull(error);
        this.#book.discard(log);
      }
    }
  }

  #stage(log: Log): void {
    for (let count = this.#random.below(3); count >= 0; count--) {
      const value = randomValue(this.#random, this.#random.below(900));
      this.#book.stage(log, entryOf(log.position.index + 1, value));
    }
  }

  #hooks(): SimDiskOptions {
    return {
      fault: (call) => {
        if (call.operation === "sync" || call.operation === "syncDirectory") {
          const site = siteOf(call);
          sites.add(site);
          this.#siteOf.set(call.number, site);
        }
        const fate = this.#calm ? undefined : this.#options.fate?.(++this.#calls, call);
        if (fate === "crash") this.#die();
        else if (fate === "crash inside") this.#diesInside = true;
        else if (fate !== undefined) this.#failed ||= !(this.#opened && mayGoOn(fate, call));
        return fate?.startsWith("crash") ? undefined : fate;
      },
      delay: async () => {
        for (let turns = this.#random.below(3); turns >= 0; turns--) await Promise.resolve();
        if (this.#diesInside) this.#die();
      },
      skipSync: ({ number }) =>
        this.#options.skip !== undefined && this.#siteOf.get(number) === this.#options.skip,
    };
  }

  #die(): void {
    this.#diesInside = false;
    this.#process.isDead = true;
    this.#disk.unplug();
    this.#dies();
  }
}

/** Whether a log that was opened must survive this. */
function mayGoOn(fate: Fate, { operation }: DiskCall): boolean {
  const changes = ["create", "remove", "rename", "write"].includes(operation);
  return fate !== "EIO" && changes;
}

function unlessFull(error: unknown): void {
  if (!(error instanceof LogFullError)) throw error;
}

function isPowerLoss(error: unknown): boolean {
  if (error instanceof LogFailedError) return isPowerLoss(error.cause);
  return error instanceof PowerLossError;
}

/** The function of ours that makes this call, as the stack tells it. */
function siteOf({ operation }: DiskCall): string {
  const frames = (new Error("where").stack ?? "").split("\n");
  const ours = frames.find((frame) => frame.includes("/src/"));
  const [, name] = /at (?:async )?(\S+) \(/.exec(ours ?? "") ?? [];
  return `${name}: ${operation}`;
}
