/**
 * What a checkpoint is made of, and who points to it. Sealed JSON (sealed.ts), one line each:
 *
 *   checkpoint/<term>/<revision>/manifest.json
 *     {"format_version":1,"cluster":hex,"term":n,"revision":n,"index":n,"entry_term":n,"chain":hex,
 *      "last_seq":n,"floor":n,"wall_ms":n,"attempt":16 hex,"touched"?:16 hex,
 *      "tables":[{"hash":64 hex,"bytes":n,"copy":16 hex,"source"?:prefix},…],"tree":text,…}
 *     or {"format_version":1,"abandoned":16 hex,…}: nothing; keeps an attempt out (checkpoint.ts)
 *   checkpoint/<term>/<revision>/pending-<attempt>.json
 *     {"format_version":1,"wall_ms":n,"tables":[…],…}
 *   manifest/latest
 *     {"format_version":1,"checkpoint_key":key,"revision":n,"term":n,"index":n,"last_wal_key":key,…}
 *
 * `index`, `entry_term` and `chain` are where the log stands after the last entry the tables hold;
 * log objects up to `last_seq` hold nothing after it. `source` is the prefix in the same bucket
 * where an inherited table lies; without it, it lies beside the manifest. `tree` is what the tables
 * are to each other, in words of their own.
 */
import { CorruptionError } from "../lib/corruption.ts";
import type { Random } from "../lib/random.ts";
import { indexOf, type Position, type Term, termOf } from "../model/revision.ts";
import { checkpointKey, checkpointOfKey, latestKey, logKey, tableKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { Fields, type Json, seal, unseal } from "./sealed.ts";

const formatVersion = 1;

/** A table in the bucket. */
export interface TableRef {
  /** SHA-256 of its bytes, lower-case hex. */
  readonly hash: string;
  readonly bytes: number;
  /** Which upload of it: 16 hex digits. */
  readonly copy: string;
  /** The prefix where it lies, of the same bucket; undefined where the manifest lies. */
  readonly source?: string | undefined;
}

export interface Manifest {
  readonly cluster: bigint;
  /** Of the leader who made it. */
  readonly term: Term;
  /** Of the store, and where its log stands. */
  readonly revision: number;
  readonly position: Position;
  /** Log objects up to this slot hold nothing after `position`; 0 for none. */
  readonly lastSeq: number;
  /** The compaction revision; -1 before the first compaction. */
  readonly floor: number;
  /** The leader's clock at the last entry, in milliseconds since 1970. */
  readonly wallMs: number;
  /** 16 hex digits, of the attempt that made it. */
  readonly attempt: string;
  /** No two of the same hash. */
  readonly tables: readonly TableRef[];
  readonly tree: string;
}

/** A checkpoint's manifest as it was found. */
export interface FoundManifest {
  readonly key: string;
  readonly tag: string;
  /** undefined where an attempt was kept out and nothing else is there. */
  readonly manifest: Manifest | undefined;
}

/** The tables that an attempt which has not finished will use, beside those it uploads itself. */
export interface Pending {
  readonly wallMs: number;
  readonly tables: readonly TableRef[];
}

/** The pointer to the newest checkpoint. */
export interface Latest {
  readonly checkpointKey: string;
  readonly revision: number;
  readonly term: number;
  readonly index: number;
  /** The newest log object that the checkpoint covers; empty for none. */
  readonly lastWalKey: string;
}

/** People call a checkpoint by this key. */
export function keyOf(manifest: Manifest): string {
  return checkpointKey(manifest.term, manifest.revision);
}

/** The key of a table, below its source where it has one. */
export function keyOfTable(table: TableRef): string {
  return tableKey(table.hash, table.copy);
}

/** What makes an attempt, a copy or a content unlike every other: 16 hex digits. */
export function nonceOf(random: Random): string {
  return random.u64().toString(16).padStart(16, "0");
}

export function encodeManifest(manifest: Manifest, touched?: string): Buffer {
  return seal({ ...manifestJson(manifest), touched });
}

/** Stands where an attempt would have put its manifest, which it cannot any more. */
export function encodeAbandoned(attempt: string): Buffer {
  return seal({ format_version: formatVersion, abandoned: attempt });
}

/**
 * The manifest found under `key`; undefined when only an attempt was kept out there.
 * CorruptionError when it is damaged, ForeignError when a newer T4 wrote it.
 */
export function decodeManifest(key: string, bytes: Buffer): Manifest | undefined {
  const fields = unseal(key, bytes, formatVersion);
  if (fields.json.abandoned !== undefined) return undefined;
  const manifest = manifestOf(key, fields);
  const place = checkpointOfKey(key);
  if (place?.term !== manifest.term || place.revision !== manifest.revision) {
    throw new CorruptionError(key, 0, `it is the manifest of ${keyOf(manifest)}`);
  }
  return manifest;
}

/** A manifest as a part of another object. */
export function manifestJson(manifest: Manifest): Json {
  const { position } = manifest;
  return {
    format_version: formatVersion,
    cluster: manifest.cluster.toString(16),
    term: manifest.term,
    revision: manifest.revision,
    index: position.index,
    entry_term: position.term,
    chain: position.chain.toString(16),
    last_seq: manifest.lastSeq,
    floor: manifest.floor,
    wall_ms: manifest.wallMs,
    attempt: manifest.attempt,
    tables: manifest.tables.map(tableJson),
    tree: manifest.tree,
  };
}

/** The manifest that these fields of the object under `key` are. CorruptionError. */
export function manifestOf(key: string, fields: Fields): Manifest {
  const position: Position = {
    index: indexOf(fields.integer("index")),
    term: termOf(fields.integer("entry_term")),
    chain: BigInt(`0x${fields.text("chain", /^[0-9a-f]{1,16}$/)}`),
  };
  return {
    cluster: fields.id("cluster"),
    term: termOf(fields.integer("term")),
    revision: fields.integer("revision"),
    position,
    lastSeq: fields.integer("last_seq"),
    floor: fields.integer("floor", -1),
    wallMs: fields.integer("wall_ms"),
    attempt: fields.text("attempt", attemptPattern),
    tables: tablesOf(key, fields),
    tree: fields.text("tree"),
  };
}

export function encodePending(pending: Pending): Buffer {
  const { tables, wallMs } = pending;
  return seal({
    format_version: formatVersion,
    wall_ms: wallMs,
    tables: tables.map(tableJson),
  });
}

/** As `decodeManifest`. */
export function decodePending(key: string, bytes: Buffer): Pending {
  const fields = unseal(key, bytes, formatVersion);
  return { wallMs: fields.integer("wall_ms"), tables: tablesOf(key, fields) };
}

/** The pointer to a checkpoint. */
export function latestOf(manifest: Manifest): Latest {
  return {
    checkpointKey: keyOf(manifest),
    revision: manifest.revision,
    term: manifest.term,
    index: manifest.position.index,
    lastWalKey: manifest.lastSeq === 0 ? "" : logKey(manifest.lastSeq),
  };
}

export function encodeLatest(latest: Latest): Buffer {
  return seal({
    format_version: formatVersion,
    checkpoint_key: latest.checkpointKey,
    revision: latest.revision,
    term: latest.term,
    index: latest.index,
    last_wal_key: latest.lastWalKey,
  });
}

/** As `decodeManifest`. */
export function decodeLatest(bytes: Buffer): Latest {
  const fields = unseal(latestKey, bytes, formatVersion);
  return {
    checkpointKey: fields.text("checkpoint_key", /^checkpoint\//),
    revision: fields.integer("revision"),
    term: fields.integer("term"),
    index: fields.integer("index"),
    lastWalKey: fields.text("last_wal_key"),
  };
}

/** What `manifest/latest` says, with its tag; undefined before the first checkpoint. As `decodeManifest`. */
export async function readLatest(
  store: ObjectStore,
  options?: CallOptions,
): Promise<{ latest: Latest; tag: string } | undefined> {
  const object = await store.get(latestKey, options);
  return object && { latest: decodeLatest(object.bytes), tag: object.tag };
}

/** The manifest under a checkpoint's key; undefined when nothing is there. As `decodeManifest`. */
export async function readManifest(
  store: ObjectStore,
  key: string,
  options?: CallOptions,
): Promise<FoundManifest | undefined> {
  const object = await store.get(key, options);
  return object && { key, tag: object.tag, manifest: decodeManifest(key, object.bytes) };
}

const attemptPattern = /^[0-9a-f]{16}$/;

function tableJson({ bytes, copy, hash, source }: TableRef): Json {
  return { hash, bytes, copy, source };
}

function tablesOf(key: string, fields: Fields): TableRef[] {
  const list = fields.json.tables;
  if (!Array.isArray(list)) throw new CorruptionError(key, 0, 'its field "tables" is no list');
  const tables = list.map((json: Json) => {
    const table = new Fields(key, json ?? {});
    const source = table.json.source === undefined ? undefined : table.text("source");
    return {
      hash: table.text("hash", /^[0-9a-f]{64}$/),
      bytes: table.integer("bytes"),
      copy: table.text("copy", attemptPattern),
      source,
    };
  });
  if (new Set(tables.map(({ hash }) => hash)).size !== tables.length) {
    throw new CorruptionError(key, 0, "it names a table twice");
  }
  return tables;
}
