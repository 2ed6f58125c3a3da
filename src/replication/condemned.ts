/**
 * `gc/condemned.json`: the keys that gc may be about to delete. Sealed JSON (sealed.ts):
 *
 *   {"format_version":1,"writes":n,"keys":{key:[run,…],…},…}
 *
 * Whoever is going to rely on an object says so first, with an object of its own (a pending
 * checkpoint, a pin), and reads this then. A run of gc first adds itself to the keys it would like
 * to delete, then reads those objects, and then deletes or spares. So one of the two sees the
 * other, and backs off. A run takes itself off again when it is done: what it has not spared is
 * gone then. What a run that died has left behind stays condemned until it is gone, which another
 * run sees to, and as long as that run, should it only sleep, could do harm (verdict.ts).
 */
import { condemnedKey } from "../object/keys.ts";
import type { CallOptions, ObjectStore } from "../object/store.ts";
import { Fields, seal, unseal } from "./sealed.ts";

const formatVersion = 1;

export interface Condemned {
  /** How often it was written: no two contents are equal. */
  readonly writes: number;
  /** Key, and the runs that condemned it: 16 hex digits each. */
  readonly keys: ReadonlyMap<string, readonly string[]>;
}

const none: Condemned = { writes: 0, keys: new Map() };

export function encodeCondemned({ keys, writes }: Condemned): Buffer {
  return seal({ format_version: formatVersion, writes, keys: Object.fromEntries(keys) });
}

/** CorruptionError when it is damaged, ForeignError when a newer T4 wrote it. */
export function decodeCondemned(bytes: Buffer): Condemned {
  const fields = unseal(condemnedKey, bytes, formatVersion);
  const { json } = fields.fields("keys");
  const runs = new Fields(condemnedKey, json);
  const keys = new Map(Object.keys(json).map((key) => [key, runs.texts(key)]));
  return { writes: fields.integer("writes"), keys };
}

/** What is condemned now. As `decodeCondemned`; ObjectError. */
export async function readCondemned(store: ObjectStore, options?: CallOptions): Promise<Condemned> {
  const object = await store.get(condemnedKey, options);
  return object === undefined ? none : decodeCondemned(object.bytes);
}

/**
 * Adds `run` to `keys`, and forgets those of `gone`, whoever condemned them. Resolves when it is
 * written. As `readCondemned`.
 */
export function condemn(
  store: ObjectStore,
  run: string,
  keys: readonly string[],
  gone: readonly string[],
  options?: CallOptions,
): Promise<void> {
  return change(store, options, (now) => {
    for (const key of gone) now.delete(key);
    for (const key of keys) now.set(key, [...(now.get(key) ?? []), run]);
  });
}

/** Takes `run` off everything it had condemned and has deleted or spared. As `condemn`. */
export function absolve(store: ObjectStore, run: string, options?: CallOptions): Promise<void> {
  return change(store, options, (now) => {
    for (const [key, runs] of now) {
      const others = runs.filter((other) => other !== run);
      if (others.length > 0) now.set(key, others);
      else now.delete(key);
    }
  });
}

async function change(
  store: ObjectStore,
  options: CallOptions | undefined,
  apply: (keys: Map<string, readonly string[]>) => void,
): Promise<void> {
  for (;;) {
    const object = await store.get(condemnedKey, options);
    const now = object === undefined ? none : decodeCondemned(object.bytes);
    const keys = new Map(now.keys);
    apply(keys);
    const bytes = encodeCondemned({ writes: now.writes + 1, keys });
    const written =
      object === undefined
        ? await store.putIfAbsent(condemnedKey, bytes, options)
        : await store.putIfMatch(condemnedKey, bytes, object.tag, options);
    if (written !== undefined) return;
  }
}
