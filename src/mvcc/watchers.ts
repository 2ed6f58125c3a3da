/**
 * All watchers of a member. Applying an entry feeds the synced ones; those that are behind are fed
 * from history by one shared pass, in slices, so that a thousand clients that reconnect cost one
 * scan. What waits for slow clients is bounded, for each and for all together: over the bound the
 * queue is forgotten and read from history again, so nothing is lost and nothing grows.
 */
import type { ByteString } from "../lib/bytes.ts";
import { Intervals } from "../lib/intervals.ts";
import type { Change } from "../model/entry.ts";
import type { Event, KeyValue } from "../model/event.ts";
import { isSingle, type KeyRange, upperBound } from "../model/range.ts";
import { type Revision, revisionOf } from "../model/revision.ts";
import { pairOf } from "./version.ts";
import { keyOf, Watcher, type WatchNotice, type WatchRequest } from "./watcher.ts";

/** What watchers read of the store. */
export interface WatchedStore {
  readonly revision: Revision;
  readonly floor: number;
  /**
   * Calls `visit` with every change from `revision` on, oldest first, until it returns false.
   * Returns false when it was stopped.
   */
  history(
    revision: number,
    visit: (revision: Revision, sub: number, key: ByteString) => boolean,
  ): boolean;
  /** The event at a position of history; it may be kept. */
  eventAt(revision: Revision, sub: number, key: ByteString): Event;
  /** A key as it was one revision before, to be kept; undefined when it was absent or is compacted. */
  before(key: ByteString, revision: Revision): KeyValue | undefined;
}

export interface WatchLimits {
  /** Bytes that may wait for one watcher's client. */
  readonly watcherBytesMax: number;
  /** Bytes that may wait for all of them. */
  readonly totalBytesMax: number;
  /** History rows read in one slice. */
  readonly sliceRowsMax: number;
}

/** What one slice of history came to. */
export interface Slice {
  /** Changes read. */
  readonly scanned: number;
  /** Events queued for watchers. */
  readonly matched: number;
  readonly revisions: number;
}

/** Rows of history between two looks at the clock: a few changes leave in one response. */
const rowsBetweenLooks = 32;

export class Watchers {
  readonly #store: WatchedStore;
  readonly #limits: WatchLimits;
  readonly #wake: () => void;
  readonly #synced = new WatcherIndex();
  readonly #behind = new WatcherIndex();
  #queuedBytes = 0;

  /** `wake` is called when catchUp() has work. */
  constructor(store: WatchedStore, limits: WatchLimits, wake: () => void) {
    this.#store = store;
    this.#limits = limits;
    this.#wake = wake;
  }

  /** Watchers that follow live. */
  get syncedCount(): number {
    return this.#synced.all.size;
  }

  /** Watchers that read history. */
  get behindCount(): number {
    return this.#behind.all.size;
  }

  /** Different keys and ranges being watched. */
  get rangeCount(): number {
    const others = new Set<string>();
    for (const { request } of this.#behind.all) {
      const { end, key } = request.range;
      if (!this.#synced.watches(request.range)) others.add(`${key.length} ${key}${end}`);
    }
    return this.#synced.rangeCount + others.size;
  }

  /** Bytes that wait for clients. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * Starts a watcher. It sees every change from its start revision on, or, with none, every one
   * after the store's revision now. `onReady` is called when take() has something new.
   */
  watch(request: WatchRequest, onReady: () => void): Watcher {
    const next = request.startRevision > 0 ? request.startRevision : this.#store.revision + 1;
    const watcher = new Watcher(request, next, onReady);
    if (next > this.#store.revision) this.#enterSynced(watcher);
    else this.#enterBehind(watcher);
    return watcher;
  }

  /** Ends a watcher; what waits for its client is dropped. */
  cancel(watcher: Watcher): void {
    this.#queuedBytes -= watcher.forget();
    this.#leave(watcher);
    watcher.state = "ended";
  }

  /** The next notice for a watcher's client; undefined when nothing waits. */
  take(watcher: Watcher): WatchNotice | undefined {
    const waiting = watcher.queuedBytes;
    const notice = watcher.take();
    this.#queuedBytes -= waiting - watcher.queuedBytes;
    if (watcher.state === "behind" && !watcher.isReady) this.#wake();
    return notice;
  }

  /**
   * True when the client has been handed every event up to the store's revision, so that it may be
   * told so.
   */
  isCurrent(watcher: Watcher): boolean {
    return (
      watcher.state === "synced" &&
      !watcher.isReady &&
      watcher.request.startRevision <= this.#store.revision
    );
  }

  /** Feeds the synced watchers the changes of an entry that was just applied. */
  notify(changes: readonly Change[], revision: Revision): void {
    if (this.#synced.all.size === 0) return;
    const touched: Watcher[] = [];
    for (const change of changes) this.#notifyChange(change, revision, touched);
    for (const watcher of touched) watcher.onReady();
  }

  /** Notes in `touched` whom the change concerns and no change of its entry did before. */
  #notifyChange(change: Change, revision: Revision, touched: Watcher[]): void {
    let plain: Event | undefined;
    let withPrevious: Event | undefined;
    this.#synced.each(change.key, (watcher) => {
      if (watcher.nextRevision > revision || !watcher.wants(change.kind)) return;
      plain ??= eventOf(change, revision);
      if (watcher.request.previous) withPrevious ??= this.#withPrevious(plain, revision);
      const event = watcher.request.previous ? (withPrevious ?? plain) : plain;
      this.#queuedBytes += watcher.push(event, revision, undefined);
      if (watcher.touchedAt === revision) return;
      watcher.touchedAt = revision;
      touched.push(watcher);
    });
    for (const watcher of touched) if (this.#overflows(watcher)) this.#fallBehind(watcher);
  }

  #overflows(watcher: Watcher): boolean {
    const { totalBytesMax, watcherBytesMax } = this.#limits;
    return (
      watcher.state === "synced" &&
      (watcher.queuedBytes > watcherBytesMax || this.#queuedBytes > totalBytesMax)
    );
  }

  #fallBehind(watcher: Watcher): void {
    this.#queuedBytes -= watcher.forget();
    this.#synced.remove(watcher);
    this.#enterBehind(watcher);
  }

  /**
   * Feeds a slice of history to the watchers that are behind and whose clients have taken what they
   * were given. Undefined when there is nothing to do before a client takes something.
   */
  catchUp(enough: () => boolean): Slice | undefined {
    const members = this.#membersOfPass();
    if (members.size === 0) return undefined;
    let from = Infinity;
    for (const watcher of members) from = Math.min(from, watcher.nextRevision);
    const pass = this.#pass(members, from, enough);
    for (const watcher of members) this.#advance(watcher, pass.to);
    return { scanned: pass.scanned, matched: pass.matched, revisions: pass.to - from + 1 };
  }

  /** Sorts out who is compacted away, who is synced, and who takes part in the next pass. */
  #membersOfPass(): Set<Watcher> {
    const members = new Set<Watcher>();
    for (const watcher of this.#behind.all) {
      if (watcher.isReady) continue;
      if (watcher.nextRevision < this.#store.floor) {
        this.#behind.remove(watcher);
        watcher.end(this.#store.floor);
        watcher.onReady();
      } else if (watcher.nextRevision > this.#store.revision) this.#advance(watcher, 0);
      else members.add(watcher);
    }
    return members;
  }

  /** Scans history from `from`; `to` is the last revision whose changes have all been seen. */
  #pass(members: Set<Watcher>, from: number, enough: () => boolean) {
    const header = this.#store.revision;
    const touched = new Set<Watcher>();
    let current = from - 1;
    let scanned = 0;
    let lookedAt = 0;
    let matched = 0;
    const finished = this.#store.history(from, (revision, sub, key) => {
      if (revision !== current) {
        for (const watcher of touched) {
          if (watcher.queuedBytes <= this.#limits.watcherBytesMax) continue;
          this.#advance(watcher, current);
          members.delete(watcher);
          touched.delete(watcher);
          watcher.onReady();
        }
        if (scanned >= this.#limits.sliceRowsMax) return false;
        if (scanned - lookedAt >= rowsBetweenLooks) {
          if (enough()) return false;
          lookedAt = scanned;
        }
        current = revision;
      }
      scanned++;
      this.#behind.each(key, (watcher) => {
        if (!members.has(watcher) || watcher.nextRevision > revision) return;
        const event = this.#eventFor(watcher, revision, sub, key);
        if (event === undefined) return;
        this.#queuedBytes += watcher.push(event, revision, header);
        touched.add(watcher);
        matched++;
      });
      return true;
    });
    for (const watcher of touched) watcher.onReady();
    return { to: finished ? header : current, scanned, matched };
  }

  #eventFor(watcher: Watcher, revision: Revision, sub: number, key: ByteString): Event | undefined {
    const event = this.#store.eventAt(revision, sub, key);
    if (!watcher.wants(event.type)) return undefined;
    return watcher.request.previous ? this.#withPrevious(event, revision) : event;
  }

  /** As in etcd, a put that makes its key has nothing before it, even where a delete precedes it. */
  #withPrevious(event: Event, revision: Revision): Event {
    const makes = event.type === "put" && event.kv.createRevision === event.kv.modRevision;
    return makes ? event : { ...event, previous: this.#store.before(keyOf(event), revision) };
  }

  /** Notes that a watcher has been fed everything up to `revision`. */
  #advance(watcher: Watcher, revision: number): void {
    watcher.nextRevision = Math.max(watcher.nextRevision, revision + 1);
    if (watcher.nextRevision <= this.#store.revision) return;
    this.#behind.remove(watcher);
    this.#enterSynced(watcher);
  }

  #enterSynced(watcher: Watcher): void {
    watcher.state = "synced";
    this.#synced.add(watcher);
  }

  #enterBehind(watcher: Watcher): void {
    watcher.state = "behind";
    this.#behind.add(watcher);
    this.#wake();
  }

  #leave(watcher: Watcher): void {
    this.#synced.remove(watcher);
    this.#behind.remove(watcher);
  }
}

/** Watchers by the keys they watch: single keys by hash, ranges in a tree of intervals. */
class WatcherIndex {
  readonly all = new Set<Watcher>();
  readonly #single = new Map<ByteString, Set<Watcher>>();
  readonly #ranges = new Intervals<Watcher>();

  get rangeCount(): number {
    return this.#single.size + this.#ranges.count;
  }

  /** Whether somebody watches exactly this. */
  watches(range: KeyRange): boolean {
    if (isSingle(range)) return this.#single.has(range.key);
    return this.#ranges.has(range.key, endOf(range));
  }

  add(watcher: Watcher): void {
    this.all.add(watcher);
    const { range } = watcher.request;
    if (!isSingle(range)) {
      this.#ranges.add(range.key, endOf(range), watcher);
      return;
    }
    const watchers = this.#single.get(range.key);
    if (watchers === undefined) this.#single.set(range.key, new Set([watcher]));
    else watchers.add(watcher);
  }

  remove(watcher: Watcher): void {
    if (!this.all.delete(watcher)) return;
    const { range } = watcher.request;
    if (!isSingle(range)) {
      this.#ranges.remove(range.key, endOf(range), watcher);
      return;
    }
    const watchers = this.#single.get(range.key);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#single.delete(range.key);
  }

  each(key: ByteString, visit: (watcher: Watcher) => void): void {
    const watchers = this.#single.get(key);
    if (watchers !== undefined) for (const watcher of watchers) visit(watcher);
    if (this.#ranges.count > 0) this.#ranges.each(key, visit);
  }
}

function endOf(range: KeyRange): ByteString | undefined {
  return upperBound(range);
}

/** The event a change makes, without what was before. */
export function eventOf(change: Change, revision: Revision): Event {
  return change.kind === "put"
    ? { type: "put", kv: pairOf(change, revision) }
    : { type: "delete", key: change.key, modRevision: revisionOf(revision) };
}
