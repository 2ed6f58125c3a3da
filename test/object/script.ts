/**
 * A store whose calls go wrong by plan, and that remembers every write: what the tests of retries
 * hold an answer against.
 */
import { MemoryStore } from "../../src/object/memory.ts";
import {
  type CallOptions,
  ObjectError,
  type ObjectErrorKind,
  type ObjectStore,
  type StoredObject,
} from "../../src/object/store.ts";

/** What happens to one write. */
export const faults = [
  "none",
  /** Nothing is written, the answer is lost. */
  "before",
  /** It is written, the answer is lost. */
  "after",
  /** It is carried out twice; the answer is that of the second time. */
  "twice",
  /** Nothing is written and the store says so. */
  "conflict",
  /** The store asks for patience, having written or not. */
  "throttledBefore",
  "throttledAfter",
  /** The answer is lost, and it is carried out when the next but one write begins. */
  "late",
] as const;

export type Fault = (typeof faults)[number];

export interface Script {
  /** What happens to the first write, the second, … ; "none" to all that follow. */
  readonly writes: readonly Fault[];
  /** Which reads fail, by their number from 0. */
  readonly failedReads?: readonly number[];
  /** Runs before a write, by its number from 0. */
  readonly meanwhile?: (write: number, store: MemoryStore) => Promise<unknown> | undefined;
}

export class ScriptedStore implements ObjectStore {
  readonly address = "script:";
  readonly versions = undefined;
  readonly memory = new MemoryStore();
  /** The bytes of every write that was carried out, in order. */
  readonly written: string[] = [];
  reads = 0;
  writes = 0;
  readonly #script: Script;
  readonly #late: { readonly due: number; readonly carryOut: () => Promise<unknown> }[] = [];

  constructor(script: Script) {
    this.#script = script;
  }

  async get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    const at = this.reads++;
    if (this.#script.failedReads?.includes(at)) throw failure("unknown", "get", key);
    return await this.memory.get(key, options);
  }

  getIfChanged(key: string, tag: string, options?: CallOptions) {
    return this.memory.getIfChanged(key, tag, options);
  }

  list(prefix: string, after?: string, options?: CallOptions) {
    return this.memory.list(prefix, after, options);
  }

  put(key: string, bytes: Uint8Array): Promise<string> {
    return this.#write("put", key, bytes, () => this.memory.put(key, bytes)) as Promise<string>;
  }

  putIfAbsent(key: string, bytes: Uint8Array): Promise<string | undefined> {
    return this.#write("put_if_absent", key, bytes, () => this.memory.putIfAbsent(key, bytes));
  }

  putIfMatch(key: string, bytes: Uint8Array, tag: string): Promise<string | undefined> {
    return this.#write("put_if_match", key, bytes, () => this.memory.putIfMatch(key, bytes, tag));
  }

  async delete(key: string): Promise<void> {
    await this.#write("delete", key, Buffer.from("deleted"), async () => {
      await this.memory.delete(key);
      return "deleted";
    });
  }

  async #write(
    operation: string,
    key: string,
    bytes: Uint8Array,
    work: () => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const at = this.writes++;
    await this.#script.meanwhile?.(at, this.memory);
    for (const late of this.#late.filter(({ due }) => due === at)) await late.carryOut();
    const carryOut = async () => {
      const tag = await work();
      if (tag !== undefined) this.written.push(Buffer.from(bytes).toString());
      return tag;
    };
    const fault = this.#script.writes[at] ?? "none";
    if (fault === "late") this.#late.push({ due: at + 2, carryOut });
    if (fault === "twice") await carryOut();
    if (fault === "none" || fault === "twice") return await carryOut();
    if (fault.toLowerCase().endsWith("after")) await carryOut();
    throw failure(kindsOf[fault], operation, key);
  }
}

const kindsOf: Readonly<Record<Exclude<Fault, "none" | "twice">, ObjectErrorKind>> = {
  before: "unknown",
  after: "unknown",
  conflict: "conflict",
  throttledBefore: "throttled",
  throttledAfter: "throttled",
  late: "unknown",
};

function failure(kind: ObjectErrorKind, operation: string, key: string): ObjectError {
  return new ObjectError(kind, operation, key, `by plan: ${kind}`);
}
