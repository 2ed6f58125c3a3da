/**
 * What is decided and not yet applied. The next command is decided as if all of it were applied;
 * no read and no watch sees it. When the log cannot take it, it is forgotten as if it never was.
 */
import { assert, must } from "../lib/assert.ts";
import type { ByteString } from "../lib/bytes.ts";
import { type Change, changesOf, type Entry } from "../model/entry.ts";
import type { KeyValue } from "../model/event.ts";
import { includes, type KeyRange } from "../model/range.ts";
import type { LeaseId, Revision } from "../model/revision.ts";
import type { Overlaid } from "./cursor.ts";
import { pairOf } from "./version.ts";

/** A version of a key that is not in the tree yet. */
interface PendingVersion {
  readonly revision: Revision;
  readonly change: Change;
  /** The version of the same key that was decided next. */
  newer: PendingVersion | undefined;
}

/** The versions of one key; a revision may change a key more than once. */
interface PendingKey {
  oldest: PendingVersion;
  newest: PendingVersion;
}

export class Pending {
  readonly #keys = new Map<ByteString, PendingKey>();
  readonly #leases = new Map<LeaseId, ("granted" | "revoked")[]>();
  /** Floors that compactions will set, oldest first. */
  readonly #floors: Revision[] = [];
  #size = 0;
  #newest: Entry | undefined;
  #sortedKeys: ByteString[] | undefined;

  /** Entries decided and not applied. */
  get size(): number {
    return this.#size;
  }

  /** The revision after the newest entry; undefined when there is none. */
  get revision(): Revision | undefined {
    return this.#newest?.revision;
  }

  /** The compaction floor the entries will set; undefined when none does. */
  get floor(): Revision | undefined {
    return this.#floors.at(-1);
  }

  /** Adds an entry that was just decided. */
  add(entry: Entry): void {
    const { action, revision } = entry;
    this.#size++;
    this.#newest = entry;
    for (const change of changesOf(action)) this.#addChange(change, revision);
    if (action.kind === "grant") this.#addLease(action.lease, "granted");
    if (action.kind === "revoke") this.#addLease(action.lease, "revoked");
    if (action.kind === "compact") this.#floors.push(action.floor);
  }

  /** Removes the oldest entry, which has just been applied. */
  settle(entry: Entry): void {
    const { action, index } = entry;
    const newest = must(this.#newest, "what is applied was decided");
    assert(
      index === newest.index - this.#size + 1,
      "entries are applied in the order they were decided",
    );
    this.#size--;
    if (this.#size === 0) this.#newest = undefined;
    for (const change of changesOf(action)) this.#settleChange(change);
    if (action.kind === "grant" || action.kind === "revoke") {
      const states = must(this.#leases.get(action.lease), "a pending lease has a state");
      if (states.length === 1) this.#leases.delete(action.lease);
      else states.shift();
    }
    if (action.kind === "compact") this.#floors.shift();
  }

  /** Forgets everything: the log has dropped it. */
  clear(): void {
    this.#keys.clear();
    this.#leases.clear();
    this.#floors.length = 0;
    this.#size = 0;
    this.#newest = undefined;
    this.#sortedKeys = undefined;
  }

  /** The keys that something pending changes. */
  keys(): Iterable<ByteString> {
    return this.#keys.keys();
  }

  /** The newest version decided of a key at `revision`; undefined when nothing pending says. */
  version(key: ByteString, revision: number): PendingVersion | undefined {
    const versions = this.#keys.get(key);
    if (versions === undefined || versions.newest.revision <= revision) return versions?.newest;
    let found: PendingVersion | undefined;
    let next: PendingVersion | undefined = versions.oldest;
    for (; next !== undefined && next.revision <= revision; next = next.newer) found = next;
    return found;
  }

  /** Whether a lease is granted or revoked; undefined when nothing pending says. */
  lease(lease: LeaseId): "granted" | "revoked" | undefined {
    return this.#leases.get(lease)?.at(-1);
  }

  /** Keys that a pending put attaches to a lease, whatever comes after it. */
  keysOf(lease: LeaseId): ByteString[] {
    return [...this.#keys].filter(([, versions]) => attaches(versions, lease)).map(([key]) => key);
  }

  /** The pending keys of a range, sorted, as they will be at `revision`. */
  overlay(range: KeyRange, revision: number): Overlaid[] {
    if (this.#keys.size === 0) return [];
    this.#sortedKeys ??= [...this.#keys.keys()].sort();
    const found: Overlaid[] = [];
    for (const key of this.#sortedKeys) {
      if (!includes(range, key)) continue;
      const version = this.version(key, revision);
      if (version !== undefined) found.push({ key, pair: pairIn(version) });
    }
    return found;
  }

  #addChange(change: Change, revision: Revision): void {
    const version = { revision, change, newer: undefined };
    const versions = this.#keys.get(change.key);
    if (versions !== undefined) {
      versions.newest.newer = version;
      versions.newest = version;
      return;
    }
    this.#keys.set(change.key, { oldest: version, newest: version });
    this.#sortedKeys = undefined;
  }

  #settleChange({ key }: Change): void {
    const versions = must(this.#keys.get(key), "a pending change has a version");
    const { newer } = versions.oldest;
    if (newer !== undefined) {
      versions.oldest = newer;
      return;
    }
    this.#keys.delete(key);
    this.#sortedKeys = undefined;
  }

  #addLease(lease: LeaseId, state: "granted" | "revoked"): void {
    const states = this.#leases.get(lease);
    if (states === undefined) this.#leases.set(lease, [state]);
    else states.push(state);
  }
}

/** The pair that a pending version makes; undefined when it deletes its key. */
export function pairIn({ change, revision }: PendingVersion): KeyValue | undefined {
  return change.kind === "put" ? pairOf(change, revision) : undefined;
}

function attaches({ oldest }: PendingKey, lease: LeaseId): boolean {
  for (let next: PendingVersion | undefined = oldest; next !== undefined; next = next.newer) {
    if (next.change.kind === "put" && next.change.lease === lease) return true;
  }
  return false;
}
