/**
 * A pin: something outside the list of checkpoints that needs one of them. Sealed JSON (sealed.ts):
 *
 *   branches/<id>, points/<id>
 *     {"format_version":1,"ancestor_checkpoint_key":key,"created_ms":n,"nonce":16 hex,
 *      "verified"?:true,"branch_prefix"?:prefix,"expires_ms"?:n,"released_ms"?:n,
 *      "checkpoint":{manifest},…}
 *
 * It holds the manifest itself: what it needs does not change when the checkpoint is made anew, or
 * is damaged. Making one:
 *
 *   1 read the checkpoint's manifest
 *   2 put the pin, if none has that id, or the one there was released or is of a branch's fork that
 *     did not finish
 *   3 read gc/condemned.json: neither checkpoint nor tables nor the pin are named there
 *   4 list the tables: all are there
 *   5 else release it again
 *   6 of a branch: mark it as verified, if it still is what was put in 2
 *
 * gc condemns first and looks for pins then: as in checkpoint.ts, one of the two sees the other. A
 * pin is not deleted when it is let go, a mark is put in its place by a conditional write: a delete
 * that arrives late would hit the next pin with that id. gc deletes such marks a day later.
 *
 * A branch begins with a verified pin only: who put another may have died before 3, while gc went on
 * to delete what it names. gc itself does not ask: whatever pin it finds keeps what it names.
 */
import type { Random } from "../lib/random.ts";
import { pointKey, pointPrefix } from "../object/keys.ts";
import { type CallOptions, listAll, type ObjectStore } from "../object/store.ts";
import { readCondemned } from "./condemned.ts";
import {
  keyOf,
  keyOfTable,
  type Manifest,
  manifestJson,
  manifestOf,
  nonceOf,
  readManifest,
} from "./manifest.ts";
import { type FindOptions, Presence } from "./restore.ts";
import { type Json, seal, unseal } from "./sealed.ts";

const formatVersion = 1;
const holdName = "reading-";

export interface Pin {
  /** The checkpoint as it was. */
  readonly checkpoint: Manifest;
  /** Milliseconds since 1970, by the clock of who made it; as those below. */
  readonly createdMs: number;
  /** 16 hex digits; no two contents are equal. */
  readonly nonce: string;
  /** Whether steps 3 and 4 went well; of a branch's pin only, and not of one older than the mark. */
  readonly isVerified?: boolean | undefined;
  /** Where the branch keeps its own; undefined before it has started, and for others. */
  readonly branchPrefix?: string | undefined;
  /** When it ends by itself: the hold of a reader. */
  readonly expiresMs?: number | undefined;
  /** When it was let go: it pins nothing any more. */
  readonly releasedMs?: number | undefined;
  /** What a restore point says beside it (points.ts). */
  readonly point?: Json | undefined;
}

export interface FoundPin {
  readonly key: string;
  readonly tag: string;
  readonly pin: Pin;
}

export function encodePin(pin: Pin): Buffer {
  return seal({
    format_version: formatVersion,
    ancestor_checkpoint_key: keyOf(pin.checkpoint),
    created_ms: pin.createdMs,
    nonce: pin.nonce,
    verified: pin.isVerified,
    branch_prefix: pin.branchPrefix,
    expires_ms: pin.expiresMs,
    released_ms: pin.releasedMs,
    checkpoint: manifestJson(pin.checkpoint),
    point: pin.point,
  });
}

/** CorruptionError when it is damaged, ForeignError when a newer T4 wrote it. */
export function decodePin(key: string, bytes: Buffer): Pin {
  const fields = unseal(key, bytes, formatVersion);
  const { json } = fields;
  const optional = (name: string) => (json[name] === undefined ? undefined : fields.integer(name));
  return {
    checkpoint: manifestOf(key, fields.fields("checkpoint")),
    createdMs: fields.integer("created_ms"),
    nonce: fields.text("nonce"),
    isVerified: json.verified === undefined ? undefined : fields.boolean("verified"),
    branchPrefix: json.branch_prefix === undefined ? undefined : fields.text("branch_prefix"),
    expiresMs: optional("expires_ms"),
    releasedMs: optional("released_ms"),
    point: json.point === undefined ? undefined : fields.fields("point").json,
  };
}

/** The pin under `key`, a released one too. As `decodePin`; ObjectError. */
export async function readPin(
  store: ObjectStore,
  key: string,
  options?: CallOptions,
): Promise<FoundPin | undefined> {
  const object = await store.get(key, options);
  return object && { key, tag: object.tag, pin: decodePin(key, object.bytes) };
}

/** Whether it pins anything at `nowMs`, milliseconds since 1970. */
export function isActive(pin: Pin, nowMs: number): boolean {
  return pin.releasedMs === undefined && (pin.expiresMs === undefined || nowMs < pin.expiresMs);
}

/** Why there is no pin now. */
export type PinRefusal =
  | { readonly outcome: "taken" }
  /** There is no such checkpoint. */
  | { readonly outcome: "noCheckpoint" }
  /** It is not whole, or not for long. */
  | { readonly outcome: "unusable"; readonly why: string };

export type Pinned = { readonly outcome: "pinned"; readonly pin: FoundPin } | PinRefusal;

export interface PinOptions extends FindOptions {
  readonly random: Random;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly expiresMs?: number;
}

/** Pins the checkpoint under `checkpointKey`: 1 to 5. CorruptionError, ForeignError, ObjectError. */
export async function pinCheckpoint(
  store: ObjectStore,
  key: string,
  checkpointKey: string,
  options: PinOptions,
): Promise<Pinned> {
  const { expiresMs, nowMs, random } = options;
  const checkpoint = (await readManifest(store, checkpointKey, options))?.manifest;
  if (checkpoint === undefined) return { outcome: "noCheckpoint" };
  const there = await readPin(store, key, options);
  if (there !== undefined && isActive(there.pin, nowMs) && isReliedOn(there.pin)) {
    return { outcome: "taken" };
  }
  const pin: Pin = { checkpoint, createdMs: nowMs, nonce: nonceOf(random), expiresMs };
  const found = await putPin(store, key, pin, there?.tag, options);
  if (found === undefined) return { outcome: "taken" };
  const why = await problemOf(store, found, options);
  if (why === undefined) return { outcome: "pinned", pin: found };
  // Where it cannot be released, it is not there any more: another fork has taken the id.
  if (!(await releasePin(store, found, options))) return { outcome: "taken" };
  return { outcome: "unusable", why };
}

/** Step 6: for the branch that is to begin with it. As `pinCheckpoint`. */
export async function verifyPin(
  store: ObjectStore,
  { key, pin, tag }: FoundPin,
  options: Pick<PinOptions, "random" | "signal">,
): Promise<Pinned> {
  const verified = { ...pin, isVerified: true, nonce: nonceOf(options.random) };
  const found = await putPin(store, key, verified, tag, options);
  return found === undefined ? { outcome: "taken" } : { outcome: "pinned", pin: found };
}

/** Whether somebody may count on it: not on one whose fork goes on or did not finish, nor on a hold. */
export function isReliedOn({ branchPrefix, isVerified, point }: Pin): boolean {
  return isVerified === true || branchPrefix !== undefined || point !== undefined;
}

/**
 * Writes a pin where `tag` stands, or nothing; undefined when something else does. As `readPin`.
 */
export async function putPin(
  store: ObjectStore,
  key: string,
  pin: Pin,
  tag: string | undefined,
  options?: CallOptions,
): Promise<FoundPin | undefined> {
  const bytes = encodePin(pin);
  const written =
    tag === undefined
      ? await store.putIfAbsent(key, bytes, options)
      : await store.putIfMatch(key, bytes, tag, options);
  if (written !== undefined) return { key, tag: written, pin };
  // Refused; perhaps because it was sent twice.
  const now = await readPin(store, key, options);
  return now?.pin.nonce === pin.nonce ? now : undefined;
}

/** Lets a pin go, unless it is another meanwhile: whether it was. As `readPin`. */
export async function releasePin(
  store: ObjectStore,
  { key, pin, tag }: FoundPin,
  options: Pick<PinOptions, "nowMs" | "random" | "signal">,
): Promise<boolean> {
  const released = { ...pin, releasedMs: options.nowMs, nonce: nonceOf(options.random) };
  return (await putPin(store, key, released, tag, options)) !== undefined;
}

/**
 * Keeps a checkpoint from gc while it is being read, until `expiresMs`; `release` ends it. As
 * `pinCheckpoint`.
 */
export async function holdCheckpoint(
  store: ObjectStore,
  checkpointKey: string,
  options: PinOptions & { readonly expiresMs: number },
): Promise<{ manifest: Manifest; release(): Promise<void> } | PinRefusal> {
  const key = pointKey(`${holdName}${nonceOf(options.random)}`);
  const pinned = await pinCheckpoint(store, key, checkpointKey, options);
  if (pinned.outcome !== "pinned") return pinned;
  // Nobody else ever has this key: it may be deleted.
  const release = () => store.delete(key, options);
  return { manifest: pinned.pin.pin.checkpoint, release };
}

/** Whether the key is that of a reader's hold. */
export function isHold(key: string): boolean {
  return key.startsWith(`${pointPrefix}${holdName}`);
}

/** The keys of all pins below a prefix. ObjectError. */
export async function pinKeys(
  store: ObjectStore,
  prefix: string,
  options?: CallOptions,
): Promise<string[]> {
  const keys: string[] = [];
  const { signal } = options ?? {};
  for await (const { key } of listAll(store, prefix, { signal })) keys.push(key);
  return keys;
}

/** Why a pin under a condemned `key` does not stay, and what to do. */
export function beingDeleted(key: string): string {
  return `gc is deleting ${key}, or was interrupted: take another id`;
}

/** Steps 3 and 4: what speaks against it. */
async function problemOf(
  store: ObjectStore,
  { key, pin }: FoundPin,
  options: PinOptions,
): Promise<string | undefined> {
  const { checkpoint } = pin;
  const { keys } = await readCondemned(store, options);
  const own = checkpoint.tables.filter(({ source }) => source === undefined);
  const condemned = [key, keyOf(checkpoint), ...own.map(keyOfTable)].find((each) => keys.has(each));
  if (condemned === key) return beingDeleted(key);
  if (condemned !== undefined) {
    return `gc is deleting ${condemned}, or was interrupted: take a newer checkpoint, or the next that is made`;
  }
  return new Presence(store, options).problem(checkpoint.tables);
}
