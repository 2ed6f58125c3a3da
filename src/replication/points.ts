/**
 * A restore point: the database as it was at one moment, by the versions that a versioned bucket
 * keeps of every object. It outlives gc, as long as the bucket keeps the versions. points/<id> is a
 * pin (pin.ts) whose field "point" says:
 *
 *   {"at_ms":n,"manifest_version":version,"tables":{key: version,…},
 *    "log":[[slot, bytes, version],…]}
 *
 * The checkpoint is the one that `manifest/latest` named at the moment, the log what was there
 * then of the slots after it, up to the first that is missing. `viewOf` shows both as a store of
 * their own, for whoever restores.
 */
import { CorruptionError } from "../lib/corruption.ts";
import { latestKey, logKey, logPrefix, pointKey, pointPrefix, seqOf } from "../object/keys.ts";
import {
  type CallOptions,
  type ListedObject,
  listAllVersions,
  ObjectError,
  type ObjectStore,
  type ObjectVersion,
  type ObjectVersions,
  type StoredObject,
} from "../object/store.ts";
import { isPinId } from "./branch.ts";
import { readCondemned } from "./condemned.ts";
import {
  decodeLatest,
  decodeManifest,
  keyOf,
  keyOfTable,
  type Manifest,
  nonceOf,
} from "./manifest.ts";
import {
  beingDeleted,
  type FoundPin,
  isActive,
  isHold,
  type Pin,
  type PinOptions,
  pinKeys,
  putPin,
  readPin,
  releasePin,
} from "./pin.ts";
import { Fields, type Json } from "./sealed.ts";

/** What a bucket without versioning calls the only one it has. */
const noVersion = "null";

export type PointPinned =
  | { readonly outcome: "pinned"; readonly pin: FoundPin }
  | { readonly outcome: "badId" | "taken" }
  /** The bucket keeps no versions: a restore point cannot be had; a branch can. */
  | { readonly outcome: "noVersions" }
  /** There was no checkpoint at that moment. */
  | { readonly outcome: "noCheckpoint" }
  /** A version that it needs is gone, or gc is deleting what had this id before. */
  | { readonly outcome: "unusable"; readonly why: string };

/**
 * Notes the database as it was at `atMs`, milliseconds since 1970, or as it is now. CorruptionError,
 * ForeignError, ObjectError.
 */
export async function pinPoint(
  store: ObjectStore,
  id: string,
  options: Omit<PinOptions, "expiresMs" | "storeAt"> & { readonly atMs?: number },
): Promise<PointPinned> {
  if (!isPinId(id)) return { outcome: "badId" };
  const key = pointKey(id);
  const there = await readPin(store, key, options);
  if (there !== undefined && isActive(there.pin, options.nowMs)) return { outcome: "taken" };
  const { versions } = store;
  if (versions === undefined) return { outcome: "noVersions" };
  const { atMs = Number.POSITIVE_INFINITY, nowMs, random } = options;
  const moment = new Moment(versions, atMs, options);
  const found = await moment.checkpoint();
  if (found === "noVersions" || found === "noCheckpoint") return { outcome: found };
  const { checkpoint, version } = found;
  const tables = await moment.tables(checkpoint);
  if (typeof tables === "string") return { outcome: "unusable", why: `${tables} is gone` };
  const point = {
    at_ms: Math.min(atMs, nowMs),
    manifest_version: version,
    tables: Object.fromEntries(tables),
    log: await moment.log(checkpoint.lastSeq),
  };
  const pin: Pin = { checkpoint, point, createdMs: nowMs, nonce: nonceOf(random) };
  const written = await putPin(store, key, pin, there?.tag, options);
  if (written === undefined) return { outcome: "taken" };
  // What it needs are versions, which gc never deletes; the point itself may be on gc's list.
  const { keys } = await readCondemned(store, options);
  if (!keys.has(key)) return { outcome: "pinned", pin: written };
  await releasePin(store, written, options);
  return { outcome: "unusable", why: beingDeleted(key) };
}

/** The restore point `id`; undefined when there is none. CorruptionError, ForeignError, ObjectError. */
export async function readPoint(
  store: ObjectStore,
  id: string,
  options?: CallOptions,
): Promise<FoundPin | undefined> {
  if (!isPinId(id)) return undefined;
  const found = await readPin(store, pointKey(id), options);
  return found?.pin.point === undefined || found.pin.releasedMs !== undefined ? undefined : found;
}

/** All restore points, by their ids. As `readPoint`. */
export async function listPoints(
  store: ObjectStore,
  options?: CallOptions,
): Promise<(FoundPin & { readonly id: string })[]> {
  const points: (FoundPin & { id: string })[] = [];
  for (const key of await pinKeys(store, pointPrefix, options)) {
    const id = key.slice(pointPrefix.length);
    const found = isHold(key) ? undefined : await readPoint(store, id, options);
    if (found !== undefined) points.push({ ...found, id });
  }
  return points;
}

/** Lets a restore point go: false when there is none. As `readPoint`. */
export async function releasePoint(
  store: ObjectStore,
  id: string,
  options: Pick<PinOptions, "nowMs" | "random" | "signal">,
): Promise<boolean> {
  for (;;) {
    const found = await readPoint(store, id, options);
    if (found === undefined) return false;
    if (await releasePin(store, found, options)) return true;
  }
}

/**
 * The objects of a restore point as a store: its checkpoint, its tables, its log. It cannot be
 * written to. CorruptionError when the point does not say what a point says.
 */
export function viewOf(store: ObjectStore, { key, pin }: FoundPin): ObjectStore {
  const { versions } = store;
  if (versions === undefined || pin.point === undefined) {
    throw new CorruptionError(key, 0, "it is no restore point of a bucket that keeps versions");
  }
  const fields = new Fields(key, pin.point);
  const objects = new Map<string, { version: string; bytes: number }>();
  const versionsOf = new Fields(key, fields.fields("tables").json);
  for (const table of pin.checkpoint.tables) {
    if (table.source !== undefined) continue;
    const tableKey = keyOfTable(table);
    objects.set(tableKey, { version: versionsOf.text(tableKey), bytes: table.bytes });
  }
  for (const { bytes, seq, version } of logOf(key, pin.point)) {
    objects.set(logKey(seq), { version, bytes });
  }
  objects.set(keyOf(pin.checkpoint), { version: fields.text("manifest_version"), bytes: 0 });
  return new PointView(store.address, versions, objects);
}

function logOf(key: string, point: Json): { seq: number; bytes: number; version: string }[] {
  const log = point.log;
  if (!Array.isArray(log)) throw new CorruptionError(key, 0, 'its field "log" is no list');
  return log.map((item: readonly unknown[]) => {
    const fields = new Fields(key, { seq: item[0], bytes: item[1], version: item[2] });
    return {
      seq: fields.integer("seq", 1),
      bytes: fields.integer("bytes"),
      version: fields.text("version"),
    };
  });
}

/** What the versions say of one moment. */
class Moment {
  readonly #versions: ObjectVersions;
  readonly #atMs: number;
  readonly #options: CallOptions;

  constructor(versions: ObjectVersions, atMs: number, options: CallOptions) {
    this.#versions = versions;
    this.#atMs = atMs;
    this.#options = options;
  }

  async checkpoint(): Promise<
    { checkpoint: Manifest; version: string } | "noVersions" | "noCheckpoint"
  > {
    const pointer = await this.#content(latestKey);
    if (typeof pointer === "string") return pointer;
    const { checkpointKey } = decodeLatest(pointer.bytes);
    const manifest = await this.#content(checkpointKey);
    if (typeof manifest === "string") return manifest;
    const checkpoint = decodeManifest(checkpointKey, manifest.bytes);
    return checkpoint === undefined ? "noCheckpoint" : { checkpoint, version: manifest.version };
  }

  /** Key and version of each table of the checkpoint's own prefix; the key of one that is gone. */
  async tables(checkpoint: Manifest): Promise<Map<string, string> | string> {
    const found = new Map<string, string>();
    for (const table of checkpoint.tables) {
      if (table.source !== undefined) continue;
      const key = keyOfTable(table);
      // Written once: whichever content there is is the one.
      for await (const each of listAllVersions(this.#versions, key, this.#options)) {
        if (each.key === key && !each.isDeletion) found.set(key, each.version);
      }
      if (!found.has(key)) return key;
    }
    return found;
  }

  /** Slot, bytes and version of the log objects after `lastSeq` that were there. */
  async log(lastSeq: number): Promise<[number, number, string][]> {
    const slots = new Map<number, ObjectVersion>();
    for await (const each of listAllVersions(this.#versions, logPrefix, this.#options)) {
      const seq = seqOf(each.key);
      if (seq === undefined || each.isDeletion || each.modifiedMs > this.#atMs) continue;
      if (seq > lastSeq) slots.set(seq, each);
    }
    const log: [number, number, string][] = [];
    for (let seq = lastSeq + 1; ; seq++) {
      const slot = slots.get(seq);
      if (slot === undefined) return log;
      log.push([seq, slot.bytes, slot.version]);
    }
  }

  /** What stood under `key` at the moment. */
  async #content(
    key: string,
  ): Promise<{ bytes: Buffer; version: string } | "noVersions" | "noCheckpoint"> {
    for await (const each of listAllVersions(this.#versions, key, this.#options)) {
      if (each.key !== key || each.modifiedMs > this.#atMs) continue;
      if (each.isDeletion) return "noCheckpoint";
      if (each.version === noVersion) return "noVersions";
      const object = await this.#versions.get(key, each.version, this.#options);
      return object === undefined ? "noCheckpoint" : { ...object, version: each.version };
    }
    return "noCheckpoint";
  }
}

/** The objects of a restore point, to be read. */
class PointView implements ObjectStore {
  readonly address: string;
  readonly versions = undefined;
  readonly #versions: ObjectVersions;
  readonly #objects: ReadonlyMap<string, { version: string; bytes: number }>;

  constructor(
    address: string,
    versions: ObjectVersions,
    objects: ReadonlyMap<string, { version: string; bytes: number }>,
  ) {
    this.address = address;
    this.#versions = versions;
    this.#objects = objects;
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    const object = this.#objects.get(key);
    if (object === undefined) return Promise.resolve(undefined);
    return this.#versions.get(key, object.version, options);
  }

  async getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    const object = await this.get(key, options);
    return object?.tag === tag ? "same" : object;
  }

  list(prefix: string, after = ""): Promise<{ objects: ListedObject[]; hasMore: boolean }> {
    // Keys are ASCII: their order is that of their bytes.
    const keys = [...this.#objects.keys()].filter((key) => key.startsWith(prefix) && key > after);
    const objects = keys.sort().map((key) => {
      return { key, bytes: this.#objects.get(key)?.bytes ?? 0, modifiedMs: 0 };
    });
    return Promise.resolve({ objects, hasMore: false });
  }

  put(key: string): Promise<string> {
    return refuse("put", key);
  }

  putIfAbsent(key: string): Promise<string | undefined> {
    return refuse("put", key);
  }

  putIfMatch(key: string): Promise<string | undefined> {
    return refuse("put", key);
  }

  delete(key: string): Promise<void> {
    return refuse("delete", key);
  }
}

function refuse(operation: string, key: string): Promise<never> {
  return Promise.reject(new ObjectError("invalid", operation, key, "a restore point is read-only"));
}
