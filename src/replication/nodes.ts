/**
 * `nodes/<incarnation>`: one sealed JSON object (sealed.ts) for each data directory that has led.
 *
 *   {"format_version":1,"cluster":hex,"incarnation":hex,"name":…,"boot_ids":[…],"created":ms,
 *    "checksum":…}
 *
 * `boot_ids` are the places that the directory was used in, the newest last: more than one tells
 * people that it was moved or copied.
 */
import { CorruptionError } from "../lib/corruption.ts";
import { nodeKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore, StoredObject } from "../object/store.ts";
import { Backoff, type BackoffOptions, isTransient } from "./backoff.ts";
import { refuseOtherCluster, seal, unseal } from "./sealed.ts";

const formatVersion = 1;
const bootIdsMax = 16;

export interface Registration {
  readonly cluster: bigint;
  readonly incarnation: bigint;
  /** What people call it. */
  readonly name: string;
  /** At least one; the newest last. */
  readonly bootIds: readonly string[];
  /** When it was registered, by its clock, in milliseconds since 1970. */
  readonly createdMs: number;
}

/** Reads a registration; undefined when there is none. CorruptionError, ForeignError, ObjectError. */
export async function readNode(
  store: ObjectStore,
  incarnation: bigint,
  cluster: bigint,
  options?: CallOptions,
): Promise<Registration | undefined> {
  const found = await store.get(nodeKey(incarnation), options);
  return found && decode(incarnation, cluster, found);
}

/** Registers a directory unless it is registered. What stands then, which may be of an earlier start. */
export async function registerNode(
  store: ObjectStore,
  registration: Registration,
  options: BackoffOptions,
): Promise<Registration> {
  const { cluster, incarnation } = registration;
  const made = await resolve(incarnation, options, async () => {
    await store.putIfAbsent(nodeKey(incarnation), encode(registration), options);
    return await readNode(store, incarnation, cluster, options);
  });
  return made;
}

/** Adds a start of a machine to a registration that is there. What stands then. */
export async function addBoot(
  store: ObjectStore,
  { cluster, incarnation }: Pick<Registration, "cluster" | "incarnation">,
  bootId: string,
  options: BackoffOptions,
): Promise<Registration> {
  const key = nodeKey(incarnation);
  return await resolve(incarnation, options, async () => {
    const found = await store.get(key, options);
    if (found === undefined) throw new Error(`${key} is gone; it is made when a member starts`);
    const known = decode(incarnation, cluster, found);
    if (known.bootIds.includes(bootId)) return known;
    const bootIds = [...known.bootIds, bootId].slice(-bootIdsMax);
    await store.putIfMatch(key, encode({ ...known, bootIds }), found.tag, options);
    return undefined;
  });
}

/** Tries until there is a result, through failures that pass. */
async function resolve(
  incarnation: bigint,
  options: BackoffOptions,
  attempt: () => Promise<Registration | undefined>,
): Promise<Registration> {
  const backoff = new Backoff(options);
  for (;;) {
    try {
      const result = await attempt();
      if (result !== undefined) return result;
    } catch (error) {
      if (!isTransient(error)) throw error;
    }
    await backoff.wait("put", nodeKey(incarnation));
  }
}

function encode({ bootIds, cluster, createdMs, incarnation, name }: Registration): Buffer {
  return seal({
    format_version: formatVersion,
    cluster: cluster.toString(16),
    incarnation: incarnation.toString(16),
    name,
    boot_ids: bootIds,
    created: createdMs,
  });
}

function decode(incarnation: bigint, cluster: bigint, found: StoredObject): Registration {
  const key = nodeKey(incarnation);
  const fields = unseal(key, found.bytes, formatVersion);
  refuseOtherCluster(key, fields.id("cluster"), cluster);
  if (fields.id("incarnation") !== incarnation) {
    throw new CorruptionError(key, 0, `it is of ${fields.id("incarnation").toString(16)}`);
  }
  return {
    cluster,
    incarnation,
    name: fields.text("name"),
    bootIds: fields.texts("boot_ids"),
    createdMs: fields.integer("created"),
  };
}
