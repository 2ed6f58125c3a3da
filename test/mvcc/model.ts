/**
 * The state machine again, as simply as it can be said: every revision is a whole copy of the
 * store. Slow, obviously right, and written from the wire contract alone.
 */
import type {
  Command,
  Compare,
  Operation,
  PutCommand,
  RangeQuery,
  TxnCommand,
} from "../../src/model/command.ts";

export interface ModelPair {
  readonly key: string;
  readonly value: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
}

export type ModelEvent =
  | { type: "put"; pair: ModelPair; previous: ModelPair | undefined }
  | { type: "delete"; key: string; mod: number; previous: ModelPair | undefined };

type State = Map<string, ModelPair>;

/** A refusal is its kind; a reply is plain data. */
export type ModelReply = string | Record<string, unknown>;

export class Model {
  revision = 1;
  floor = -1;
  #states: State[] = [new Map(), new Map()];
  readonly events: ModelEvent[][] = [[], []];
  readonly leases = new Map<bigint, number>();

  run(command: Command): ModelReply {
    switch (command.kind) {
      case "compact":
        if (command.revision <= this.floor) return "compacted";
        if (command.revision > this.revision) return "futureRevision";
        this.floor = command.revision;
        return { kind: "compact", revision: this.revision };
      case "grant":
        if (command.ttlSeconds > 9_000_000_000) return "leaseTtlTooLarge";
        if (this.leases.has(command.lease)) return "leaseExists";
        this.leases.set(command.lease, Math.max(2, command.ttlSeconds));
        return {
          kind: "grant",
          revision: this.revision,
          lease: command.lease,
          ttlSeconds: Math.max(2, command.ttlSeconds),
        };
      case "revoke": {
        if (!this.leases.delete(command.lease)) return "leaseNotFound";
        const draft = new ModelDraft(this);
        for (const pair of sorted(draft.state)) {
          if (pair.lease === command.lease) draft.remove(pair);
        }
        draft.commit();
        return { kind: "revoke", revision: this.revision };
      }
      default: {
        if (command.kind === "put" && command.lease !== 0n && !this.leases.has(command.lease)) {
          return "leaseNotFound";
        }
        const draft = new ModelDraft(this);
        const reply = draft.operate(command, true);
        if (typeof reply !== "string") draft.commit();
        return reply;
      }
    }
  }

  range(query: RangeQuery): ModelReply {
    if (query.revision > this.revision) return "futureRevision";
    if (query.revision > 0 && query.revision < this.floor) return "compacted";
    const at = query.revision > 0 ? query.revision : this.revision;
    return answer(query, this.stateAt(at), this.revision);
  }

  /** Returns what makes everything as it is now again. */
  mark(): () => void {
    const { floor, revision } = this;
    const leases = [...this.leases];
    return () => {
      this.floor = floor;
      this.revision = revision;
      this.leases.clear();
      for (const [lease, ttl] of leases) this.leases.set(lease, ttl);
      this.#states.length = revision + 1;
      this.events.length = revision + 1;
    };
  }

  stateAt(revision: number): State {
    return this.#states[revision] as State;
  }

  advance(state: State, events: ModelEvent[]): void {
    this.revision++;
    this.#states.push(state);
    this.events.push(events);
  }
}

class ModelDraft {
  readonly #model: Model;
  readonly state: State;
  readonly #events: ModelEvent[] = [];

  constructor(model: Model) {
    this.#model = model;
    this.state = new Map(model.stateAt(model.revision));
  }

  get #revision(): number {
    return this.#model.revision + (this.#events.length > 0 ? 1 : 0);
  }

  commit(): void {
    if (this.#events.length > 0) this.#model.advance(this.state, this.#events);
  }

  operate(operation: Operation, top = false): ModelReply {
    switch (operation.kind) {
      case "range": {
        const explicit = operation.revision > 0;
        const state = explicit ? this.#model.stateAt(operation.revision) : this.state;
        return answer(operation, state, this.#revision);
      }
      case "put":
        return this.#put(operation);
      case "deleteRange": {
        const gone = sorted(this.state).filter((pair) => inRange(operation.range, pair.key));
        for (const pair of gone) this.remove(pair);
        return {
          kind: "deleteRange",
          revision: this.#revision,
          deleted: gone.length,
          previous: operation.previous ? gone : [],
        };
      }
      case "txn":
        return this.#txn(operation, top);
    }
  }

  remove(pair: ModelPair): void {
    this.state.delete(pair.key);
    const mod = this.#model.revision + 1;
    this.#events.push({ type: "delete", key: pair.key, mod, previous: this.#before(pair.key) });
  }

  #before(key: string): ModelPair | undefined {
    return this.#model.stateAt(this.#model.revision).get(key);
  }

  #put(command: PutCommand): ModelReply {
    const old = this.state.get(command.key);
    if ((command.ignoreLease || command.ignoreValue) && old === undefined) return "keyNotFound";
    const mod = this.#model.revision + 1;
    const pair: ModelPair = {
      key: command.key,
      value: command.ignoreValue && old ? old.value : text(command.value),
      create: old?.create ?? mod,
      mod,
      version: (old?.version ?? 0) + 1,
      lease: command.ignoreLease && old ? old.lease : command.lease,
    };
    this.state.set(command.key, pair);
    // One that makes its key anew has nothing before it, even where it follows a delete at once.
    const previous = pair.create === mod ? undefined : this.#before(command.key);
    this.#events.push({ type: "put", pair, previous });
    return { kind: "put", revision: mod, previous: command.previous ? old : undefined };
  }

  #txn(command: TxnCommand, top: boolean): ModelReply {
    const taken = this.#choose(command);
    if (top) {
      const refusal = this.#refusalOf(command);
      if (refusal !== undefined) return refusal;
    }
    const responses: ModelReply[] = [];
    for (const operation of taken.operations) {
      const reply = this.operate(operation);
      if (typeof reply === "string") return reply;
      responses.push(reply);
    }
    return { kind: "txn", revision: this.#revision, succeeded: taken.succeeded, responses };
  }

  /** Comparisons look at the state before the transaction, however deep they stand. */
  #choose(command: TxnCommand): { succeeded: boolean; operations: readonly Operation[] } {
    const before = this.#model.stateAt(this.#model.revision);
    const succeeded = command.compares.every((compare) => compares(compare, before));
    return { succeeded, operations: succeeded ? command.success : command.failure };
  }

  /** Of the operations on the way down, all puts are looked at before any range is. */
  #refusalOf(command: TxnCommand): string | undefined {
    const steps = this.#taken(command);
    const refusals = [
      ...steps.map((step) => (step.kind === "put" ? this.#putRefusal(step) : undefined)),
      ...steps.map((step) => (step.kind === "range" ? this.#rangeRefusal(step) : undefined)),
    ];
    return refusals.find((refusal) => refusal !== undefined);
  }

  #taken(command: TxnCommand): Operation[] {
    return this.#choose(command).operations.flatMap((operation) =>
      operation.kind === "txn" ? this.#taken(operation) : [operation],
    );
  }

  #putRefusal({ ignoreLease, ignoreValue, key, lease }: PutCommand): string | undefined {
    if ((ignoreLease || ignoreValue) && this.#before(key) === undefined) return "keyNotFound";
    return lease !== 0n && !this.#model.leases.has(lease) ? "leaseNotFound" : undefined;
  }

  #rangeRefusal({ revision }: RangeQuery): string | undefined {
    if (revision > this.#model.revision) return "futureRevision";
    return revision !== 0 && revision < this.#model.floor ? "compacted" : undefined;
  }
}

function compares({ range, result, target }: Compare, state: State): boolean {
  const judge = (stored: number | bigint | string) => {
    if (result === "equal") return stored === target.operand;
    if (result === "notEqual") return stored !== target.operand;
    if (result === "greater") return stored > target.operand;
    if (result === "less") return stored < target.operand;
    return true;
  };
  const pairs = sorted(state).filter((pair) => inRange(range, pair.key));
  if (pairs.length === 0) {
    if (target.field === "value") return false;
    return judge(target.field === "lease" ? 0n : 0);
  }
  return pairs.every((pair) => judge(pair[target.field]));
}

function answer(query: RangeQuery, state: State, revision: number): ModelReply {
  const live = sorted(state).filter((pair) => inRange(query.range, pair.key));
  const filters =
    query.maxModRevision ||
    query.minModRevision ||
    query.maxCreateRevision ||
    query.minCreateRevision;
  let kvs = live.filter(
    (pair) =>
      (!query.maxModRevision || pair.mod <= query.maxModRevision) &&
      (!query.minModRevision || pair.mod >= query.minModRevision) &&
      (!query.maxCreateRevision || pair.create <= query.maxCreateRevision) &&
      (!query.minCreateRevision || pair.create >= query.minCreateRevision),
  );
  if (query.sortOrder === "none" && !filters && query.limit > 0)
    kvs = kvs.slice(0, query.limit + 1);
  const { sortTarget } = query;
  const compare = (a: ModelPair, b: ModelPair) => {
    const [x, y] = [a[sortTarget], b[sortTarget]];
    return x < y ? -1 : x > y ? 1 : 0;
  };
  if (query.sortOrder === "descend") kvs = [...kvs].sort((a, b) => compare(b, a));
  else if (sortTarget !== "key") kvs = [...kvs].sort(compare);
  const more = query.limit > 0 && kvs.length > query.limit;
  if (more) kvs = kvs.slice(0, query.limit);
  if (query.keysOnly) kvs = kvs.map((pair) => ({ ...pair, value: "" }));
  if (query.countOnly) {
    return { kind: "range", revision, kvs: [], more: false, count: live.length };
  }
  return { kind: "range", revision, kvs, more, count: live.length };
}

function inRange(range: { key: string; end: string }, key: string): boolean {
  if (range.end === "") return key === range.key;
  if (range.end === "\0") return key >= range.key;
  return key >= range.key && key < range.end;
}

function sorted(state: State): ModelPair[] {
  return [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
