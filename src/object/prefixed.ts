/**
 * A store that is a part of another: what stands under one key prefix. One slash stands between
 * prefix and key, however the prefix was typed:
 *
 *   withPrefix(bucket, "/db/")    "leader-lock"  is the bucket's  "db/leader-lock"
 *   withPrefix(bucket, "")        "leader-lock"  is the bucket's  "leader-lock"
 */
import type { CallOptions, ListPage, ObjectStore, ObjectVersions, StoredObject } from "./store.ts";

/** `bucket` below `prefix`; another prefix of the same bucket is a store of its own. */
export function withPrefix(bucket: ObjectStore, prefix: string): ObjectStore {
  const path = normalPrefix(prefix);
  return path === "" ? bucket : new PrefixedStore(bucket, `${path}/`);
}

/** `prefix` without slashes at either end and without double ones: two that mean the same are equal. */
export function normalPrefix(prefix: string): string {
  return prefix
    .split("/")
    .filter((part) => part !== "")
    .join("/");
}

class PrefixedStore implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions | undefined;
  readonly hazards: ObjectStore["hazards"];
  readonly #bucket: ObjectStore;
  /** Ends with a slash. */
  readonly #path: string;

  constructor(bucket: ObjectStore, path: string) {
    this.#bucket = bucket;
    this.#path = path;
    this.address = `${bucket.address}${bucket.address.endsWith("/") ? "" : "/"}${path}`;
    this.hazards =
      bucket.hazards && ((prefix, options) => bucket.hazards?.(path + prefix, options) ?? none());
    const { versions } = bucket;
    this.versions = versions && {
      list: async (prefix, from, options) => {
        const page = await versions.list(path + prefix, from, options);
        return { ...page, versions: page.versions.map((each) => this.#own(each)) };
      },
      get: (key, version, options) => versions.get(path + key, version, options),
    };
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.#bucket.get(this.#path + key, options);
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return this.#bucket.getIfChanged(this.#path + key, tag, options);
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    return this.#bucket.put(this.#path + key, bytes, options);
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    return this.#bucket.putIfAbsent(this.#path + key, bytes, options);
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    return this.#bucket.putIfMatch(this.#path + key, bytes, tag, options);
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#bucket.delete(this.#path + key, options);
  }

  async list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const from = after === undefined ? undefined : this.#path + after;
    const { hasMore, objects } = await this.#bucket.list(this.#path + prefix, from, options);
    return { hasMore, objects: objects.map((object) => this.#own(object)) };
  }

  /** What the bucket lists, by the key it has here. */
  #own<T extends { readonly key: string }>(listed: T): T {
    return { ...listed, key: listed.key.slice(this.#path.length) };
  }
}

function none(): Promise<string[]> {
  return Promise.resolve([]);
}
