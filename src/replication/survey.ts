/**
 * What stands in a prefix, read whole for gc: what is needed, and what is there. The order matters:
 * first what is condemned, then pending checkpoints, pins, manifests, and tables. An attempt that finishes
 * meanwhile is seen as one or the other, as its manifest comes before its pending goes; and what a
 * manifest names was there before it.
 */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import {
  branchPrefix,
  checkpointOfKey,
  checkpointPrefix,
  condemnedKey,
  latestKey,
  pointPrefix,
  tablePrefix,
} from "../object/keys.ts";
import {
  type CallOptions,
  type ListedObject,
  listAll,
  ObjectError,
  type ObjectStore,
} from "../object/store.ts";
import { type Condemned, readCondemned } from "./condemned.ts";
import {
  decodePending,
  type FoundManifest,
  keyOfTable,
  type Latest,
  type Manifest,
  type Pending,
  readLatest,
  readManifest,
  type TableRef,
} from "./manifest.ts";
import { type FoundPin, readPin } from "./pin.ts";

/** An attempt to make a checkpoint that has not finished. */
export interface FoundPending extends Pending {
  readonly key: string;
  readonly term: number;
  readonly revision: number;
  readonly attempt: string;
  readonly modifiedMs: number;
}

/** A manifest and when it was written, by the store's clock. */
export interface Surveyed extends FoundManifest {
  readonly modifiedMs: number;
}

/** An object that cannot be read, and why. */
export interface Unreadable {
  readonly key: string;
  readonly why: string;
}

export interface Survey {
  readonly condemned: Condemned;
  readonly pendings: readonly FoundPending[];
  /** Released ones too. */
  readonly pins: readonly FoundPin[];
  readonly checkpoints: readonly Surveyed[];
  readonly tables: ReadonlyMap<string, ListedObject>;
  readonly latest: Latest | undefined;
  /** With one of these nothing may be deleted. */
  readonly unreadable: readonly Unreadable[];
}

/** Reads all of it. ObjectError when the store fails. */
export async function survey(store: ObjectStore, options?: CallOptions): Promise<Survey> {
  const reader = new Reader(store, options);
  const condemned = await reader.sound(condemnedKey, () => readCondemned(store, options));
  const pendings = await reader.pendings();
  const pins = await reader.pins();
  const latest = await reader.sound(latestKey, () => readLatest(store, options));
  const checkpoints = await reader.checkpoints();
  if (latest !== undefined) await reader.checkLatest(latest.latest, latest.tag, checkpoints);
  const tables = new Map<string, ListedObject>();
  for await (const table of reader.list(tablePrefix)) tables.set(table.key, table);
  return {
    condemned: condemned ?? { writes: 0, keys: new Map() },
    pendings,
    pins,
    checkpoints,
    tables,
    latest: latest?.latest,
    unreadable: reader.unreadable,
  };
}

/** Reads on after what cannot be read, and notes it. */
class Reader {
  readonly unreadable: Unreadable[] = [];
  readonly #store: ObjectStore;
  readonly #options: CallOptions | undefined;

  constructor(store: ObjectStore, options: CallOptions | undefined) {
    this.#store = store;
    this.#options = options;
  }

  /** What was read; undefined when it cannot be. */
  async sound<T>(key: string, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      this.unreadable.push({ key, why: error.message });
      return undefined;
    }
  }

  list(prefix: string): AsyncIterable<ListedObject> {
    return listAll(this.#store, prefix, { signal: this.#options?.signal });
  }

  async pendings(): Promise<FoundPending[]> {
    const pendings: FoundPending[] = [];
    for await (const { key, modifiedMs } of this.list(checkpointPrefix)) {
      const { attempt, revision, term } = checkpointOfKey(key) ?? {};
      if (attempt === undefined || revision === undefined || term === undefined) continue;
      const found = await this.sound(key, () => readPending(this.#store, key, this.#options));
      if (found !== undefined)
        pendings.push({ ...found, key, term, revision, attempt, modifiedMs });
    }
    return pendings;
  }

  async pins(): Promise<FoundPin[]> {
    const pins: FoundPin[] = [];
    for (const prefix of [branchPrefix, pointPrefix]) {
      for await (const { key } of this.list(prefix)) {
        const found = await this.sound(key, () => readPin(this.#store, key, this.#options));
        if (found !== undefined) pins.push(found);
      }
    }
    return pins;
  }

  async checkpoints(): Promise<Surveyed[]> {
    const checkpoints: Surveyed[] = [];
    for await (const { key, modifiedMs } of this.list(checkpointPrefix)) {
      const place = checkpointOfKey(key);
      if (place === undefined || place.attempt !== undefined) continue;
      const found = await this.sound(key, () => readManifest(this.#store, key, this.#options));
      if (found !== undefined) checkpoints.push({ ...found, modifiedMs });
    }
    return checkpoints;
  }

  /** A pointer that still says the same names a checkpoint that is there. */
  async checkLatest(
    { checkpointKey }: Latest,
    tag: string,
    checkpoints: readonly Surveyed[],
  ): Promise<void> {
    if (checkpoints.some(({ key }) => key === checkpointKey)) return;
    if ((await this.#store.getIfChanged(latestKey, tag, this.#options)) !== "same") return;
    this.unreadable.push({ key: latestKey, why: `it names ${checkpointKey}, which is not there` });
  }
}

/** Keys of those of `tables` that lie in the manifest's own prefix. */
export function ownKeys(tables: readonly TableRef[]): string[] {
  return tables.filter(({ source }) => source === undefined).map(keyOfTable);
}

/** Whether all tables of its own prefix are there, as long as it says. */
export function isWhole(manifest: Manifest, tables: Survey["tables"]): boolean {
  return manifest.tables.every(
    (table) => table.source !== undefined || tables.get(keyOfTable(table))?.bytes === table.bytes,
  );
}

async function readPending(
  store: ObjectStore,
  key: string,
  options?: CallOptions,
): Promise<Pending | undefined> {
  const object = await store.get(key, options);
  return object && decodePending(key, object.bytes);
}

/** Whether the object is to blame: it is damaged, or of a newer T4. */
export function isUnreadable(error: unknown): error is Error {
  if (error instanceof CorruptionError || error instanceof ForeignError) return true;
  return error instanceof ObjectError && error.kind === "damaged";
}
