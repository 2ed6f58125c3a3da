/**
 * Bugs on purpose: each makes one process leave out a step of the protocol between checkpoints and
 * gc, by what its store tells it or keeps from being done.
 */
import {
  boundaryKey,
  checkpointOfKey,
  condemnedKey,
  latestKey,
  tablePrefix,
} from "../../src/object/keys.ts";
import type { ListPage, ObjectStore, StoredObject } from "../../src/object/store.ts";
import type { Lie, Role } from "./world.ts";

/** Seeds that found them; after a change of the protocol it may be others. */
export const hints: Readonly<Record<string, number>> = {
  "a checkpoint does not say what it will use": 4,
  "a checkpoint does not read what is condemned": 170,
  "a checkpoint does not look whether its tables are there": 11,
  "a manifest is put whatever stands there": 2,
  "a fork does not read what is condemned": 12,
  "a reader does not read what is condemned": 12,
  "gc does not condemn": 3,
  "gc does not read everything again": 3,
  "gc does not keep those out whom it gives up": 1,
  "gc deletes before the boundary moves": 1,
  "gc does not move manifest/latest first": 56,
};

/** What a process does wrong. */
export const lies: Readonly<Record<string, Lie>> = {
  "a checkpoint does not say what it will use": to("leader", (store) =>
    withoutWrites(store, (key) => checkpointOfKey(key)?.attempt !== undefined),
  ),
  "a checkpoint does not read what is condemned": to("leader", withoutCondemned),
  "a checkpoint does not look whether its tables are there": to("leader", believesTables),
  "a manifest is put whatever stands there": to("leader", (store) => ({
    ...store,
    putIfAbsent: (key, bytes) => store.put(key, bytes),
    putIfMatch: (key, bytes) => store.put(key, bytes),
  })),
  "a fork does not read what is condemned": to("fork", withoutCondemned),
  "a reader does not read what is condemned": to("reader", withoutCondemned),
  "gc does not condemn": to("gc", (store) => withoutWrites(store, (key) => key === condemnedKey)),
  "gc does not read everything again": to("gc", remembers),
  "gc does not keep those out whom it gives up": to("gc", (store) =>
    withoutWrites(store, (key) => {
      const place = checkpointOfKey(key);
      return place !== undefined && place.attempt === undefined;
    }),
  ),
  "gc deletes before the boundary moves": to("gc", (store) =>
    withoutWrites(store, (key) => key === boundaryKey),
  ),
  "gc does not move manifest/latest first": to("gc", (store) =>
    withoutWrites(store, (key) => key === latestKey),
  ),
};

function to(role: Role, change: (store: ObjectStore) => ObjectStore): Lie {
  return (its, store) => (its === role ? change(store) : store);
}

/** Writes of such keys are not done; who made them reads them nevertheless. */
function withoutWrites(store: ObjectStore, isTold: (key: string) => boolean): ObjectStore {
  const told = new Map<string, Buffer>();
  const write = (key: string, bytes: Uint8Array) => {
    told.set(key, Buffer.from(bytes));
    return Promise.resolve("told");
  };
  return {
    ...store,
    get: (key) => {
      const bytes = told.get(key);
      return bytes === undefined ? store.get(key) : Promise.resolve({ bytes, tag: "told" });
    },
    putIfAbsent: (key, bytes) => (isTold(key) ? write(key, bytes) : store.putIfAbsent(key, bytes)),
    putIfMatch: (key, bytes, tag) =>
      isTold(key) ? write(key, bytes) : store.putIfMatch(key, bytes, tag),
  };
}

function withoutCondemned(store: ObjectStore): ObjectStore {
  return {
    ...store,
    get: (key) => (key === condemnedKey ? Promise.resolve(undefined) : store.get(key)),
  };
}

/** A checkpoint that looks for its tables before it reads what is condemned: right after its pending. */
export function listsEarly(store: ObjectStore): ObjectStore {
  let pages: ListPage[] = [];
  return {
    ...store,
    putIfAbsent: async (key, bytes) => {
      const tag = await store.putIfAbsent(key, bytes);
      if (checkpointOfKey(key)?.attempt === undefined) return tag;
      pages = [await store.list(tablePrefix)];
      while (pages.at(-1)?.hasMore) {
        pages.push(await store.list(tablePrefix, pages.at(-1)?.objects.at(-1)?.key));
      }
      return tag;
    },
    list: (prefix, after) => {
      if (prefix !== tablePrefix || pages.length === 0) return store.list(prefix, after);
      const objects = pages.flatMap((page) => page.objects);
      return Promise.resolve({ objects, hasMore: false });
    },
  };
}

/** Tells of every table that was ever seen that it is there. */
function believesTables(store: ObjectStore): ObjectStore {
  const seen = new Map<string, ListPage["objects"][number]>();
  return {
    ...store,
    put: async (key, bytes) => {
      seen.set(key, { key, bytes: bytes.length, modifiedMs: 0 });
      return await store.put(key, bytes);
    },
    list: async (prefix, after) => {
      const page = await store.list(prefix, after);
      if (prefix !== tablePrefix) return page;
      for (const object of page.objects) seen.set(object.key, object);
      return page.hasMore ? page : { objects: [...seen.values()], hasMore: false };
    },
  };
}

/** Reads nothing again between condemning and being done. */
function remembers(store: ObjectStore): ObjectStore {
  const objects = new Map<string, Promise<StoredObject | undefined>>();
  const pages = new Map<string, Promise<ListPage>>();
  let isSecond = false;
  const once = <T>(known: Map<string, T>, key: string, read: () => T): T => {
    const found = (isSecond ? known.get(key) : undefined) ?? read();
    known.set(key, found);
    return found;
  };
  const condemn = async (key: string, write: Promise<string | undefined>) => {
    const tag = await write;
    if (key === condemnedKey && tag !== undefined) isSecond = !isSecond;
    return tag;
  };
  return {
    ...store,
    get: (key) => {
      return key === condemnedKey ? store.get(key) : once(objects, key, () => store.get(key));
    },
    getIfChanged: (key, tag) =>
      isSecond ? Promise.resolve(undefined) : store.getIfChanged(key, tag),
    list: (prefix, after = "") =>
      once(pages, `${prefix} ${after}`, () => store.list(prefix, after)),
    putIfAbsent: (key, bytes) => condemn(key, store.putIfAbsent(key, bytes)),
    putIfMatch: (key, bytes, tag) => condemn(key, store.putIfMatch(key, bytes, tag)),
  };
}
