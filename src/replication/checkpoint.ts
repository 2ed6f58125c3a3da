/**
 * Making a checkpoint, beside the writes and beside gc (collect.ts).
 *
 *   1 read manifest/latest: one with our index, or a later one, is there: nothing to do
 *   2 read what stands under our manifest's key, and remember it
 *   3 put pending-<attempt>.json: the tables of the bucket that we are going to rely on
 *   4 read gc/condemned.json: what is named there is not relied on
 *   5 list the tables: neither is what is not there
 *   6 put the others under keys of this attempt, each read once and held against its hash
 *   7 our term must still be the lock's
 *   8 put the manifest, if what stands there is what stood there in step 2
 *   9 move manifest/latest forward, if it is behind
 *  10 delete our pending
 *
 * Why no table goes that a manifest names, however long anybody sleeps and however late a delete
 * arrives. An object is deleted only after its key was condemned and everything was read again.
 * Where we rely on a table we said so (3) before we read that it is not condemned (4); so whoever
 * condemns it has not done so yet, and will find our pending, or the manifest that came before the
 * pending went (8, 10). A key stays condemned until every run of gc that wanted it has deleted or
 * spared it, or it was found to be gone; gone it stays, because no key of a table is written a
 * second time: what has to be put again is put under the key of another attempt. So what is not
 * condemned (4) and then exists (5), no delete is under way for. What we put ourselves (6) is
 * protected by our pending, whose attempt its keys bear.
 *
 * A pending that nobody finishes is swept, too: first gc puts something else where its manifest
 * would go, or writes that anew, so that (8) fails for ever. The key of a condemned manifest is not
 * written to.
 */
import { Sha256 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Random } from "../lib/random.ts";
import type { Position, Term } from "../model/revision.ts";
import { checkpointKey, latestKey, pendingKey } from "../object/keys.ts";
import { type CallOptions, ObjectError, type ObjectStore } from "../object/store.ts";
import { readCondemned } from "./condemned.ts";
import {
  decodeLatest,
  decodeManifest,
  encodeLatest,
  encodeManifest,
  encodePending,
  type FoundManifest,
  keyOf,
  keyOfTable,
  type Latest,
  latestOf,
  type Manifest,
  nonceOf,
  type TableRef,
} from "./manifest.ts";
import { inParallel } from "./parallel.ts";
import { listCheckpoints, tableSizes } from "./restore.ts";

/** A table on the disk. */
export interface CapturedTable {
  /** SHA-256 of its bytes, lower-case hex. */
  readonly hash: string;
  readonly bytes: number;
  /** All of its bytes. DiskError. */
  read(): Buffer | Promise<Buffer>;
}

/** The database at one moment. */
export interface Capture {
  readonly cluster: bigint;
  /** Of us who lead. */
  readonly term: Term;
  readonly revision: number;
  /** Where the log stands after the last entry the tables hold. */
  readonly position: Position;
  /** Log objects up to this slot hold nothing after it; 0 for none. */
  readonly lastSeq: number;
  readonly floor: number;
  /** The clock at the last entry, in milliseconds since 1970. */
  readonly wallMs: number;
  readonly tree: string;
  readonly tables: readonly CapturedTable[];
}

export interface PublishOptions extends CallOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Tables under way at once. */
  readonly parallel: number;
  /** Milliseconds that one table may take. */
  readonly tableMsMax: number;
  /** The index that is known to be in a checkpoint of this prefix already: makes no request then. */
  readonly knownIndex?: number | undefined;
  /**
   * Tables that the bucket should have, by hash: of the checkpoint before, inherited ones, and what
   * an attempt that failed has uploaded. Those uploaded now are added as they are done.
   */
  readonly known: Map<string, TableRef>;
  /** The term the lock says now. Asked once, before the manifest. */
  lockTerm(): Promise<number>;
}

/** Of a table, hashed without a pause. */
const sliceBytes = 2 ** 19;

/** What it took. */
export interface Uploaded {
  readonly tables: number;
  /** Of the tables. */
  readonly bytes: number;
}

export type Published =
  /** It is there, and nothing newer is. */
  | { readonly outcome: "published"; readonly manifest: Manifest; readonly uploaded: Uploaded }
  /** One with this index, or a later one, was there before. */
  | { readonly outcome: "present"; readonly index: number }
  /** Another leads. */
  | { readonly outcome: "superseded"; readonly term: number }
  /** gc was in the way: another attempt may go well. */
  | { readonly outcome: "disturbed"; readonly why: string };

/**
 * Puts a checkpoint into the bucket. CorruptionError when a table on the disk is not what its name
 * says, or an object is not what was put there; ForeignError; ObjectError: another attempt may go
 * well, what has been uploaded is in `known`.
 */
export async function publish(
  store: ObjectStore,
  capture: Capture,
  options: PublishOptions,
): Promise<Published> {
  const { position, revision, term } = capture;
  if (options.knownIndex === position.index) return { outcome: "present", index: position.index };
  const latest = (await readPointer(store, options))?.latest;
  if (latest !== undefined && latest.index >= position.index) {
    return { outcome: "present", index: latest.index };
  }
  const before = await readStanding(store, checkpointKey(term, revision), options);
  const standing = before?.manifest;
  if (standing !== undefined && standing.position.index >= position.index) {
    // An earlier attempt came this far.
    await moveLatest(store, standing, options);
    return { outcome: "present", index: standing.position.index };
  }
  const attempt = new Attempt(store, capture, options);
  const published = await attempt.run(before?.tag);
  await attempt.finish();
  return published;
}

/** What the next attempt may rely on after this checkpoint. */
export function knownTables(manifest: Manifest): Map<string, TableRef> {
  return new Map(manifest.tables.map((table) => [table.hash, table]));
}

/** One attempt to publish. */
class Attempt {
  readonly #store: ObjectStore;
  readonly #capture: Capture;
  readonly #options: PublishOptions;
  /** Names it, and what it uploads. */
  readonly #id: string;
  readonly #pendingKey: string;
  #tables = 0;
  #bytes = 0;

  constructor(store: ObjectStore, capture: Capture, options: PublishOptions) {
    this.#store = store;
    this.#capture = capture;
    this.#options = options;
    this.#id = nonceOf(options.random);
    this.#pendingKey = pendingKey(capture.term, capture.revision, this.#id);
  }

  /** Steps 3 to 9; `tag` is of what stands under the manifest's key. */
  async run(tag: string | undefined): Promise<Published> {
    const { term } = this.#capture;
    const relied = await this.#reliedOn();
    if (relied === undefined) return { outcome: "disturbed", why: "gc is deleting its key" };
    const tables = await this.#upload(relied);
    const lockTerm = await this.#options.lockTerm();
    if (lockTerm > term) return { outcome: "superseded", term: lockTerm };
    const { tables: _, ...rest } = this.#capture;
    const manifest = { ...rest, attempt: this.#id, tables };
    if (!(await this.#put(manifest, tag))) {
      return { outcome: "disturbed", why: "gc gave this attempt up" };
    }
    await moveLatest(this.#store, manifest, this.#options);
    const uploaded = { tables: this.#tables, bytes: this.#bytes };
    return { outcome: "published", manifest, uploaded };
  }

  /** Step 10. */
  async finish(): Promise<void> {
    try {
      await this.#store.delete(this.#pendingKey, this.#options);
    } catch (error) {
      // What came of the attempt stands; gc removes what is left of it.
      if (!(error instanceof ObjectError)) throw error;
    }
  }

  /** Steps 3 to 5: tables that are there and will stay; undefined when our key is condemned. */
  async #reliedOn(): Promise<Map<string, TableRef> | undefined> {
    const { revision, tables, term, wallMs } = this.#capture;
    const wanted = tables.flatMap(({ bytes, hash }) => {
      const known = this.#options.known.get(hash);
      return known?.bytes === bytes ? [known] : [];
    });
    const pending = encodePending({ wallMs, tables: wanted });
    await this.#store.putIfAbsent(this.#pendingKey, pending, this.#options);
    const condemned = await readCondemned(this.#store, this.#options);
    if (condemned.keys.has(checkpointKey(term, revision))) return undefined;
    const isOwn = ({ source }: TableRef) => source === undefined;
    const sizes = wanted.some(isOwn)
      ? await tableSizes(this.#store, this.#options)
      : new Map<string, number>();
    const usable = wanted.filter((table) => {
      // What is inherited is kept by the pin of this branch.
      if (!isOwn(table)) return true;
      const key = keyOfTable(table);
      return !condemned.keys.has(key) && sizes.get(key) === table.bytes;
    });
    return new Map(usable.map((table) => [table.hash, table]));
  }

  /** Step 6: all tables of the checkpoint. */
  async #upload(relied: ReadonlyMap<string, TableRef>): Promise<TableRef[]> {
    const { parallel } = this.#options;
    const refs = new Map(relied);
    const missing = this.#capture.tables.filter(({ hash }) => !refs.has(hash));
    await inParallel(missing, parallel, async (table) => {
      const ref = { hash: table.hash, bytes: table.bytes, copy: this.#id };
      const bytes = await table.read();
      if (bytes.length !== table.bytes || (await this.#hashOf(bytes)) !== table.hash) {
        const hint = "its bytes in the data directory have changed";
        throw new CorruptionError(`table ${table.hash}`, 0, "it has another hash", hint);
      }
      await within(this.#options, keyOfTable(ref), (signal) =>
        this.#store.put(keyOfTable(ref), bytes, { signal }),
      );
      refs.set(table.hash, ref);
      this.#options.known.set(table.hash, ref);
      this.#tables += 1;
      this.#bytes += table.bytes;
    });
    return [...refs.values()];
  }

  /** SHA-256 of a table, in slices: whoever writes does not wait for the whole of it. */
  async #hashOf(bytes: Buffer): Promise<string> {
    const hash = new Sha256();
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      hash.update(bytes.subarray(at, at + sliceBytes));
      await this.#options.clock.yield();
    }
    return hash.digest();
  }

  /** Step 8: whether our manifest stands there now. */
  async #put(manifest: Manifest, tag: string | undefined): Promise<boolean> {
    const key = checkpointKey(manifest.term, manifest.revision);
    const bytes = encodeManifest(manifest);
    const written =
      tag === undefined
        ? await this.#store.putIfAbsent(key, bytes, this.#options)
        : await this.#store.putIfMatch(key, bytes, tag, this.#options);
    if (written !== undefined) return true;
    // Refused; perhaps because it was sent twice.
    const now = await readStanding(this.#store, key, this.#options);
    return now?.manifest?.attempt === manifest.attempt;
  }
}

/**
 * Makes `manifest/latest` point to a checkpoint unless it points to a later one. A damaged pointer
 * is replaced when no checkpoint is newer. ForeignError, ObjectError.
 */
export async function moveLatest(
  store: ObjectStore,
  manifest: Manifest,
  options?: CallOptions,
): Promise<void> {
  const bytes = encodeLatest(latestOf(manifest));
  for (;;) {
    const now = await readPointer(store, options);
    if (now?.latest !== undefined && now.latest.index >= manifest.position.index) return;
    if (now !== undefined && now.latest === undefined) {
      const [newest] = await listCheckpoints(store, options);
      if (newest?.key !== keyOf(manifest)) return;
    }
    const written =
      now === undefined
        ? await store.putIfAbsent(latestKey, bytes, options)
        : await store.putIfMatch(latestKey, bytes, now.tag, options);
    if (written !== undefined) return;
  }
}

/** As `readLatest`; `latest` is undefined when it is damaged. */
async function readPointer(
  store: ObjectStore,
  options?: CallOptions,
): Promise<{ latest: Latest | undefined; tag: string } | undefined> {
  const object = await store.get(latestKey, options);
  return object && { latest: unlessDamaged(() => decodeLatest(object.bytes)), tag: object.tag };
}

/** As `readManifest`; what is damaged may be replaced like an attempt that was given up. */
async function readStanding(
  store: ObjectStore,
  key: string,
  options?: CallOptions,
): Promise<FoundManifest | undefined> {
  const object = await store.get(key, options);
  if (object === undefined) return undefined;
  const manifest = unlessDamaged(() => decodeManifest(key, object.bytes));
  return { key, tag: object.tag, manifest };
}

function unlessDamaged<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  }
}

/** Gives `work` up when it takes longer than one table may; ObjectError. */
async function within<T>(
  { clock, signal, tableMsMax }: PublishOptions,
  key: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  const tooLong = new ObjectError("unknown", "put", key, `it took more than ${tableMsMax} ms`);
  const timer = clock.sleep(tableMsMax, done.signal).then(() => {
    if (!done.signal.aborted) late.abort(tooLong);
  });
  try {
    return await work(signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]));
  } finally {
    done.abort();
    await timer;
  }
}
