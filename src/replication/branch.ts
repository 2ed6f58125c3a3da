/**
 * A branch: a database that begins with a checkpoint of another, in the same bucket, and copies no
 * table. A pin in the source keeps the checkpoint (pin.ts):
 *
 *   1 `fork` makes branches/<id> in the source, and verifies it
 *   2 the branch's first start looks for a verified pin of the checkpoint it was told, that no other
 *     branch has, and writes its own prefix into it
 *   3 it publishes a manifest of its own, whose tables all lie with the source: from then on its own
 *     prefix is all it needs
 *   4 `unfork` releases the pin; what the branch still names of the source's tables goes then
 *
 * The tables a branch inherits are those of the pinned checkpoint, never more: the pin protects
 * them all. What a checkpoint inherits itself keeps its source, so a branch may be branched from;
 * the manifest that its pin keeps in the middle names the tables of the first.
 */
import { must } from "../lib/assert.ts";
import type { Term } from "../model/revision.ts";
import { branchKey, branchPrefix } from "../object/keys.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { knownTables, type Published, type PublishOptions, publish } from "./checkpoint.ts";
import { keyOf, keyOfTable, type Manifest, nonceOf, readLatest, readManifest } from "./manifest.ts";
import {
  type FoundPin,
  isActive,
  type Pinned,
  type PinOptions,
  pinCheckpoint,
  pinKeys,
  putPin,
  readPin,
  releasePin,
  verifyPin,
} from "./pin.ts";
import { listCheckpoints, type StoreAt } from "./restore.ts";

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** Whether people may give this id to a branch or a restore point: 1 to 63 letters, digits, `.`, `_` or `-`. */
export function isPinId(id: string): boolean {
  return idPattern.test(id) && !id.startsWith("reading-");
}

export type Forked = Pinned | { readonly outcome: "badId" };

/**
 * Pins a checkpoint, the newest unless `checkpointKey` says which, for a branch called `id`.
 * CorruptionError, ForeignError, ObjectError.
 */
export async function fork(
  store: ObjectStore,
  id: string,
  options: PinOptions & { readonly checkpointKey?: string },
): Promise<Forked> {
  if (!isPinId(id)) return { outcome: "badId" };
  const key = options.checkpointKey ?? (await readLatest(store, options))?.latest.checkpointKey;
  if (key === undefined) return { outcome: "noCheckpoint" };
  const pinned = await pinCheckpoint(store, branchKey(id), key, options);
  return pinned.outcome === "pinned" ? await verifyPin(store, pinned.pin, options) : pinned;
}

/** The pin of a branch; undefined when there is none. CorruptionError, ForeignError, ObjectError. */
export async function readBranch(
  store: ObjectStore,
  id: string,
  options?: CallOptions,
): Promise<FoundPin | undefined> {
  if (!isPinId(id)) return undefined;
  const found = await readPin(store, branchKey(id), options);
  return found?.pin.releasedMs === undefined ? found : undefined;
}

/** Lets a branch's pin go: false when there is none with this id. As `readBranch`. */
export async function unfork(
  store: ObjectStore,
  id: string,
  options: Pick<PinOptions, "nowMs" | "random" | "signal">,
): Promise<boolean> {
  for (;;) {
    const found = await readBranch(store, id, options);
    if (found === undefined) return false;
    if (await releasePin(store, found, options)) return true;
  }
}

/** A branch, and the id of its pin. */
export interface ListedBranch extends FoundPin {
  readonly id: string;
}

/** The branches that have a pin here, by their ids. As `readBranch`. */
export async function listBranches(
  store: ObjectStore,
  options?: CallOptions,
): Promise<ListedBranch[]> {
  const branches: ListedBranch[] = [];
  for (const key of await pinKeys(store, branchPrefix, options)) {
    const found = await readPin(store, key, options);
    if (found === undefined || found.pin.releasedMs !== undefined) continue;
    branches.push({ ...found, id: key.slice(branchPrefix.length) });
  }
  return branches;
}

/** A checkpoint of a branch that names tables of the source. */
export interface Dependent {
  readonly key: string;
  /** Keys of the tables, in the source. */
  readonly tables: readonly string[];
}

/**
 * Which checkpoints of the branch name tables that lie in `sourcePrefix`, as `normalPrefix` writes
 * it: what would be lost with its pin. None when it never started. As `readBranch`.
 */
export async function dependents(
  { pin }: FoundPin,
  sourcePrefix: string,
  options: CallOptions & { readonly storeAt: StoreAt },
): Promise<Dependent[]> {
  if (pin.branchPrefix === undefined) return [];
  const store = options.storeAt(pin.branchPrefix);
  const dependent: Dependent[] = [];
  for (const { key } of await listCheckpoints(store, options)) {
    const manifest = (await readManifest(store, key, options))?.manifest;
    const tables = manifest?.tables.filter(({ source }) => source === sourcePrefix) ?? [];
    if (tables.length > 0) dependent.push({ key, tables: tables.map(keyOfTable) });
  }
  return dependent;
}

export interface JoinOptions extends PinOptions {
  /** The source's prefix and the branch's own, as `normalPrefix` writes them. */
  readonly sourcePrefix: string;
  readonly ownPrefix: string;
  /** The pin to take; without it, the one with our prefix, else the newest that is free. */
  readonly id?: string | undefined;
}

export type Joined =
  /** What the branch begins with: its tables say where they lie. */
  | { readonly outcome: "joined"; readonly id: string; readonly checkpoint: Manifest }
  /** No pin names the checkpoint: it must be forked first. */
  | { readonly outcome: "unpinned" }
  /** The pin that does is of a fork that did not finish, or goes on: it must be forked once more. */
  | { readonly outcome: "unverified"; readonly id: string }
  /** Every pin that does is another branch's; this is the prefix of one. */
  | { readonly outcome: "taken"; readonly prefix: string };

/**
 * Step 2, on the store of the source: writes the branch's prefix into a pin of the checkpoint; the
 * one that has it already when it was interrupted. As `readBranch`.
 */
export async function joinBranch(
  source: ObjectStore,
  checkpointKey: string,
  options: JoinOptions,
): Promise<Joined> {
  const { ownPrefix, random, sourcePrefix } = options;
  for (;;) {
    const pins = await pinsOf(source, checkpointKey, options);
    const verified = pins.filter(({ pin }) => pin.isVerified);
    const found =
      verified.find(({ pin }) => pin.branchPrefix === ownPrefix) ??
      verified.find(({ pin }) => pin.branchPrefix === undefined);
    if (found === undefined) return whyNone(pins, verified);
    const { id, key, pin, tag } = found;
    const checkpoint = inherited(pin.checkpoint, sourcePrefix);
    const joined: Joined = { outcome: "joined", id, checkpoint };
    if (pin.branchPrefix === ownPrefix) return joined;
    const ours = { ...pin, branchPrefix: ownPrefix, nonce: nonceOf(random) };
    if ((await putPin(source, key, ours, tag, options)) !== undefined) return joined;
  }
}

/** The pins of a checkpoint, as far as `options` leaves the choice; the newest first. */
async function pinsOf(
  source: ObjectStore,
  checkpointKey: string,
  options: JoinOptions,
): Promise<ListedBranch[]> {
  const { id: wanted, nowMs } = options;
  return (await listBranches(source, options))
    .filter(({ id }) => wanted === undefined || id === wanted)
    .filter(({ pin }) => isActive(pin, nowMs) && keyOf(pin.checkpoint) === checkpointKey)
    .sort((a, b) => b.pin.createdMs - a.pin.createdMs);
}

/** Why a branch can begin with none of the pins of its checkpoint. */
function whyNone(pins: readonly ListedBranch[], verified: readonly ListedBranch[]): Joined {
  const prefix = verified[0]?.pin.branchPrefix;
  if (prefix !== undefined) return { outcome: "taken", prefix };
  const [unverified] = pins;
  return unverified ? { outcome: "unverified", id: unverified.id } : { outcome: "unpinned" };
}

/** The checkpoint as one that lies in another prefix than its tables. */
export function inherited(checkpoint: Manifest, sourcePrefix: string): Manifest {
  const { tables } = checkpoint;
  return {
    ...checkpoint,
    tables: tables.map((table) => ({ ...table, source: table.source ?? sourcePrefix })),
  };
}

/**
 * Step 3, on the branch's own store: publishes what it begins with as its first checkpoint, of its
 * own cluster and leader. Its log begins with slot 1. As `publish`.
 */
export function publishFirst(
  store: ObjectStore,
  checkpoint: Manifest,
  leader: { readonly cluster: bigint; readonly term: Term },
  options: Omit<PublishOptions, "known" | "knownIndex">,
): Promise<Published> {
  const tables = checkpoint.tables.map(({ bytes, hash }) => ({
    hash,
    bytes,
    read: () => must<Buffer>(undefined, "what is inherited is not uploaded"),
  }));
  const capture = { ...checkpoint, ...leader, lastSeq: 0, tables };
  return publish(store, capture, { ...options, known: knownTables(checkpoint) });
}
