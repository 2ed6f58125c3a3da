/**
 * What clients asked of a server that dies at any moment, what they were answered, and what must
 * therefore be so once it is back. The truth is what a watch from the beginning tells then; it is
 * held against a plain model, revision by revision:
 *
 *   - revisions have no gaps, and each is one operation that somebody asked for
 *   - what was answered stands at the revision that the answer told, with all it changed
 *   - what was not answered stands somewhere after it was asked, once, or nowhere
 *   - what was refused stands nowhere
 *   - answers tell what was before them: previous values, counts, branches, keys read
 *   - no operation stands before one that was answered when it was asked
 */
import type { ResponseHeader } from "../../src/gen/etcdserverpb/rpc.ts";
import type { Event, KeyValue } from "../../src/gen/mvccpb/kv.ts";
import { byteStringOf } from "../../src/lib/bytes.ts";

/** A key as it stands at some revision; of its value, a fingerprint. */
export interface Kept {
  readonly key: string;
  readonly create: number;
  readonly mod: number;
  readonly version: number;
  readonly lease: bigint;
  readonly value: string;
}

export type State = ReadonlyMap<string, Kept>;

/** A key is put, or deleted. */
export interface Change {
  readonly key: string;
  readonly put?: { readonly value: string; readonly lease: bigint };
}

/** What somebody asks for. */
export interface Operation {
  /** In words, for failures. */
  readonly name: string;
  /** What it changes where it finds `state`, in the order of the events. */
  changes(state: State): readonly Change[];
  /** The lease it grants, or revokes (no TTL). */
  readonly lease?: { readonly id: bigint; readonly ttlSeconds?: number };
}

export interface Answer {
  readonly header: ResponseHeader | undefined;
  /** What of it is not true where the operation found `before`; undefined when all is. */
  lie(before: State): string | undefined;
}

/** An operation that was asked for. */
interface Asked {
  readonly operation: Operation;
  /** The newest revision anybody had been told of at that time. */
  readonly after: number;
}

interface Answered extends Asked {
  readonly answer: Answer;
  readonly revision: number;
}

export class History {
  readonly #state = new Map<string, Kept>();
  /** Events of revisions that were verified, in words. */
  readonly #known = new Map<number, string>();
  readonly #leases = new Map<bigint, { ttlSeconds: number; there: boolean | undefined }>();
  #floor = -1;
  /** Compactions that somebody asked for. */
  readonly #floors = new Set<number>();
  #verified = 1;
  #newest = 1;
  #term = 0;
  #identity: string | undefined;
  #answered: Answered[] = [];
  #lost: Asked[] = [];
  readonly counts = { answers: 0, refused: 0, lost: 0, lostAndDone: 0 };

  /** The newest revision anybody was told of. */
  get newest(): number {
    return this.#newest;
  }

  /** All up to this revision has been verified. */
  get verified(): number {
    return this.#verified;
  }

  /** The keys at that revision. */
  get state(): State {
    return this.#state;
  }

  /** Notes that `operation` is being asked for; one of the next three follows. */
  ask(operation: Operation): Asked {
    return { operation, after: this.#newest };
  }

  answered(asked: Asked, answer: Answer): void {
    const { operation } = asked;
    const revision = this.told(answer.header);
    if (revision < asked.after) {
      fail(`${operation.name} was told revision ${revision} after ${asked.after}`);
    }
    this.#answered.push({ ...asked, answer, revision });
    this.counts.answers++;
    if (operation.lease !== undefined) this.#noteLease(operation.lease, true);
  }

  /** The server said that it did not do it. */
  refused({ operation }: Asked): void {
    this.counts.refused++;
    const lease = operation.lease && this.#leases.get(operation.lease.id);
    // Whoever asks to revoke a lease does not know whether it is still there until told.
    if (lease !== undefined) lease.there = true;
  }

  /** The connection broke, or the server said that it does not know. */
  lost(asked: Asked): void {
    this.#lost.push(asked);
    this.counts.lost++;
    if (asked.operation.lease !== undefined) this.#noteLease(asked.operation.lease, false);
  }

  /** Notes that the next disk is a new one: another member of the same cluster. */
  movesOn(): void {
    this.#identity = this.#identity?.replace(/[0-9]+$/, "");
  }

  /** Notes what a header tells: it is always the same member, and time does not run backwards. */
  told(header: ResponseHeader | undefined): number {
    if (header === undefined) return fail("an answer has no header");
    const { clusterId, memberId, raftTerm, revision } = header;
    const identity = `${clusterId}/${memberId}`;
    if (this.#identity === `${clusterId}/`) this.#identity = identity;
    this.#identity ??= identity;
    if (identity !== this.#identity) fail(`${this.#identity} became ${identity}`);
    if (raftTerm < this.#term) fail(`term ${raftTerm} came after ${this.#term}`);
    this.#term = raftTerm;
    this.#newest = Math.max(this.#newest, revision);
    return revision;
  }

  /**
   * Holds all that happened since the last time against the truth: the events of every revision up
   * to `last`, the store's revision, as textOf puts them. `passed` is told each new revision, with
   * the keys as of then.
   */
  settle(
    last: number,
    truthAt: (revision: number) => string | undefined,
    passed: (revision: number, state: State) => void,
  ): void {
    if (last < this.#newest) fail(`revision ${this.#newest} was told, the store is at ${last}`);
    const answers = Map.groupBy(this.#answered, ({ revision }) => revision);
    this.#readOnly(answers.get(this.#verified) ?? []);
    for (let revision = this.#verified + 1; revision <= last; revision++) {
      const truth = truthAt(revision);
      if (truth === undefined) fail(`there is nothing at revision ${revision} of ${last}`);
      this.#settleOne(revision, truth, answers.get(revision) ?? []);
      passed(revision, this.#state);
    }
    this.#verified = last;
    this.#newest = last;
    this.#answered = [];
    this.#lost = [];
  }

  /** The events of a revision that was verified, in words; undefined when it is too old. */
  known(revision: number): string | undefined {
    return this.#known.get(revision);
  }

  /** Notes that a compaction is being asked for. */
  compacting(revision: number): void {
    this.#floors.add(revision);
  }

  /** Notes that it was answered. */
  compacted(revision: number, header: ResponseHeader | undefined): void {
    this.told(header);
    this.#floor = revision;
  }

  /** The compaction floor as far as it is certain; -1 before the first. */
  get floor(): number {
    return this.#floor;
  }

  /** Holds the floor that there is against those asked for, and forgets what is below it. */
  settleFloor(floor: number): void {
    if (floor < this.#floor) fail(`the floor fell from ${this.#floor} to ${floor}`);
    if (floor !== this.#floor && !this.#floors.has(floor)) fail(`nobody asked for floor ${floor}`);
    this.#floor = floor;
    this.#floors.clear();
    for (const revision of this.#known.keys()) {
      if (revision > floor) break;
      this.#known.delete(revision);
    }
  }

  /** Holds the leases that there are against those asked for. */
  settleLeases(listed: ReadonlySet<bigint>): void {
    for (const [id, { there }] of this.#leases) {
      if (there !== undefined && there !== listed.has(id)) {
        fail(`lease ${id} is ${there ? "gone" : "back"}`);
      }
      if (!listed.has(id)) this.#leases.delete(id);
    }
    for (const id of listed) {
      const lease = this.#leases.get(id);
      if (lease === undefined) fail(`nobody asked for lease ${id}`);
      lease.there = true;
    }
    for (const { key, lease } of this.#state.values()) {
      if (lease !== 0n && !listed.has(lease)) fail(`${key} has lease ${lease}, which is gone`);
    }
  }

  /** The TTL that a lease was granted with, in seconds. */
  ttlOf(lease: bigint): number | undefined {
    return this.#leases.get(lease)?.ttlSeconds;
  }

  #noteLease({ id, ttlSeconds }: NonNullable<Operation["lease"]>, certain: boolean): void {
    const known = this.#leases.get(id);
    const there = certain ? ttlSeconds !== undefined : undefined;
    this.#leases.set(id, { ttlSeconds: ttlSeconds ?? known?.ttlSeconds ?? 0, there });
  }

  #settleOne(revision: number, truth: string, answers: readonly Answered[]): void {
    const claims = ({ operation }: Asked) =>
      textOf(eventsOf(operation.changes(this.#state), revision, this.#state)) === truth;
    const writer = answers.find(claims);
    const others = answers.filter((each) => each !== writer);
    if (writer === undefined) {
      const at = this.#lost.findIndex((asked) => asked.after < revision && claims(asked));
      if (at < 0) {
        const told = others.map(({ operation }) => operation.name).join(" and ");
        fail(`nobody asked for revision ${revision}: ${truth}; it was told to ${told || "nobody"}`);
      }
      const [done] = this.#lost.splice(at, 1) as [Asked];
      this.counts.lostAndDone++;
      this.#apply(done.operation, revision);
    } else {
      const { after, answer, operation } = writer;
      const lie = answer.lie(this.#state);
      if (lie !== undefined) fail(`${operation.name} at ${revision} was told ${lie}`);
      if (revision <= after) fail(`${operation.name} is at ${revision}, asked after ${after}`);
      this.#apply(operation, revision);
    }
    this.#known.set(revision, truth);
    this.#readOnly(others);
  }

  /** Answers that tell the revision the state is at, and changed nothing. */
  #readOnly(answers: readonly Answered[]): void {
    for (const { answer, operation, revision } of answers) {
      if (operation.changes(this.#state).length > 0) {
        fail(`${operation.name} was answered and is not at revision ${revision}`);
      }
      const lie = answer.lie(this.#state);
      if (lie !== undefined) fail(`${operation.name} at ${revision} was told ${lie}`);
    }
  }

  #apply(operation: Operation, revision: number): void {
    for (const { after, key } of eventsOf(operation.changes(this.#state), revision, this.#state)) {
      if (after === undefined) this.#state.delete(key);
      else this.#state.set(key, after);
    }
  }
}

/** An event, of which `before` and `after` are undefined where there is no key. */
interface Step {
  readonly key: string;
  readonly before: Kept | undefined;
  readonly after: Kept | undefined;
}

function eventsOf(changes: readonly Change[], revision: number, state: State): Step[] {
  return changes.map(({ key, put }) => {
    const before = state.get(key);
    if (put === undefined) return { key, before, after: undefined };
    const create = before?.create ?? revision;
    const version = (before?.version ?? 0) + 1;
    return { key, before, after: { key, create, mod: revision, version, ...put } };
  });
}

/** The events of one revision in words that are the same exactly when the events are. */
export function textOf(events: readonly (Event | Step)[]): string {
  return events.map((event) => stepText("kv" in event ? stepOf(event) : event)).join("; ");
}

function stepOf({ kv, prevKv, type }: Event): Step {
  if (kv === undefined) return fail("an event has no key");
  const kept = keptOf(kv);
  const before = prevKv && keptOf(prevKv);
  return { key: kept.key, before, after: type === 0 ? kept : undefined };
}

function stepText({ after, before, key }: Step): string {
  const was = before === undefined ? "new" : `was ${keptText(before)}`;
  return `${key} ${after === undefined ? "deleted" : keptText(after)}, ${was}`;
}

/** A key in words. */
export function keptText({ create, lease, mod, value, version }: Kept): string {
  return `${value} created ${create} modified ${mod} version ${version} lease ${lease}`;
}

export function keptOf(kv: KeyValue): Kept {
  return {
    key: byteStringOf(kv.key),
    create: kv.createRevision,
    mod: kv.modRevision,
    version: kv.version,
    lease: kv.lease,
    value: fingerprint(kv.value),
  };
}

/** What stands for a value: its length and a hash. */
export function fingerprint(value: Uint8Array): string {
  return `${value.length}:${Bun.hash(value).toString(36)}`;
}

export function fail(what: string): never {
  throw new Error(what);
}
