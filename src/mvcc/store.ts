/**
 * The state machine: keys with their history, leases, the compaction floor, and the watchers of
 * them. Deterministic: the same entries make the same state on every member. It is told entries in
 * log order and knows nothing of logs, clocks or other members.
 *
 *   decide(command) ─► decision        looks at everything decided
 *   pend(entry)                        the decision, placed in the log: later decisions see it
 *   apply(entry)                       committed: readers and watchers see it
 *   forget()                           what is pending did not make it into the log
 */
import { assert, must } from "../lib/assert.ts";
import {
  Beginnings,
  type ByteString,
  byteStringOf,
  bytesOf,
  compact,
  putBytes,
} from "../lib/bytes.ts";
import type { Cursor, RowSet } from "../lsm/tree.ts";
import type { Command, TxnCommand } from "../model/command.ts";
import { type Change, changesOf, type Entry } from "../model/entry.ts";
import type { Event, KeyValue } from "../model/event.ts";
import type { KeyRange } from "../model/range.ts";
import type { Refusal } from "../model/refusal.ts";
import type { TxnReply } from "../model/reply.ts";
import { type LeaseId, type Revision, revisionOf } from "../model/revision.ts";
import { Counts } from "./counts.ts";
import { type LiveCursor, TreeCursor } from "./cursor.ts";
import { type Decision, decide } from "./decide.ts";
import { type Applied, Draft } from "./draft.ts";
import { Heads } from "./heads.ts";
import {
  afterAttached,
  afterHistory,
  afterLeases,
  afterPrefix,
  attachedKey,
  dataKey,
  dataPrefix,
  dataRevision,
  dataRow,
  dataSeek,
  historyKey,
  historyPosition,
  historyRow,
  leaseKey,
  leaseOfRow,
} from "./keys.ts";
import { type Lease, Leases } from "./leases.ts";
import { Pending, pairIn } from "./pending.ts";
import type { RangeSource } from "./range.ts";
import { decideTxn } from "./txn.ts";
import { decodeVersion, encodeHead, isTombstone, tombstone, type VersionHead } from "./version.ts";
import { type WatchedStore, Watchers, type WatchLimits } from "./watchers.ts";

/** What of the store is not in its rows; kept in the tree's manifest with each flush. */
export interface StoreState {
  readonly revision: number;
  readonly floor: number;
}

/** Of a store that nobody has written to. */
export const emptyState: StoreState = { revision: 1, floor: -1 };

export interface StoreOptions {
  readonly tree: RowSet;
  /** The state that belongs to the tree's durable rows. */
  readonly state: StoreState;
  /** No table has a version newer than this revision, at the moment. */
  readonly tabledRevision: () => number;
  readonly watchLimits: WatchLimits;
  /** Called when watchers are behind and catchUp() has work. */
  readonly wakeWatchers: () => void;
  /** Called when an applied entry grants or revokes a lease. */
  readonly leaseChanged: (lease: LeaseId, ttlSeconds: number | undefined) => void;
}

export class Store implements Applied, WatchedStore {
  readonly #tree: RowSet;
  readonly #tabledRevision: StoreOptions["tabledRevision"];
  readonly #leaseChanged: StoreOptions["leaseChanged"];
  readonly #pending = new Pending();
  readonly #pins = new Map<number, number>();
  readonly #heads = new Heads();
  readonly counts = new Counts();
  readonly leases = new Leases();
  readonly watchers: Watchers;
  #revision: Revision;
  #floor: number;

  /** Opens the store on a tree, whose rows are those of `state`. */
  constructor(options: StoreOptions) {
    this.#tree = options.tree;
    this.#tabledRevision = options.tabledRevision;
    this.#leaseChanged = options.leaseChanged;
    this.#revision = revisionOf(options.state.revision);
    this.#floor = options.state.floor;
    this.watchers = new Watchers(this, options.watchLimits, options.wakeWatchers);
    this.#loadLeases();
  }

  /** The revision that readers see. */
  get revision(): Revision {
    return this.#revision;
  }

  get floor(): number {
    return this.#floor;
  }

  get state(): StoreState {
    return { revision: this.#revision, floor: this.#floor };
  }

  /** Entries decided and not applied. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** The lowest revision that somebody may still read: the floor, or a read that began below it. */
  get keptFrom(): number {
    let kept = this.#floor;
    for (const revision of this.#pins.keys()) kept = Math.min(kept, revision);
    return kept;
  }

  /** Decides `command` as if everything pending were applied. */
  decide(command: Command): Decision {
    return decide(command, new Draft(this, this.#pending), this.leases);
  }

  /** Answers a read-only transaction from what readers see. */
  read(command: TxnCommand): TxnReply | Refusal {
    return decideTxn(command, new Draft(this, undefined));
  }

  /** Takes note of a decision that was placed in the log. */
  pend(entry: Entry): void {
    this.#pending.add(entry);
    for (const change of changesOf(entry.action)) this.#remember(change, entry.revision);
  }

  /** Forgets everything pending. */
  forget(): void {
    for (const key of this.#pending.keys()) this.#heads.forget(key);
    this.#pending.clear();
  }

  /** Applies the next entry of the log. */
  apply(entry: Entry): void {
    const { action, revision } = entry;
    const changes = changesOf(action);
    assert(
      revision === this.#revision + (changes.length > 0 ? 1 : 0),
      "an entry's revision follows the store's",
    );
    for (let sub = 0; sub < changes.length; sub++) {
      this.#applyChange(changes[sub] as Change, revision, sub);
    }
    if (action.kind === "grant") {
      this.#tree.put(leaseKey(action.lease), Buffer.from(`${action.ttlSeconds}`));
      this.leases.grant(action.lease, action.ttlSeconds);
      this.#leaseChanged(action.lease, action.ttlSeconds);
    } else if (action.kind === "revoke") {
      this.#tree.delete(leaseKey(action.lease));
      this.leases.revoke(action.lease);
      this.#leaseChanged(action.lease, undefined);
    } else if (action.kind === "compact") {
      assert(action.floor > this.#floor, "the floor rises");
      this.#floor = action.floor;
    }
    if (this.#pending.size > 0) this.#pending.settle(entry);
    else for (const change of changes) this.#remember(change, revision);
    this.#revision = revision;
    if (changes.length > 0) this.watchers.notify(changes, revision);
  }

  /**
   * Keeps what a read at `revision` sees while it reads on, even when the floor passes it. Returns
   * the release.
   */
  pin(revision: number): () => void {
    this.#pins.set(revision, (this.#pins.get(revision) ?? 0) + 1);
    return () => {
      const readers = must(this.#pins.get(revision), "a pin is released once") - 1;
      if (readers === 0) this.#pins.delete(revision);
      else this.#pins.set(revision, readers);
    };
  }

  /** The keys at `revision`, as a range read wants them. */
  at(revision: number): RangeSource {
    return {
      get: (key) => this.latest(key, revision),
      cursor: (range) => this.cursor(range, revision),
    };
  }

  latest(key: ByteString, revision: number): KeyValue | undefined {
    const prefix = dataPrefix(key);
    // The newest version comes first, so to find that one nothing is to be skipped.
    const from = revision === this.#revision ? prefix : dataSeek(prefix, revision);
    const row = this.#tree.first(from, prefix.length);
    if (row === undefined || isTombstone(row.bytes, row.start)) return undefined;
    return decodeVersion(key, dataRevision(row), row.bytes, row.start, row.end);
  }

  head(key: ByteString): VersionHead | undefined {
    return this.#pending.size === 0 ? this.decidedHead(key) : this.latest(key, this.#revision);
  }

  decidedHead(key: ByteString): VersionHead | undefined {
    const known = this.#heads.get(key);
    if (known !== undefined) return known ?? undefined;
    const pending = this.#pending.version(key, Number.POSITIVE_INFINITY);
    if (pending !== undefined) return pairIn(pending);
    const pair = this.latest(key, this.#revision);
    if (pair === undefined) return undefined;
    this.#heads.set(key, pair.createRevision, pair.modRevision, pair.version, pair.lease);
    return pair;
  }

  /** Every version of a key that is still stored, deletions included, newest first. */
  *versions(key: ByteString): Generator<Event> {
    const prefix = dataPrefix(key);
    const rows = this.#tree.scan(prefix, afterPrefix(prefix));
    while (rows.next()) {
      const modRevision = dataRevision(rows.row);
      const { bytes, end, start } = rows.row;
      if (isTombstone(bytes, start)) yield { type: "delete", key, modRevision };
      else yield { type: "put", kv: decodeVersion(key, modRevision, bytes, start, end) };
    }
  }

  cursor(range: KeyRange, revision: number): LiveCursor {
    return new TreeCursor(this.#tree, range, revision, this.#tabledRevision);
  }

  hasLease(lease: LeaseId): boolean {
    return this.leases.get(lease) !== undefined;
  }

  lease(lease: LeaseId): Lease | undefined {
    return this.leases.get(lease);
  }

  history(
    revision: number,
    visit: (revision: Revision, sub: number, key: ByteString) => boolean,
  ): boolean {
    const rows: Cursor = this.#tree.scan(historyKey(revision, 0), afterHistory);
    while (rows.next()) {
      const at = historyPosition(rows.row);
      if (!visit(at.revision, at.sub, byteStringOf(rows.value()))) return false;
    }
    return true;
  }

  eventAt(revision: Revision, sub: number, key: ByteString): Event {
    const row = must(
      this.#tree.get(dataKey(key, revision, sub)),
      "every history row has its data row",
    );
    if (isTombstone(row, 0)) return { type: "delete", key, modRevision: revision };
    return { type: "put", kv: kept(decodeVersion(key, revision, row, 0, row.length)) };
  }

  before(key: ByteString, revision: Revision): KeyValue | undefined {
    const pair = revision - 1 < this.#floor ? undefined : this.latest(key, revision - 1);
    return pair && kept(pair);
  }

  #applyChange(change: Change, revision: Revision, sub: number): void {
    const { key, previousLease } = change;
    const row = dataRow(key, revision, sub);
    if (change.kind === "put") this.#tree.set(row, encodeHead(change), change.value);
    else this.#tree.set(row, tombstone, undefined);
    this.#tree.set(historyRow(revision, sub), bytesOfKey(key), undefined);
    const lease = change.kind === "put" ? change.lease : 0n;
    if (previousLease === lease) return;
    if (previousLease !== 0n) {
      this.#tree.delete(attachedKey(previousLease, key));
      this.leases.detach(previousLease, key);
    }
    if (lease !== 0n) {
      this.#tree.put(attachedKey(lease, key), nothing);
      this.leases.attach(lease, key);
    }
  }

  #remember(change: Change, revision: Revision): void {
    if (change.kind === "delete") this.#heads.setGone(change.key);
    else this.#heads.set(change.key, change.createRevision, revision, change.version, change.lease);
  }

  #loadLeases(): void {
    const leases = this.#tree.scan(leaseKey(0n).slice(0, 2), afterLeases);
    while (leases.next()) {
      this.leases.grant(leaseOfRow(leases.key).lease, Number(byteStringOf(leases.value())));
    }
    const attached = this.#tree.scan(attachedKey(0n, "").slice(0, 2), afterAttached);
    while (attached.next()) {
      const { key, lease } = leaseOfRow(attached.key);
      this.leases.attach(lease, key);
    }
  }
}

const nothing = new Uint8Array(0);

/** A pair that may be kept long: its value is no view of much more. */
function kept(pair: KeyValue): KeyValue {
  return { ...pair, value: compact(pair.value) };
}

const keyScratch = Buffer.alloc(1024);
const keys = new Beginnings(keyScratch);

/** The bytes of a key, valid until the next call. */
function bytesOfKey(key: ByteString): Uint8Array {
  if (key.length > keyScratch.length) return bytesOf(key);
  return keys.of(putBytes(keyScratch, key, 0));
}
