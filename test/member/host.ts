/**
 * The machine one process of a member runs on: its disk and its clock, and what goes wrong with
 * them. Fates are dealt out at the calls of the disk: an errno, or the end of the process, before
 * the call or inside a sync.
 */
import { crc32 } from "../../src/lib/checksum.ts";
import type { Random } from "../../src/lib/random.ts";
import { SimClock } from "../sim/clock.ts";
import type { DiskCall, SimDisk, SimDiskOptions } from "../sim/disk.ts";
import { Earliest } from "./earliest.ts";
import { syncSiteOf } from "./sites.ts";

/** What happens to a call of the disk; any other string is the errno it fails with. */
export type Fate = "crash" | "crash inside" | (string & {}) | undefined;

/** The state of a whole life that its machines share. */
export interface Fortune {
  /** Calls of the disk so far. */
  calls: number;
  /** CRC of everything that happened. */
  trace: number;
  /** Decides about a call; `number` counts over the whole life, from 1. */
  readonly fate: (call: DiskCall, number: number) => Fate;
  /** A sync, as syncSiteOf names it. */
  readonly site?: string | undefined;
  /** Called when that sync is to be carried out: false leaves it out. */
  readonly isDone: () => boolean;
}

/** How much simulated time anything may take before it counts as hanging. */
const patienceMs = 120_000;

export class Host {
  readonly clock: SimClock;
  readonly #fortune: Fortune;
  readonly #random: Random;
  /** Calls of the site that the life is about. */
  readonly #marked = new Set<number>();
  readonly #death = Promise.withResolvers<"dead">();
  #disk: SimDisk | undefined;
  #diesInside = false;
  /** The process is gone. */
  isDead = false;
  /** The calls of the disk before the member was open; undefined when it never was. */
  wasOpenAt: number | undefined;
  /** Nothing goes wrong any more. */
  isCalm = false;
  /** Calls that were made to fail. */
  readonly faults: (DiskCall & { readonly code: string })[] = [];
  readonly leases = new Earliest();
  /** What the member called fatal, while it lived. */
  readonly fatals: unknown[] = [];

  constructor(fortune: Fortune, random: Random) {
    this.#fortune = fortune;
    this.#random = random;
    const wallMs = Date.UTC(2026, 0, 1) + random.below(1_000_000);
    this.clock = new SimClock(wallMs, [0, 0.05, 0.3][random.below(3)]);
  }

  get death(): Promise<"dead"> {
    return this.#death.promise;
  }

  get disk(): SimDisk {
    if (this.#disk === undefined) throw new Error("a disk is attached first");
    return this.#disk;
  }

  /** Gives it the disk that was made with `hooks`. */
  attach(disk: SimDisk): void {
    this.#disk = disk;
  }

  /** What the disk of this host is made with. */
  hooks(): SimDiskOptions {
    return {
      fault: (call) => this.#judge(call),
      delay: async () => {
        for (let turns = this.#random.below(4); turns > 0; turns--) await this.clock.yield();
        if (this.#diesInside) this.die();
      },
      skipSync: ({ number }) => {
        return this.#marked.delete(number) && !this.#fortune.isDone();
      },
    };
  }

  /** Adds to the trace. */
  note(line: string): void {
    this.#fortune.trace = crc32(Buffer.from(line), this.#fortune.trace);
  }

  /** Takes what the member calls fatal. */
  readonly fatal = (error: unknown): void => {
    if (!this.isDead) this.fatals.push(error);
  };

  die(): void {
    this.isDead = true;
    this.disk.unplug();
    this.#death.resolve("dead");
  }

  /** Waits for `work` while time passes. Never settles on a dead host; rejects when it hangs. */
  async settled<T>(work: Promise<T>): Promise<T> {
    let isOpen = true;
    const done = work.finally(() => {
      isOpen = false;
    });
    // Whoever waits for `done` is told; on a dead host nobody does.
    done.catch(() => undefined);
    const end = this.clock.now() + patienceMs;
    while (isOpen && !this.isDead) {
      if (this.clock.now() > end) throw new Error("it hangs");
      await this.clock.advance(this.#random.below(200));
      await this.clock.yield();
    }
    if (this.isDead) await new Promise<never>(() => undefined);
    return await done;
  }

  #judge(call: DiskCall): string | undefined {
    const fortune = this.#fortune;
    const isSync = call.operation === "sync" || call.operation === "syncDirectory";
    if (isSync && fortune.site !== undefined && syncSiteOf(call) === fortune.site) {
      this.#marked.add(call.number);
    }
    this.note(`${call.operation} ${call.path}`);
    const number = ++fortune.calls;
    const fate = this.isCalm ? undefined : fortune.fate(call, number);
    if (fate === undefined) return undefined;
    if (fate === "crash") this.die();
    else if (fate === "crash inside") this.#diesInside = true;
    else {
      this.faults.push({ ...call, code: fate });
      return fate;
    }
    return undefined;
  }
}
