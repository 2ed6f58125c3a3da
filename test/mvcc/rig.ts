/**
 * A store on a simulated disk, with a log that never forgets, beside the plain model of it. Whatever
 * one is told the other is told, and every answer is compared.
 */
import { expect } from "bun:test";
import { SystemClock } from "../../src/lib/clock.ts";
import { silent } from "../../src/lib/logger.ts";
import { noHistogram } from "../../src/lib/meter.ts";
import type { Random } from "../../src/lib/random.ts";
import { Tree } from "../../src/lsm/tree.ts";
import type { Command, RangeQuery } from "../../src/model/command.ts";
import type { Entry } from "../../src/model/entry.ts";
import type { Event, KeyValue } from "../../src/model/event.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { OperationReply, RangeReply, Reply } from "../../src/model/reply.ts";
import { indexOf, termOf } from "../../src/model/revision.ts";
import { checkStore } from "../../src/mvcc/check.ts";
import { readRange } from "../../src/mvcc/range.ts";
import { schemaOf } from "../../src/mvcc/schema.ts";
import { emptyState, Store, type StoreState } from "../../src/mvcc/store.ts";
import { PowerLossError, SimDisk } from "../sim/disk.ts";
import { Model, type ModelEvent, type ModelPair, type ModelReply, text } from "./model.ts";

interface Durable extends StoreState {
  readonly index: number;
}

export class Rig {
  readonly model = new Model();
  readonly #random: Random;
  #disk = new SimDisk();
  #tree: Tree<Durable> | undefined;
  #store: Store | undefined;
  readonly #log: Entry[] = [];
  /** For each entry of the log, what makes the model as it was before. */
  readonly #marks: (() => void)[] = [];
  #applied = 0;
  #behind = false;
  failure: unknown;

  constructor(random: Random) {
    this.#random = random;
  }

  get store(): Store {
    return this.#store as Store;
  }

  get tree(): Tree<Durable> {
    return this.#tree as Tree<Durable>;
  }

  /** Calls of the disk so far. */
  get diskCalls(): number {
    return this.#disk.calls;
  }

  /** Opens tree and store, and replays what the tree does not hold. */
  async open(): Promise<void> {
    this.#tree = await Tree.open<Durable>({
      disk: this.#disk,
      directory: "/db",
      clock: new SystemClock(),
      random: this.#random,
      logger: silent,
      limits: {
        memtableBytesMax: 4096,
        sealedMax: 2,
        cacheBytesMax: 16_384,
        blockBytes: 256,
        tableBytesMax: 8192,
        sliceMsMax: 1,
        fanout: 3,
      },
      meters: { flushSeconds: noHistogram, mergeSeconds: noHistogram },
      schema: schemaOf(() => this.#store?.keptFrom ?? -1),
      fatal: (error) => {
        // What runs on a disk without power is dead and does not count.
        if (!(error instanceof PowerLossError)) this.failure = error;
      },
    });
    this.#store = new Store({
      tree: this.#tree,
      state: this.#tree.durable ?? emptyState,
      tabledRevision: () => this.#tree?.durable?.revision ?? 0,
      watchLimits: { watcherBytesMax: 4000, totalBytesMax: 16_000, sliceRowsMax: 16 },
      wakeWatchers: () => {
        this.#behind = true;
      },
      leaseChanged: () => undefined,
    });
    this.#applied = this.#tree.durable?.index ?? 0;
    this.applyAll();
  }

  /** Runs a command on both, and compares the replies. It stays pending until it is applied. */
  run(command: Command): void {
    const { action, reply, revision } = this.store.decide(command);
    const mark = this.model.mark();
    const expected = this.model.run(command);
    expect(plainReply(reply)).toEqual(expected);
    if (action === undefined) return;
    const entry: Entry = {
      index: indexOf(this.#log.length + 1),
      term: termOf(1),
      revision,
      action,
    };
    this.#log.push(entry);
    this.#marks.push(mark);
    this.store.pend(entry);
  }

  /** What is decided and not applied is dropped, as when the log's disk is full. */
  forget(): void {
    this.store.forget();
    this.#marks[this.#applied]?.();
    this.#log.length = this.#applied;
    this.#marks.length = this.#applied;
  }

  /** Applies up to `most` pending entries. */
  apply(most: number): void {
    for (let left = most; left > 0 && this.#applied < this.#log.length; left--) {
      this.store.apply(this.#log[this.#applied++] as Entry);
    }
    if (this.tree.isFull) this.seal();
  }

  applyAll(): void {
    this.apply(Infinity);
  }

  seal(): void {
    this.tree.seal({ ...this.store.state, index: this.#applied });
  }

  /** Compares a range, which sees applied entries only. */
  query(query: RangeQuery): void {
    this.applyAll();
    const { revision } = query;
    let reply: RangeReply | Refusal;
    if (revision > this.store.revision) reply = new Refusal("futureRevision");
    else if (revision > 0 && revision < this.store.floor) reply = new Refusal("compacted");
    else {
      const at = revision > 0 ? revision : this.store.revision;
      reply = readRange(query, this.store.at(at), this.store.revision);
    }
    expect(plainReply(reply)).toEqual(this.model.range(query));
  }

  /** Feeds watchers that are behind until none can be fed any further. */
  catchUp(): void {
    while (this.#behind) {
      this.#behind = false;
      while (this.store.watchers.catchUp(() => false) !== undefined);
    }
  }

  /** The process or the machine dies and starts again. What was decided and not applied is lost. */
  async crash(): Promise<void> {
    const lost = this.#log.length - this.#applied;
    expect(lost).toBe(0);
    this.#disk =
      this.#random.below(2) === 0 ? this.#disk.processCrash() : this.#disk.powerLoss(this.#random);
    this.#store = undefined;
    await this.open();
  }

  /** Walks everything and closes. */
  async close(): Promise<void> {
    this.applyAll();
    expect(checkStore(this.store, this.tree)).toEqual([]);
    expect(await this.tree.check()).toEqual([]);
    await this.tree.close();
    expect(this.failure).toBeUndefined();
  }
}

export function plainPair(pair: KeyValue): ModelPair {
  return {
    key: pair.key,
    value: text(pair.value),
    create: pair.createRevision,
    mod: pair.modRevision,
    version: pair.version,
    lease: pair.lease,
  };
}

export function plainEvent(event: Event): ModelEvent {
  const previous = event.previous && plainPair(event.previous);
  if (event.type === "put") return { type: "put", pair: plainPair(event.kv), previous };
  return { type: "delete", key: event.key, mod: event.modRevision, previous };
}

/** A reply as the model gives it. */
export function plainReply(reply: Reply | OperationReply | Refusal): ModelReply {
  if (reply instanceof Refusal) return reply.kind;
  switch (reply.kind) {
    case "range":
      return { ...reply, kvs: reply.kvs.map(plainPair) };
    case "put":
      return { ...reply, previous: reply.previous && plainPair(reply.previous) };
    case "deleteRange":
      return { ...reply, previous: reply.previous.map(plainPair) };
    case "txn":
      return { ...reply, responses: reply.responses.map(plainReply) };
    default:
      return { ...reply };
  }
}
