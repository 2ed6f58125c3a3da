import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import { includes } from "../../src/model/range.ts";
import type { WatchRequest } from "../../src/mvcc/watcher.ts";
import { amount, seedsUpTo, tryEach } from "../support/effort.ts";
import { Commands } from "./commands.ts";
import type { ModelEvent } from "./model.ts";
import { plainEvent, Rig } from "./rig.ts";

const seeds = seedsUpTo(amount(60, 12, 2000));
const steps = 400;

test(`${seeds.length} random histories of ${steps} steps answer as the model does, over crashes and compaction`, async () => {
  await tryEach(seeds, import.meta.path, walk);
}, 600_000);

async function walk(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const commands = new Commands(random);
  const rig = new Rig(random);
  await rig.open();
  for (let step = 0; step < steps; step++) {
    const { revision } = rig.model;
    const pick = random.below(100);
    if (pick < 60) rig.run(commands.command(revision));
    else if (pick < 80) rig.query(commands.query(revision));
    else if (pick < 93) rig.apply(random.below(6));
    else if (pick < 94) rig.forget();
    else if (pick < 96) {
      rig.applyAll();
      rig.seal();
      if (random.below(2) === 0) await rig.tree.flushed();
    } else if (pick < 97) {
      rig.applyAll();
      rig.seal();
      await rig.tree.major();
    } else if (pick < 98) {
      rig.applyAll();
      await rig.crash();
    } else await new SystemTurn().pass();
  }
  await rig.close();
}

class SystemTurn {
  pass(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}

test("watchers see every change from where they start, once, in order, whole revisions at a time", async () => {
  await tryEach(seeds, import.meta.path, watchWalk);
}, 600_000);

async function watchWalk(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const commands = new Commands(random);
  const rig = new Rig(random);
  await rig.open();
  const watches: Watch[] = [];
  for (let step = 0; step < 250; step++) {
    const pick = random.below(100);
    if (pick < 60) rig.run(commands.command(rig.model.revision));
    else if (pick < 75) rig.apply(random.below(8));
    else if (pick < 85) watches.push(new Watch(rig, random, commands));
    else if (pick < 92) rig.catchUp();
    else {
      const watch = watches[random.below(watches.length)];
      watch?.drain(random.below(4));
    }
    const ranges = watches.flatMap((watch) => watch.range ?? []);
    expect(rig.store.watchers.rangeCount).toBe(new Set(ranges).size);
  }
  rig.applyAll();
  for (let quiet = false; !quiet; ) {
    rig.catchUp();
    quiet = watches.map((watch) => watch.drain(Infinity)).every((taken) => taken === 0);
  }
  for (const watch of watches) watch.verify();
  await rig.close();
}

class Watch {
  readonly #rig: Rig;
  readonly #request: WatchRequest;
  readonly #from: number;
  readonly #seen: ModelEvent[] = [];
  readonly #watcher;
  #compacted: number | undefined;
  #lastRevision = 0;

  constructor(rig: Rig, random: SeededRandom, commands: Commands) {
    this.#rig = rig;
    const { revision } = rig.store;
    const start = random.below(3) === 0 ? 0 : Math.max(1, revision - random.below(20) + 3);
    this.#request = {
      range: commands.range(),
      startRevision: start,
      previous: random.below(2) === 0,
      noPut: random.below(6) === 0,
      noDelete: random.below(6) === 0,
    };
    this.#from = start === 0 ? revision + 1 : start;
    this.#watcher = rig.store.watchers.watch(this.#request, () => undefined);
  }

  /** What it watches, as text; undefined once it has ended. */
  get range(): string | undefined {
    return this.#watcher.state === "ended" ? undefined : JSON.stringify(this.#request.range);
  }

  /** Takes up to `most` notices; returns how many there were. */
  drain(most: number): number {
    let taken = 0;
    while (taken < most) {
      const notice = this.#rig.store.watchers.take(this.#watcher);
      if (notice === undefined) break;
      taken++;
      if (notice.kind === "compacted") {
        this.#compacted = notice.floor;
        continue;
      }
      const revisions = notice.events.map((event) =>
        event.type === "put" ? event.kv.modRevision : event.modRevision,
      );
      const first = revisions[0] as number;
      expect(first).toBeGreaterThan(this.#lastRevision);
      this.#lastRevision = revisions.at(-1) as number;
      expect(notice.revision).toBeGreaterThanOrEqual(this.#lastRevision);
      this.#seen.push(...notice.events.map(plainEvent));
    }
    return taken;
  }

  verify(): void {
    const { model } = this.#rig;
    const expected = model.events
      .slice(this.#from)
      .flat()
      .filter((event) => {
        const key = event.type === "put" ? event.pair.key : event.key;
        if (!includes(this.#request.range, key)) return false;
        return event.type === "put" ? !this.#request.noPut : !this.#request.noDelete;
      });
    const shown = this.#compacted === undefined ? expected : expected.slice(0, this.#seen.length);
    expect(this.#seen.map(withoutPrevious)).toEqual(shown.map(withoutPrevious));
    for (const [at, event] of this.#seen.entries()) {
      const wanted = this.#request.previous ? shown[at]?.previous : undefined;
      // What was before may have been compacted away by the time history was read.
      if (event.previous !== undefined || !wanted) expect(event.previous).toEqual(wanted);
    }
  }
}

function withoutPrevious(event: ModelEvent): ModelEvent {
  return { ...event, previous: undefined };
}
