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

/** A version of a key that is not in the tree yet; no pair means deleted. */
interface PendingVersion {
  readonly revision: Revision;
  readonly pair: KeyValue | undefined;
}

export class Pending {
  /** Oldest first, per key. A revision may change a key more than once. */
  readonly #versions = new Map<ByteString, PendingVersion[]>();
  readonly #leases = new Map<LeaseId, ("granted" | "revoked")[]>();
  readonly #entries: Entry[] = [];
  #sortedKeys: ByteString[] | undefined;
  #floors = 0;

  /** Entries decided and not applied. */
  get size(): number {
    return this.#entries.length;
  }

  /** The revision after the newest entry; undefined when there is none. */
  get revision(): Revision | undefined {
    return this.#entries.at(-1)?.revision;
  }

  /** The compaction floor the entries will set; undefined when none does. */
  get floor(): Revision | undefined {
    if (this.#floors === 0) return undefined;
    const entry = this.#entries.findLast(({ action }) => action.kind === "compact");
    return entry?.action.kind === "compact" ? entry.action.floor : undefined;
  }

  /** Adds an entry that was just decided. */
  add(entry: Entry): void {
    const { action, revision } = entry;
    this.#entries.push(entry);
    for (const change of changesOf(action)) this.#addChange(change, revision);
    if (action.kind === "grant") this.#addLease(action.lease, "granted");
    if (action.kind === "revoke") this.#addLease(action.lease, "revoked");
    if (action.kind === "compact") this.#floors++;
  }

  /** Removes the oldest entry, which has just been applied. */
  settle(entry: Entry): void {
    assert(this.#entries.shift() === entry, "entries are applied in the order they were decided");
    const { action } = entry;
    for (const change of changesOf(action)) {
      const versions = must(this.#versions.get(change.key), "a pending change has a version");
      if (versions.length === 1) {
        this.#versions.delete(change.key);
        this.#sortedKeys = undefined;
      } else versions.shift();
    }
    if (action.kind === "grant" || action.kind === "revoke") {
      const states = must(this.#leases.get(action.lease), "a pending lease has a state");
      if (states.length === 1) this.#leases.delete(action.lease);
      else states.shift();
    }
    if (action.kind === "compact") this.#floors--;
  }

  /** Forgets everything: the log has dropped it. */
  clear(): void {
    this.#versions.clear();
    this.#leases.clear();
    this.#entries.length = 0;
    this.#sortedKeys = undefined;
    this.#floors = 0;
  }

  /** What is decided of a key at `revision`; undefined when nothing pending says. */
  version(key: ByteString, revision: number): PendingVersion | undefined {
    if (this.#versions.size === 0) return undefined;
    return this.#versions.get(key)?.findLast((version) => version.revision <= revision);
  }

  /** Whether a lease is granted or revoked; undefined when nothing pending says. */
  lease(lease: LeaseId): "granted" | "revoked" | undefined {
    return this.#leases.get(lease)?.at(-1);
  }

  /** Keys that a pending put attaches to a lease, whatever comes after it. */
  keysOf(lease: LeaseId): ByteString[] {
    const attached = ({ pair }: PendingVersion) => pair?.lease === lease;
    return [...this.#versions].filter(([, at]) => at.some(attached)).map(([key]) => key);
  }

  /** The pending keys of a range, sorted, as they will be at `revision`. */
  overlay(range: KeyRange, revision: number): Overlaid[] {
    if (this.#versions.size === 0) return [];
    this.#sortedKeys ??= [...this.#versions.keys()].sort();
    const found: Overlaid[] = [];
    for (const key of this.#sortedKeys) {
      if (!includes(range, key)) continue;
      const version = this.version(key, revision);
      if (version !== undefined) found.push({ key, pair: version.pair });
    }
    return found;
  }

  #addChange(change: Change, revision: Revision): void {
    const pair = change.kind === "put" ? pairOf(change, revision) : undefined;
    const versions = this.#versions.get(change.key);
    if (versions !== undefined) {
      versions.push({ revision, pair });
      return;
    }
    this.#versions.set(change.key, [{ revision, pair }]);
    this.#sortedKeys = undefined;
  }

  #addLease(lease: LeaseId, state: "granted" | "revoked"): void {
    const states = this.#leases.get(lease);
    if (states === undefined) this.#leases.set(lease, [state]);
    else states.push(state);
  }
}

/** The pair a put makes at `revision`. */
export function pairOf(change: Change & { readonly kind: "put" }, revision: Revision): KeyValue {
  const { createRevision, key, lease, value, version } = change;
  return { key, value, createRevision, modRevision: revision, version, lease };
}
