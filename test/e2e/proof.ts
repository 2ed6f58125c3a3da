/**
 * The proof that a server that has just started has everything that was answered and nothing that
 * nobody asked for: its whole history is watched, reads of the past are compared, leases are listed,
 * and a watcher that lived through the crash has seen every change.
 */

import { byteStringOf, bytesOf } from "../../src/lib/bytes.ts";
import type { Random } from "../../src/lib/random.ts";
import type { Client } from "../support/client.ts";
import { Feed } from "./feed.ts";
import { fail, type History, type Kept, type State, textOf } from "./history.ts";
import { differs, listDiffers, type Stubs } from "./operation.ts";

/** All keys as they stood at a revision, sorted. */
interface Snapshot {
  readonly revision: number;
  readonly keys: readonly Kept[];
}

const snapshotsMax = 8;
const singlesMax = 6;
const leasesMax = 32;
const everything = { key: bytesOf("\0"), rangeEnd: bytesOf("\0") };

export class Proof {
  readonly #history: History;
  readonly #random: Random;
  /** Of earlier rounds, to be read again as long as they are not compacted. */
  #snapshots: Snapshot[] = [];
  /** What the watcher was told since the last proof. */
  readonly #watched = new Map<number, string>();
  #seen = 1;

  constructor(history: History, random: Random) {
    this.#history = history;
    this.#random = random;
  }

  /** Up to where the watcher has seen everything. */
  get seen(): number {
    return this.#seen;
  }

  /** Takes what the watcher was told. */
  keep(feed: Feed): void {
    for (const [revision, events] of feed.events) this.#watched.set(revision, textOf(events));
    this.#seen = feed.seen;
  }

  /** Throws what is not as it must be. */
  async hold(client: Client, stubs: Stubs): Promise<void> {
    const { header } = await stubs.kv.range({ ...everything, countOnly: true });
    const last = this.#history.told(header);
    const { floor, truth } = await this.#readHistory(client, last);
    for (const [revision, text] of truth) {
      const known = this.#history.known(revision);
      if (known !== undefined && known !== text) fail(`${revision} was ${known}, is ${text}`);
    }
    const chosen = this.#choose(Math.max(floor, this.#history.verified), last);
    this.#history.settle(
      last,
      (revision) => truth.get(revision) ?? this.#watched.get(revision),
      (revision, state) => {
        if (chosen.has(revision)) this.#snapshots.push(snapshotOf(revision, state));
      },
    );
    await this.#readPast(stubs, floor);
    await this.#listLeases(stubs);
    await this.#watchOn(client, last);
    this.#history.settleFloor(floor);
  }

  /** Every event that the server still has, by a watch from the beginning. */
  async #readHistory(client: Client, last: number) {
    const truth = new Map<number, string>();
    if (last === 1) return { floor: -1, truth };
    let feed = new Feed(client, this.#history, 0);
    await feed.upTo(last);
    const floor = feed.floor ?? -1;
    if (feed.floor !== undefined) {
      await feed.close();
      feed = new Feed(client, this.#history, floor);
      await feed.upTo(last);
    }
    await feed.close();
    for (const [revision, events] of feed.events) truth.set(revision, textOf(events));
    return { floor, truth };
  }

  /** Some revisions after `from`, up to `last`; the last one always. */
  #choose(from: number, last: number): ReadonlySet<number> {
    const some = Array.from({ length: snapshotsMax / 2 }, () =>
      Math.min(last, from + 1 + this.#random.below(Math.max(1, last - from))),
    );
    return new Set([...some, last]);
  }

  async #readPast(stubs: Stubs, floor: number): Promise<void> {
    this.#snapshots = this.#snapshots.filter(({ revision }) => revision >= floor);
    for (const { keys, revision } of this.#snapshots) {
      const { kvs } = await stubs.kv.range({ ...everything, revision });
      const difference = listDiffers(keys, kvs);
      if (difference !== undefined) fail(`a read at ${revision} tells ${difference}`);
      for (let single = 0; single < singlesMax && keys.length > 0; single++) {
        const kept = keys[this.#random.below(keys.length)] as Kept;
        const { kvs } = await stubs.kv.range({ key: bytesOf(kept.key), revision });
        const lie = differs(kept, kvs[0]);
        if (lie !== undefined) fail(`a read of ${kept.key} at ${revision} tells ${lie}`);
      }
    }
    while (this.#snapshots.length > snapshotsMax) {
      this.#snapshots.splice(this.#random.below(this.#snapshots.length), 1);
    }
  }

  async #listLeases({ lease }: Stubs): Promise<void> {
    const { leases } = await lease.leaseLeases();
    this.#history.settleLeases(new Set(leases.map(({ ID }) => ID)));
    for (const { ID } of leases.slice(0, leasesMax)) {
      const { grantedTTL, keys } = await lease.leaseTimeToLive({ ID, keys: true });
      const attached = [...this.#history.state.values()].filter((kept) => kept.lease === ID);
      const wanted = attached.map(({ key }) => key).sort();
      const told = keys.map((key) => byteStringOf(key));
      if (`${told}` !== `${wanted}`) fail(`lease ${ID} has ${told}, not ${wanted}`);
      if (grantedTTL !== this.#history.ttlOf(ID)) fail(`lease ${ID} has a TTL of ${grantedTTL}`);
    }
  }

  /** The watcher goes on where it was, and has then seen everything, once. */
  async #watchOn(client: Client, last: number): Promise<void> {
    const feed = new Feed(client, this.#history, this.#seen);
    await feed.upTo(last);
    await feed.close();
    this.keep(feed);
    for (const [revision, told] of this.#watched) {
      const known = this.#history.known(revision);
      if (known !== told) fail(`the watcher saw at ${revision}: ${told}; there is: ${known}`);
    }
    this.#watched.clear();
  }
}

function snapshotOf(revision: number, state: State): Snapshot {
  const keys = [...state.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  return { revision, keys };
}
