/**
 * Back from the bucket: which checkpoint is the newest that is whole, and its tables, verified.
 *
 *   1 list the checkpoints, newest first
 *   2 its manifest must be sound, its tables there and as long as it says, and the log after it
 *     must not have been deleted (gc/boundary): else the one before it, and more log
 *   3 fetch the tables the disk does not have; each must have the hash that names it: else as in 2
 *
 * `manifest/latest` is not asked: it may be a step behind, and a list is never.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { checkpointOfKey, checkpointPrefix, tablePrefix } from "../object/keys.ts";
import { type CallOptions, listAll, ObjectError, type ObjectStore } from "../object/store.ts";
import { readBoundary } from "./boundary.ts";
import { keyOf, keyOfTable, type Manifest, readManifest, type TableRef } from "./manifest.ts";
import { inParallel } from "./parallel.ts";
import { refuseOtherCluster } from "./sealed.ts";

/** The store of another prefix of the same bucket. */
export type StoreAt = (prefix: string) => ObjectStore;

export interface FindOptions extends CallOptions {
  readonly storeAt: StoreAt;
  /** Whose checkpoints they must be; another's is refused by ForeignError. */
  readonly cluster?: bigint | undefined;
}

/** A checkpoint as its key tells of it; there may be nothing but an abandoned attempt. */
export interface ListedCheckpoint {
  readonly key: string;
  readonly term: number;
  readonly revision: number;
  /** Of the manifest, by the store's clock, in milliseconds since 1970. */
  readonly modifiedMs: number;
}

/** A checkpoint that cannot be used. */
export interface Skipped {
  readonly key: string;
  readonly why: string;
}

export interface Found {
  /** The newest checkpoint that is whole; undefined when there is none. */
  readonly manifest: Manifest | undefined;
  /** Newer ones, and why they are not. */
  readonly skipped: readonly Skipped[];
}

/** All checkpoints, newest first. ObjectError. */
export async function listCheckpoints(
  store: ObjectStore,
  options?: CallOptions,
): Promise<ListedCheckpoint[]> {
  const checkpoints: ListedCheckpoint[] = [];
  for await (const { key, modifiedMs } of listAll(store, checkpointPrefix, options)) {
    const place = checkpointOfKey(key);
    if (place === undefined || place.attempt !== undefined) continue;
    checkpoints.push({ key, term: place.term, revision: place.revision, modifiedMs });
  }
  // In a log, revision and term never fall; a leader that was superseded may write a lower one late.
  return checkpoints.sort((a, b) => b.revision - a.revision || b.term - a.term);
}

/** What lies in the bucket of tables, asked for once in each prefix. */
export class Presence {
  readonly #store: ObjectStore;
  readonly #options: FindOptions;
  readonly #lists = new Map<string | undefined, Promise<ReadonlyMap<string, number>>>();

  constructor(store: ObjectStore, options: FindOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** What is wrong with the first of these tables that is not there as it should be. ObjectError. */
  async problem(tables: readonly TableRef[]): Promise<string | undefined> {
    for (const table of tables) {
      const key = keyOfTable(table);
      const bytes = (await this.#sizes(table.source)).get(key);
      if (bytes === table.bytes) continue;
      const where = `${this.#at(table.source).address}${key}`;
      return bytes === undefined
        ? `its table ${where} is not there`
        : `its table ${where} has ${bytes} bytes instead of ${table.bytes}`;
    }
    return undefined;
  }

  #at(source: string | undefined): ObjectStore {
    return source === undefined ? this.#store : this.#options.storeAt(source);
  }

  #sizes(source: string | undefined): Promise<ReadonlyMap<string, number>> {
    const known = this.#lists.get(source);
    if (known !== undefined) return known;
    const sizes = tableSizes(this.#at(source), this.#options);
    this.#lists.set(source, sizes);
    return sizes;
  }
}

/** Every object below `sst/`, and its size in bytes. ObjectError. */
export async function tableSizes(
  store: ObjectStore,
  options?: CallOptions,
): Promise<ReadonlyMap<string, number>> {
  const sizes = new Map<string, number>();
  const { signal } = options ?? {};
  for await (const { bytes, key } of listAll(store, tablePrefix, { signal })) sizes.set(key, bytes);
  return sizes;
}

/**
 * The newest checkpoint that is whole and from which the log goes on. ForeignError when one is of
 * another cluster or a newer format: nothing older is used then. ObjectError.
 */
export async function findCheckpoint(store: ObjectStore, options: FindOptions): Promise<Found> {
  const skipped: Skipped[] = [];
  for await (const found of wholeCheckpoints(store, options)) {
    if (found.why === undefined) return { manifest: found.manifest, skipped };
    skipped.push(found);
  }
  return { manifest: undefined, skipped };
}

type Candidate = { readonly why?: undefined; readonly manifest: Manifest } | Skipped;

/** Each checkpoint, newest first: its manifest, or why it cannot be used. As `findCheckpoint`. */
export async function* wholeCheckpoints(
  store: ObjectStore,
  options: FindOptions,
): AsyncGenerator<Candidate> {
  const listed = await listCheckpoints(store, options);
  if (listed.length === 0) return;
  const presence = new Presence(store, options);
  const boundary = await readBoundary(store, options);
  for (const { key } of listed) {
    const manifest = await readSound(store, key, options);
    if (manifest === undefined) continue;
    const why = typeof manifest === "string" ? manifest : await presence.problem(manifest.tables);
    if (typeof manifest === "string" || why !== undefined) {
      yield { key, why: why ?? "" };
    } else if (manifest.lastSeq + 1 < boundary.seq) {
      yield { key, why: `the log after it was deleted up to slot ${boundary.seq - 1}` };
    } else {
      yield { manifest };
    }
  }
}

/** A manifest, what is wrong with it, or undefined for none. ForeignError, ObjectError. */
async function readSound(
  store: ObjectStore,
  key: string,
  options: FindOptions,
): Promise<Manifest | string | undefined> {
  try {
    const found = await readManifest(store, key, options);
    const manifest = found?.manifest;
    if (manifest !== undefined && options.cluster !== undefined) {
      refuseOtherCluster(key, manifest.cluster, options.cluster);
    }
    return manifest;
  } catch (error) {
    if (isDamage(error)) return error.message;
    throw error;
  }
}

export interface DownloadOptions extends FindOptions {
  /** How many tables are under way at once. */
  readonly parallel: number;
  /** Whether the disk has the table already, whole. */
  has(hash: string): boolean | Promise<boolean>;
  /** Takes a table, whose bytes have been verified. */
  put(table: TableRef, bytes: Buffer): void | Promise<void>;
  /** Told after each table, and at the beginning: bytes that are there, and that will be. */
  progress?(done: number, total: number): void;
}

/** Fetches the tables of a checkpoint. CorruptionError names one that is damaged or gone; ObjectError. */
export async function download(
  store: ObjectStore,
  manifest: Manifest,
  options: DownloadOptions,
): Promise<void> {
  const total = manifest.tables.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  options.progress?.(done, total);
  await inParallel(manifest.tables, options.parallel, async (table) => {
    if (!(await options.has(table.hash))) {
      const from = table.source === undefined ? store : options.storeAt(table.source);
      await options.put(table, await fetchTable(from, table, options));
    }
    done += table.bytes;
    options.progress?.(done, total);
  });
}

/** The bytes of one table in the prefix where it lies. CorruptionError, ObjectError. */
export async function fetchTable(
  store: ObjectStore,
  table: TableRef,
  options?: CallOptions,
): Promise<Buffer> {
  const key = keyOfTable(table);
  const object = await store.get(key, options);
  const path = `${store.address}${key}`;
  if (object === undefined) throw new CorruptionError(path, 0, "it is gone");
  if (object.bytes.length !== table.bytes || sha256(object.bytes) !== table.hash) {
    throw new CorruptionError(path, 0, "its bytes do not have the hash that names it");
  }
  return object.bytes;
}

/**
 * Fetches the tables of the newest checkpoint that can be had whole; the one before when one of
 * them turns out to be damaged. As `findCheckpoint`.
 */
export async function restoreNewest(
  store: ObjectStore,
  options: DownloadOptions & { skip?(checkpoint: Skipped): void },
): Promise<Found> {
  const skipped: Skipped[] = [];
  const skip = (checkpoint: Skipped) => {
    skipped.push(checkpoint);
    options.skip?.(checkpoint);
  };
  for await (const found of wholeCheckpoints(store, options)) {
    if (found.why !== undefined) {
      skip(found);
      continue;
    }
    try {
      await download(store, found.manifest, options);
      return { manifest: found.manifest, skipped };
    } catch (error) {
      if (!isDamage(error)) throw error;
      skip({ key: keyOf(found.manifest), why: error.message });
    }
  }
  return { manifest: undefined, skipped };
}

/** Whether the bytes are to blame: another checkpoint may be whole. */
export function isDamage(error: unknown): error is Error {
  if (error instanceof ForeignError) return false;
  return (
    error instanceof CorruptionError || (error instanceof ObjectError && error.kind === "damaged")
  );
}
