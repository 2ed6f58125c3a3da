/** What both servers are known to hold: the generator aims by it, and watches are judged by it. */

import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { byteStringOf } from "../../src/lib/bytes.ts";
import { includes, type KeyRange } from "../../src/model/range.ts";
import type { Told } from "./feed.ts";
import { Mismatch } from "./mismatch.ts";
import type { Operation } from "./operation.ts";
import type { Plain } from "./plain.ts";
import type { Answer } from "./side.ts";

/** A change, as the watch of everything told it. */
export interface Change {
  readonly type: number;
  readonly key: string;
  readonly revision: number;
}

export class World {
  revision = 1;
  /** -1 before the first compaction. */
  compactRevision = -1;
  /** Leases that exist, with the TTL in force and when it began. */
  readonly leases = new Map<bigint, { readonly ttl: number; renewed: Interval }>();
  /** Every change there was. */
  readonly history: Change[] = [];

  /** Takes note of what an operation did, by its answer. */
  learn(operation: Operation, { code, response }: Answer, during: Interval): void {
    if (operation.kind === "keepAlive") {
      for (const { ID } of response) {
        const lease = this.leases.get(ID);
        if (lease !== undefined) lease.renewed = during;
      }
    }
    if (code !== 0 || response?.header === undefined) return;
    this.revision = response.header.revision;
    if (operation.kind !== "call") return;
    const request = operation.request as { revision?: number; ID?: bigint };
    if (operation.method === "Compact") this.compactRevision = request.revision ?? 0;
    if (operation.method === "LeaseRevoke") this.leases.delete(request.ID ?? 0n);
    if (operation.method === "LeaseGrant") {
      this.leases.set(response.ID, { ttl: response.TTL, renewed: during });
    }
  }

  /**
   * The time a lease has left lies between what it had before both were asked and after. Answers for
   * which that is so are made equal.
   */
  judgeRemaining(t4: Answer, etcd: Answer, asked: Interval): void {
    for (const { response } of [t4, etcd]) {
      const lease = this.leases.get(response?.ID);
      if (lease === undefined) continue;
      const most = lease.ttl - (asked.from - lease.renewed.to) / 1000;
      const least = lease.ttl - (asked.to - lease.renewed.from) / 1000;
      if (least <= 0) continue;
      if (response.TTL < Math.trunc(least) || response.TTL > Math.trunc(most)) {
        throw new Mismatch(`lease ${response.ID} has ${least} to ${most} s left`, t4, etcd);
      }
      response.TTL = "in time";
    }
  }
}

/** A time between two looks at the clock, in milliseconds. */
export interface Interval {
  readonly from: number;
  readonly to: number;
}

/** A watch both servers have. */
export class Watch {
  readonly range: KeyRange;
  /** The first revision it is to be told of. */
  readonly start: number;
  /** The one it asked for; 0 for whatever comes next. */
  readonly startRevision: number;
  readonly filters: readonly number[];
  readonly t4: Told;
  readonly etcd: Told;
  /** Events it was to be told up to `seen`. */
  wanted = 0;
  /** Changes of history looked at. */
  #seen: number;

  constructor(
    request: Partial<pb.WatchCreateRequest>,
    world: World,
    told: { readonly t4: Told; readonly etcd: Told },
  ) {
    const { filters = [], key = nothing, rangeEnd = nothing, startRevision = 0 } = request;
    this.range = { key: byteStringOf(key) || "\0", end: byteStringOf(rangeEnd) };
    this.start = startRevision > 0 ? startRevision : world.revision + 1;
    this.startRevision = startRevision;
    this.filters = filters;
    this.t4 = told.t4;
    this.etcd = told.etcd;
    this.#seen = startRevision > 0 && startRevision <= world.revision ? 0 : world.history.length;
    this.live = this.start > world.revision;
  }

  get live(): boolean {
    return this.t4.live;
  }

  /** Known to be fed as changes happen, by both. */
  set live(live: boolean) {
    this.t4.live = live;
    this.etcd.live = live;
  }

  /** Counts what the watch is to be told of the changes it has not looked at. */
  advance({ history }: World): void {
    for (; this.#seen < history.length; this.#seen++) {
      if (this.#wants(history[this.#seen] as Change)) this.wanted++;
    }
  }

  /** How many of the events counted so far are younger than `revision`. */
  wantedAfter({ history }: World, revision: number): number {
    let count = 0;
    for (let at = this.#seen - 1; at >= 0; at--) {
      const change = history[at] as Change;
      if (change.revision <= revision) break;
      if (this.#wants(change)) count++;
    }
    return count;
  }

  #wants({ key, revision, type }: Change): boolean {
    return revision >= this.start && !this.filters.includes(type) && includes(this.range, key);
  }
}

const nothing = new Uint8Array(0);

export function changeOf({ type, kv }: Plain): Change {
  return { type, key: kv.key, revision: kv.modRevision };
}
