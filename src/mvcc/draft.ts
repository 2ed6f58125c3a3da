/**
 * What a command sees while it is decided, and what it does: the store, over it what is decided and
 * not applied, over that its own changes so far. Nothing here outlives the decision.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { DeleteRangeCommand, PutCommand, RangeQuery } from "../model/command.ts";
import type { Change } from "../model/entry.ts";
import type { KeyValue } from "../model/event.ts";
import { includes, isSingle, type KeyRange } from "../model/range.ts";
import { Refusal } from "../model/refusal.ts";
import type { DeleteRangeReply, PutReply, RangeReply } from "../model/reply.ts";
import { type LeaseId, type Revision, revisionOf } from "../model/revision.ts";
import { type LiveCursor, type Overlaid, OverlayCursor } from "./cursor.ts";
import { type Pending, pairIn } from "./pending.ts";
import { type RangeSource, readRange } from "./range.ts";
import { pairOf, type VersionHead } from "./version.ts";

/** The applied state, as a draft reads it. */
export interface Applied {
  readonly revision: Revision;
  /** The compaction floor; -1 before the first compaction. */
  readonly floor: number;
  latest(key: ByteString, revision: number): KeyValue | undefined;
  /** As `latest` at the applied revision, without the value. */
  head(key: ByteString): VersionHead | undefined;
  /** As `head`, of what is decided. */
  decidedHead(key: ByteString): VersionHead | undefined;
  cursor(range: KeyRange, revision: number): LiveCursor;
  hasLease(lease: LeaseId): boolean;
}

export class Draft implements RangeSource {
  readonly #applied: Applied;
  readonly #pending: Pending | undefined;
  /** What the changes so far make of their keys; made when somebody asks. */
  #own: Map<ByteString, KeyValue | undefined> | undefined;
  /** Changes that are in #own. */
  #owned = 0;
  /** The revision the command starts from. */
  readonly base: Revision;
  readonly changes: Change[] = [];

  /** Without `pending` the draft sees what readers see. */
  constructor(applied: Applied, pending: Pending | undefined) {
    this.#applied = applied;
    this.#pending = pending;
    this.base = pending?.revision ?? applied.revision;
  }

  /** The revision after the changes so far. */
  get revision(): Revision {
    return this.changes.length === 0 ? this.base : revisionOf(this.base + 1);
  }

  get floor(): number {
    return this.#pending?.floor ?? this.#applied.floor;
  }

  hasLease(lease: LeaseId): boolean {
    const state = this.#pending?.lease(lease);
    return state === undefined ? this.#applied.hasLease(lease) : state === "granted";
  }

  /** Keys that something pending attaches to a lease. */
  pendingKeysOf(lease: LeaseId): ByteString[] {
    return this.#pending?.keysOf(lease) ?? [];
  }

  /** The pair of a key, own changes included. */
  get(key: ByteString): KeyValue | undefined {
    const own = this.#ownPairs();
    return own?.has(key) ? own.get(key) : this.#at(key, this.base);
  }

  /** As `get`, without the value: cheaper where that is not needed. */
  head(key: ByteString): VersionHead | undefined {
    const own = this.#ownPairs();
    if (own?.has(key)) return own.get(key);
    const applied = this.#applied;
    return this.#pending === undefined ? applied.head(key) : applied.decidedHead(key);
  }

  /** The pairs of a range, own changes included. */
  cursor(range: KeyRange): LiveCursor {
    const own = [...(this.#ownPairs() ?? [])]
      .map(([key, pair]): Overlaid => ({ key, pair }))
      .filter(({ key }) => includes(range, key))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
    const under = this.#cursorAt(range, this.base);
    return own.length === 0 ? under : new OverlayCursor(under, own);
  }

  /** The state at `revision`, at most #base, without own changes. */
  before(revision: number): RangeSource {
    return {
      get: (key) => this.#at(key, revision),
      cursor: (range) => this.#cursorAt(range, revision),
    };
  }

  /** Reads as part of the command. The revision has been checked. */
  range(query: RangeQuery): RangeReply {
    const source = query.revision > 0 ? this.before(query.revision) : this;
    return readRange(query, source, this.revision);
  }

  /** Puts. A refusal leaves the draft as it was; the lease has been checked. */
  put(command: PutCommand): PutReply | Refusal {
    const { ignoreLease, ignoreValue, key } = command;
    const existing = command.previous || ignoreValue ? this.get(key) : undefined;
    const before = existing ?? this.head(key);
    if ((ignoreValue || ignoreLease) && before === undefined) return new Refusal("keyNotFound");
    const revision = revisionOf(this.base + 1);
    this.changes.push({
      kind: "put",
      key,
      value: ignoreValue && existing ? existing.value : command.value,
      lease: ignoreLease && before ? before.lease : command.lease,
      createRevision: before?.createRevision ?? revision,
      version: (before?.version ?? 0) + 1,
      previousLease: before?.lease ?? 0n,
    });
    return { kind: "put", revision, previous: command.previous ? existing : undefined };
  }

  /** Deletes every key of a range. */
  deleteRange({ previous, range }: DeleteRangeCommand): DeleteRangeReply {
    const deleted: KeyValue[] = [];
    if (isSingle(range)) {
      const pair = this.get(range.key);
      if (pair !== undefined) deleted.push(pair);
    } else {
      for (const cursor = this.cursor(range); cursor.next(); ) deleted.push(cursor.pair());
    }
    for (const { key, lease } of deleted) this.delete(key, lease);
    return {
      kind: "deleteRange",
      revision: this.revision,
      deleted: deleted.length,
      previous: previous ? deleted : [],
    };
  }

  /** Deletes one key, which exists and is attached to `lease`. */
  delete(key: ByteString, lease: LeaseId): void {
    this.changes.push({ kind: "delete", key, previousLease: lease });
  }

  #ownPairs(): ReadonlyMap<ByteString, KeyValue | undefined> | undefined {
    const { changes } = this;
    if (this.#owned === changes.length) return this.#own;
    this.#own ??= new Map();
    const revision = this.revision;
    for (; this.#owned < changes.length; this.#owned++) {
      const change = changes[this.#owned] as Change;
      this.#own.set(change.key, change.kind === "put" ? pairOf(change, revision) : undefined);
    }
    return this.#own;
  }

  #at(key: ByteString, revision: number): KeyValue | undefined {
    const pending = this.#pending?.version(key, revision);
    if (pending !== undefined) return pairIn(pending);
    return this.#applied.latest(key, Math.min(revision, this.#applied.revision));
  }

  #cursorAt(range: KeyRange, revision: number): LiveCursor {
    const under = this.#applied.cursor(range, Math.min(revision, this.#applied.revision));
    const over = this.#pending?.overlay(range, revision) ?? [];
    return over.length === 0 ? under : new OverlayCursor(under, over);
  }
}
