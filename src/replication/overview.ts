/** What a prefix holds, told at a glance: for people, without reading what is large. */
import {
  checkpointOfKey,
  checkpointPrefix,
  lockKey,
  logKey,
  logPrefix,
  seqOf,
  tablePrefix,
} from "../object/keys.ts";
import { type CallOptions, type ListedObject, listAll, type ObjectStore } from "../object/store.ts";
import { findEnd, type LogEnd } from "./archive.ts";
import { readBoundary } from "./boundary.ts";
import { type ListedBranch, listBranches } from "./branch.ts";
import { type Head, readHead } from "./lock.ts";
import { type Latest, type Manifest, readLatest, readManifest } from "./manifest.ts";
import { inParallel } from "./parallel.ts";
import { decodeLogObject, fenceBytes } from "./record.ts";
import { isUnreadable } from "./survey.ts";

/** A checkpoint in the list. */
export interface Shown {
  readonly key: string;
  readonly term: number;
  readonly revision: number;
  /** When its manifest was put, by the store's clock, in milliseconds since 1970. */
  readonly madeMs: number;
  /** Undefined when it cannot be read. */
  readonly manifest: Manifest | undefined;
  /** Why it cannot be read. */
  readonly why: string | undefined;
}

/** The log in the bucket. */
export interface LogExtent {
  readonly objects: number;
  readonly fences: number;
  readonly bytes: number;
  /** The first slot that gc has left whole, and the last in use; 0 for none. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** After the first change that is in these slots; undefined when there is none. */
  readonly firstRevision: number | undefined;
  /** Where it ends; undefined while nobody has led. */
  readonly end: LogEnd | undefined;
}

export interface Overview {
  /** What manifest/latest says. */
  readonly latest: Latest | undefined;
  /** All checkpoints, oldest first; without attempts that were given up. */
  readonly checkpoints: readonly Shown[];
  readonly log: LogExtent;
  readonly tables: { readonly objects: number; readonly bytes: number };
  readonly branches: readonly ListedBranch[];
  readonly head: Head | undefined;
}

const parallel = 16;

/**
 * Whether there is anything of a database below the prefix: a lock, a checkpoint or a log, readable
 * or not. ObjectError.
 */
export async function holdsDatabase(store: ObjectStore, options?: CallOptions): Promise<boolean> {
  if ((await store.get(lockKey, options)) !== undefined) return true;
  for (const prefix of [logPrefix, checkpointPrefix]) {
    if ((await store.list(prefix, undefined, options)).objects.length > 0) return true;
  }
  return false;
}

/** Looks at everything. CorruptionError, ForeignError, ObjectError. */
export async function overviewOf(store: ObjectStore, options?: CallOptions): Promise<Overview> {
  const head = (await readHead(store, options))?.head;
  const latest = (await readLatest(store, options))?.latest;
  const checkpoints = await showCheckpoints(store, options);
  const cluster = head?.cluster ?? checkpoints.find(({ manifest }) => manifest)?.manifest?.cluster;
  return {
    latest,
    checkpoints,
    log: await extentOf(store, cluster, options),
    tables: await totalOf(store, tablePrefix, options),
    branches: await listBranches(store, options),
    head,
  };
}

/** Every checkpoint, oldest first, and what its manifest says. ObjectError. */
export async function showCheckpoints(
  store: ObjectStore,
  options: CallOptions = {},
): Promise<Shown[]> {
  const { signal } = options;
  const listed: ListedObject[] = [];
  for await (const object of listAll(store, checkpointPrefix, { signal })) listed.push(object);
  const shown: Shown[] = [];
  await inParallel(listed, parallel, async ({ key, modifiedMs }) => {
    const place = checkpointOfKey(key);
    if (place === undefined || place.attempt !== undefined) return;
    const { revision, term } = place;
    const read = await readPatiently(store, key, options);
    if (read !== undefined) shown.push({ key, term, revision, madeMs: modifiedMs, ...read });
  });
  return shown.sort((a, b) => a.revision - b.revision || a.term - b.term);
}

/** Undefined where only an attempt was given up, or what was there is gone. */
async function readPatiently(store: ObjectStore, key: string, options: CallOptions) {
  try {
    const manifest = (await readManifest(store, key, options))?.manifest;
    return manifest && { manifest, why: undefined };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { manifest: undefined, why: error.message };
  }
}

async function extentOf(
  store: ObjectStore,
  cluster: bigint | undefined,
  options: CallOptions = {},
): Promise<LogExtent> {
  const { signal } = options;
  const boundary = await readBoundary(store, options);
  let [objects, fences, bytes, firstSeq, lastSeq] = [0, 0, 0, 0, 0];
  let firstData: number | undefined;
  for await (const object of listAll(store, logPrefix, { signal })) {
    const seq = seqOf(object.key);
    if (seq === undefined) continue;
    objects++;
    bytes += object.bytes;
    if (object.bytes <= fenceBytes) fences++;
    else if (seq >= boundary.seq) firstData ??= seq;
    if (seq >= boundary.seq && firstSeq === 0) firstSeq = seq;
    lastSeq = seq;
  }
  const extent = { objects, fences, bytes, firstSeq, lastSeq };
  if (cluster === undefined) return { ...extent, firstRevision: undefined, end: undefined };
  const first = firstData && (await store.get(logKey(firstData), options));
  return {
    ...extent,
    firstRevision:
      first && firstData
        ? decodeLogObject(firstData, first.bytes, cluster).firstRevision
        : undefined,
    end: await findEnd(store, cluster, { signal }),
  };
}

async function totalOf(store: ObjectStore, prefix: string, options: CallOptions = {}) {
  let [objects, bytes] = [0, 0];
  for await (const object of listAll(store, prefix, { signal: options.signal })) {
    objects++;
    bytes += object.bytes;
  }
  return { objects, bytes };
}
