/**
 * Every key there is, below the prefix of one database:
 *
 *   leader-lock                                      who leads, by conditional writes only
 *   nodes/<incarnation>                              one for each formatted data directory
 *   wal/<seq, 20 digits>                             log object: data or fence
 *   sst/<sha256>-<copy>                              table; every upload makes a key of its own
 *   checkpoint/<term, 10>/<revision, 20>/manifest.json   what a checkpoint is made of
 *   checkpoint/<term, 10>/<revision, 20>/pending-<attempt>.json   what one being made will use
 *   manifest/latest                                  pointer to the newest checkpoint
 *   branches/<id>                                    a fork's pin
 *   points/<id>                                      a restore point's pin
 *   gc/boundary                                      below it log objects may be gone
 *   gc/condemned.json                                what gc is about to delete
 *   probe/<nonce>                                    of the start-up probe; removed again
 *
 * Numbers are padded, so that byte order is their order. A copy or an attempt is 16 hex digits, drawn
 * anew each time (replication/checkpoint.ts).
 */

export const lockKey = "leader-lock";
export const latestKey = "manifest/latest";
export const boundaryKey = "gc/boundary";
export const condemnedKey = "gc/condemned.json";
export const nodesPrefix = "nodes/";
export const logPrefix = "wal/";
export const tablePrefix = "sst/";
export const checkpointPrefix = "checkpoint/";
export const branchPrefix = "branches/";
export const pointPrefix = "points/";
export const probePrefix = "probe/";

const manifestName = "manifest.json";

/** `incarnation` is a member id. */
export function nodeKey(incarnation: bigint): string {
  return `${nodesPrefix}${incarnation.toString(16)}`;
}

/** The log object in slot `seq`, from 1. */
export function logKey(seq: number): string {
  return `${logPrefix}${padded(seq, 20)}`;
}

/** The slot of a log object; undefined when `key` is none's. */
export function seqOf(key: string): number | undefined {
  const [, digits] = /^wal\/(\d{20})$/.exec(key) ?? [];
  return safeInteger(digits);
}

/** The table with this lower-case hex SHA-256, as the attempt `copy` uploaded it. */
export function tableKey(hash: string, copy: string): string {
  return `${tablePrefix}${hash}-${copy}`;
}

/** Hash and copy of a table; undefined when `key` is none's. */
export function tableOfKey(key: string): { hash: string; copy: string } | undefined {
  const [, hash, copy] = /^sst\/([0-9a-f]{64})-([0-9a-f]{16})$/.exec(key) ?? [];
  return hash === undefined || copy === undefined ? undefined : { hash, copy };
}

/** What a checkpoint of this term and revision consists of. People call a checkpoint by this key. */
export function checkpointKey(term: number, revision: number): string {
  return `${checkpointPrefix}${padded(term, 10)}/${padded(revision, 20)}/${manifestName}`;
}

/** Beside a checkpoint's manifest: the tables that an attempt to make it will use. */
export function pendingKey(term: number, revision: number, attempt: string): string {
  return `${checkpointPrefix}${padded(term, 10)}/${padded(revision, 20)}/pending-${attempt}.json`;
}

/**
 * Term and revision in the key of a checkpoint's object, and the attempt when it is pending;
 * undefined when `key` is none's.
 */
export function checkpointOfKey(
  key: string,
): { term: number; revision: number; attempt: string | undefined } | undefined {
  const [, termDigits, revisionDigits, , attempt] =
    /^checkpoint\/(\d{10})\/(\d{20})\/(manifest|pending-([0-9a-f]{16}))\.json$/.exec(key) ?? [];
  const term = safeInteger(termDigits);
  const revision = safeInteger(revisionDigits);
  return term === undefined || revision === undefined ? undefined : { term, revision, attempt };
}

export function branchKey(id: string): string {
  return `${branchPrefix}${id}`;
}

export function pointKey(id: string): string {
  return `${pointPrefix}${id}`;
}

function padded(value: number, digits: number): string {
  return `${value}`.padStart(digits, "0");
}

function safeInteger(digits: string | undefined): number | undefined {
  const value = Number(digits);
  return digits !== undefined && Number.isSafeInteger(value) ? value : undefined;
}
