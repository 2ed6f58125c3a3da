/**
 * A bucket between a member and its objects that does what buckets do: loses answers, carries out
 * requests late or twice, refuses, takes its time. What happens to a call is decided by a plan (from
 * a seed), by a script (the next call of this kind on that key), or by the test while it is held.
 *
 *   none       carried out, answered
 *   lost       carried out; the caller is told nobody knows
 *   late       the caller is told nobody knows; a write is carried out when the test says (`late`)
 *   twice      carried out, answered; a write once more when the test says (`late`)
 *   again      carried out twice, as by a client library's retry; the second answer is given
 *   conflict   not carried out: another call ran at the same time
 *   throttled  not carried out: slow down
 *   timeout    not carried out; the caller is told nobody knows
 *   slow       carried out after some time
 *   held       waits until the test lets it go, with one of the others (`held`)
 */
import type { Clock } from "../../src/lib/clock.ts";
import type { Random } from "../../src/lib/random.ts";
import {
  type CallOptions,
  type ListPage,
  ObjectError,
  type ObjectStore,
  type ObjectVersions,
  type StoredObject,
} from "../../src/object/store.ts";

export const faults = [
  "none",
  "lost",
  "late",
  "twice",
  "again",
  "conflict",
  "throttled",
  "timeout",
  "slow",
  "held",
] as const;

export type Fault = (typeof faults)[number];

export type Operation =
  | "get"
  | "getIfChanged"
  | "put"
  | "putIfAbsent"
  | "putIfMatch"
  | "delete"
  | "list";

const writes: readonly Operation[] = ["put", "putIfAbsent", "putIfMatch", "delete"];

export interface StoreCall {
  readonly operation: Operation;
  /** The key; of a list, the prefix. */
  readonly key: string;
  readonly isWrite: boolean;
}

/** A call that waits for the test. */
export interface HeldCall extends StoreCall {
  /** Lets it go; resolves when it has had its effect, before its caller acts on the answer. */
  readonly go: (fault?: Exclude<Fault, "held">) => Promise<void>;
}

/** A write whose caller has its answer, or none, and that is still to be carried out. */
export interface LateCall extends StoreCall {
  readonly execute: () => Promise<void>;
}

export interface FaultyStoreOptions {
  /** Decides about each call that is in no script; "none" unless told otherwise. */
  readonly plan?: (call: StoreCall) => Fault;
  /** For calls that are slow. */
  readonly clock?: Clock;
  readonly slowMs?: number;
}

/** A plan that gives one call in `oneIn` one of `among`, by chance. */
export function chance(
  random: Random,
  oneIn: number,
  among: readonly Fault[],
): (call: StoreCall) => Fault {
  return () => (random.below(oneIn) === 0 ? (among[random.below(among.length)] ?? "none") : "none");
}

export class FaultyStore implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions | undefined;
  /** Calls that wait to be let go, the oldest first. */
  readonly held: HeldCall[] = [];
  /** Writes that are still to be carried out, the oldest first. */
  readonly late: LateCall[] = [];
  /** How often each fault has happened to each operation: "operation fault". */
  readonly counts = new Map<string, number>();
  readonly #inner: ObjectStore;
  readonly #options: FaultyStoreOptions;
  readonly #script: { operation: Operation; key: string; fault: Fault }[] = [];
  #dead = false;

  constructor(inner: ObjectStore, options: FaultyStoreOptions = {}) {
    this.address = inner.address;
    this.versions = inner.versions;
    this.#inner = inner;
    this.#options = options;
  }

  /** The next call of `operation` on `key` that no earlier line of the script takes has `fault`. */
  next(operation: Operation, key: string, fault: Fault): void {
    this.#script.push({ operation, key, fault });
  }

  /** The caller is no more: no call is answered again. What is held or late may still happen. */
  die(): void {
    this.#dead = true;
  }

  /** Carries out the oldest late write on `key`; there must be one. */
  async executeLate(key: string): Promise<void> {
    const call = this.late.find((each) => each.key === key);
    if (call === undefined) throw new Error(`nothing on ${key} is late`);
    await call.execute();
  }

  /** Lets go the oldest held call of `operation` on `key`; there must be one. */
  async letGo(
    operation: Operation,
    key: string,
    fault: Exclude<Fault, "held"> = "none",
  ): Promise<void> {
    const call = this.held.find((each) => each.operation === operation && each.key === key);
    if (call === undefined) throw new Error(`no ${operation} of ${key} is held`);
    await call.go(fault);
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.#call("get", key, options, () => this.#inner.get(key));
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return this.#call("getIfChanged", key, options, () => this.#inner.getIfChanged(key, tag));
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    return this.#call("put", key, options, () => this.#inner.put(key, bytes));
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    return this.#call("putIfAbsent", key, options, () => this.#inner.putIfAbsent(key, bytes));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    return this.#call("putIfMatch", key, options, () => this.#inner.putIfMatch(key, bytes, tag));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#call("delete", key, options, () => this.#inner.delete(key));
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    return this.#call("list", prefix, options, () => this.#inner.list(prefix, after));
  }

  /** One call: what becomes of it, and whether its caller still listens. */
  #call<T>(
    operation: Operation,
    key: string,
    options: CallOptions | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const call = { operation, key, isWrite: writes.includes(operation) };
    const { signal } = options ?? {};
    return new Promise((resolve, reject) => {
      if (this.#dead) return;
      const giveUp = () => reject(failure("unknown", call, "given up by the caller"));
      if (signal?.aborted) return giveUp();
      signal?.addEventListener("abort", giveUp, { once: true });
      this.#act(this.#faultOf(call), call, work).then(
        (result) => this.#dead || resolve(result),
        (error: unknown) => this.#dead || reject(error),
      );
    });
  }

  #faultOf(call: StoreCall): Fault {
    const at = this.#script.findIndex(
      (line) => line.operation === call.operation && line.key === call.key,
    );
    if (at >= 0) return this.#script.splice(at, 1)[0]?.fault ?? "none";
    return this.#options.plan?.(call) ?? "none";
  }

  async #act<T>(fault: Fault, call: StoreCall, work: () => Promise<T>): Promise<T> {
    const cell = `${call.operation} ${fault}`;
    this.counts.set(cell, (this.counts.get(cell) ?? 0) + 1);
    switch (fault) {
      case "none":
        return await work();
      case "lost":
        await work();
        throw failure("unknown", call, "the answer was lost");
      case "late":
        if (call.isWrite) this.#later(call, work);
        throw failure("unknown", call, "no answer in time");
      case "twice":
        if (call.isWrite) this.#later(call, work);
        return await work();
      case "again":
        await work();
        return await work();
      case "conflict":
        throw failure("conflict", call, "another call ran at the same time");
      case "throttled":
        throw failure("throttled", call, "slow down");
      case "timeout":
        throw failure("unknown", call, "no answer in time");
      case "slow":
        await this.#options.clock?.sleep(this.#options.slowMs ?? 1000);
        return await work();
      case "held":
        return await this.#hold(call, work);
    }
  }

  #later(call: StoreCall, work: () => Promise<unknown>): void {
    const late: LateCall = {
      ...call,
      execute: async () => {
        this.late.splice(this.late.indexOf(late), 1);
        await work();
      },
    };
    this.late.push(late);
  }

  #hold<T>(call: StoreCall, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const held: HeldCall = {
        ...call,
        go: async (fault = "none") => {
          this.held.splice(this.held.indexOf(held), 1);
          await this.#act(fault, call, work).then(resolve, reject);
        },
      };
      this.held.push(held);
    });
  }
}

function failure(kind: "conflict" | "throttled" | "unknown", call: StoreCall, why: string) {
  return new ObjectError(kind, call.operation, call.key, why);
}
