/**
 * `gc/condemned.json`: the keys that gc is about to delete. Sealed JSON (sealed.ts):
 *
 *   {"format_version":1,"runs":n,"keys":{key: run in which it was condemned,…},…}
 *
 * Whoever is going to rely on an object says so first, with an object of its own (a pending
 * checkpoint, a pin), and reads this then; gc writes this first and reads those then. So one of the
 * two sees the other, and backs off. A key stays here until it was found to be gone, in a later
 * run: for tables that is for ever, as no key of a table is written twice.
 */
import { condemnedKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { Fields, seal, unseal } from "./sealed.ts";

const formatVersion = 1;

export interface Condemned {
  /** How often it was written; no two contents are equal. */
  readonly runs: number;
  /** Key, and the run in which it was condemned. */
  readonly keys: ReadonlyMap<string, number>;
}

const none: Condemned = { runs: 0, keys: new Map() };

export function encodeCondemned({ keys, runs }: Condemned): Buffer {
  return seal({ format_version: formatVersion, runs, keys: Object.fromEntries(keys) });
}

/** CorruptionError when it is damaged, ForeignError when a newer T4 wrote it. */
export function decodeCondemned(bytes: Buffer): Condemned {
  const fields = unseal(condemnedKey, bytes, formatVersion);
  const { json } = fields.fields("keys");
  const runs = new Fields(condemnedKey, json);
  const keys = new Map(Object.keys(json).map((key) => [key, runs.integer(key)]));
  return { runs: fields.integer("runs"), keys };
}

/** What is condemned now. As `decodeCondemned`; ObjectError. */
export async function readCondemned(store: ObjectStore, options?: CallOptions): Promise<Condemned> {
  const object = await store.get(condemnedKey, options);
  return object === undefined ? none : decodeCondemned(object.bytes);
}

/**
 * Adds keys, and takes out those of `gone` that an earlier run condemned. Resolves when it is
 * written; what is condemned then. As `readCondemned`.
 */
export async function condemn(
  store: ObjectStore,
  keys: readonly string[],
  gone: readonly string[],
  options?: CallOptions,
): Promise<Condemned> {
  for (;;) {
    const object = await store.get(condemnedKey, options);
    const now = object === undefined ? none : decodeCondemned(object.bytes);
    const next = new Map(now.keys);
    for (const key of gone) next.delete(key);
    for (const key of keys) if (!next.has(key)) next.set(key, now.runs + 1);
    const condemned = { runs: now.runs + 1, keys: next };
    const bytes = encodeCondemned(condemned);
    const tag = object?.tag;
    const written =
      tag === undefined
        ? await store.putIfAbsent(condemnedKey, bytes, options)
        : await store.putIfMatch(condemnedKey, bytes, tag, options);
    if (written !== undefined) return condemned;
  }
}
