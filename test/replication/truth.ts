/**
 * What must be true of a bucket at any moment: whatever `manifest/latest`, a branch or a reader
 * refers to is there, and so are the fences, and the log from gc/boundary on.
 */
import { must } from "../../src/lib/assert.ts";
import {
  branchPrefix,
  checkpointOfKey,
  condemnedKey,
  latestKey,
  logKey,
} from "../../src/object/keys.ts";
import type { MemoryStore } from "../../src/object/memory.ts";
import { decodeBoundary } from "../../src/replication/boundary.ts";
import { decodeCondemned } from "../../src/replication/condemned.ts";
import {
  decodeLatest,
  decodeManifest,
  keyOf,
  keyOfTable,
  type Manifest,
} from "../../src/replication/manifest.ts";
import { decodePin, isActive } from "../../src/replication/pin.ts";

/** Of a database below the prefix "db". */
export class Truth {
  /** The first thing that was not true. */
  broken: string | undefined;
  /** What somebody relies on, by a name. */
  readonly relied = new Map<string, Manifest>();
  readonly #bucket: MemoryStore;
  /** Log objects that were acknowledged. */
  readonly #log = new Map<number, { readonly key: string; readonly isFence: boolean }>();

  constructor(bucket: MemoryStore) {
    this.#bucket = bucket;
  }

  /** The last slot in use; 0 for none. */
  get lastSlot(): number {
    return Math.max(0, ...this.#log.keys());
  }

  fill(seq: number, isFence: boolean): void {
    this.#log.set(seq, { key: `db/${logKey(seq)}`, isFence });
  }

  break(why: string): void {
    this.broken ??= why;
  }

  check(): void {
    if (this.broken !== undefined) return;
    this.#checkLatest();
    for (const [name, manifest] of this.relied) this.#checkTables(name, manifest);
    for (const { isFence, key } of this.#log.values()) {
      if (isFence && this.#bucket.peek(key) === undefined) this.break(`the fence ${key} is gone`);
    }
  }

  #checkLatest(): void {
    const pointer = this.#bucket.peek(`db/${latestKey}`);
    if (pointer === undefined) return;
    const latest = remembered(pointer, () => decodeLatest(pointer));
    const bytes = this.#bucket.peek(`db/${latest.checkpointKey}`);
    const decode = (from: Buffer) =>
      remembered(from, () => decodeManifest(latest.checkpointKey, from));
    const manifest = bytes && decode(bytes);
    if (manifest === undefined) {
      this.break(`${latest.checkpointKey} is gone`);
      return;
    }
    if (manifest.position.index < latest.index) this.break("the newest checkpoint went back");
    this.#checkTables(latest.checkpointKey, manifest);
    const boundary = this.#bucket.peek("db/gc/boundary");
    const from = boundary ? remembered(boundary, () => decodeBoundary(boundary)).seq : 0;
    if (from > manifest.lastSeq + 1) this.break("the boundary is beyond the newest checkpoint");
    for (const [seq, { key }] of this.#log) {
      if (seq < from || this.#bucket.peek(key) !== undefined) continue;
      this.break(`${key} is gone, the boundary is at ${from}`);
    }
  }

  #checkTables(name: string, manifest: Manifest): void {
    for (const table of manifest.tables) {
      const key = `${table.source ?? "db"}/${keyOfTable(table)}`;
      if (this.#bucket.peek(key) === undefined) this.break(`${name} needs ${key}, which is gone`);
    }
  }

  /** One checkpoint and those with a pin are left, and the tables of these. */
  checkLeft(nowMs: number): void {
    const needed = new Set<string>();
    const keep = ({ tables }: Manifest) => {
      for (const table of tables) needed.add(`db/${keyOfTable(table)}`);
    };
    const pinned = new Set<string>();
    for (const key of this.#bucket.keys("db/branches/")) {
      const pin = decodePin(key, this.#peek(key));
      if (!isActive(pin, nowMs)) continue;
      keep(pin.checkpoint);
      pinned.add(keyOf(pin.checkpoint));
    }
    const left = this.#bucket.keys("db/checkpoint/").map((key) => key.slice(3));
    const manifests = left.flatMap((key) => decodeManifest(key, this.#peek(`db/${key}`)) ?? []);
    const unpinned = manifests.filter((manifest) => !pinned.has(keyOf(manifest)));
    if (unpinned.length > 1) this.break(`${unpinned.length} checkpoints stay`);
    for (const manifest of manifests) keep(manifest);
    const spare = this.#bucket.keys("db/sst/").find((key) => !needed.has(key));
    if (spare !== undefined) this.break(`nobody needs ${spare}, and it stays`);
    this.#checkForgotten(Math.max(0, ...manifests.map(({ revision }) => revision)));
  }

  /** What is gone is not condemned any more, but for what may come again. */
  #checkForgotten(newestRevision: number): void {
    const bytes = this.#bucket.peek(`db/${condemnedKey}`);
    for (const key of bytes ? decodeCondemned(bytes).keys.keys() : []) {
      if (key.startsWith(branchPrefix) || this.#bucket.peek(`db/${key}`) !== undefined) continue;
      if ((checkpointOfKey(key)?.revision ?? 0) >= newestRevision) continue;
      this.break(`${key} is gone and stays condemned`);
    }
  }

  #peek(key: string): Buffer {
    return must(this.#bucket.peek(key), `${key} is there`);
  }
}

const decoded = new WeakMap<Buffer, unknown>();

/** What was decoded of these very bytes. */
function remembered<T>(bytes: Buffer, decode: () => T): T {
  const known = decoded.get(bytes) ?? decode();
  decoded.set(bytes, known);
  return known as T;
}
