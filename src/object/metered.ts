/**
 * A store whose requests are counted and timed. That nothing is there, and that a condition did not
 * hold, are answers and no errors. It stands below the retries: each request counts, so that what a
 * store charges for can be read off.
 */
import type { Clock } from "../lib/clock.ts";
import type { Counter, Histogram } from "../lib/meter.ts";
import type { CallOptions, ListPage, ObjectStore, ObjectVersions, StoredObject } from "./store.ts";

/** What requests are called in the `op` label. */
export const storeOperations = [
  "get",
  "get_etag",
  "put",
  "put_if_absent",
  "put_if_match",
  "delete",
  "list",
] as const;

export type StoreOperation = (typeof storeOperations)[number];

/** What is measured of one kind of request. */
export interface RequestMeters {
  readonly successes: Counter;
  readonly errors: Counter;
  readonly seconds: Histogram;
}

export type StoreMeters = Readonly<Record<StoreOperation, RequestMeters>>;

export class MeteredStore implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions | undefined;
  readonly hazards: ObjectStore["hazards"];
  readonly #store: ObjectStore;
  readonly #meters: StoreMeters;
  readonly #clock: Pick<Clock, "now">;

  constructor(
    store: ObjectStore,
    { clock, meters }: { readonly meters: StoreMeters; readonly clock: Pick<Clock, "now"> },
  ) {
    this.address = store.address;
    this.#store = store;
    this.#meters = meters;
    this.#clock = clock;
    this.hazards = store.hazards?.bind(store);
    const { versions } = store;
    this.versions = versions && {
      list: (prefix, from, options) =>
        this.#measure("list", () => versions.list(prefix, from, options)),
      get: (key, version, options) =>
        this.#measure("get", () => versions.get(key, version, options)),
    };
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.#measure("get", () => this.#store.get(key, options));
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return this.#measure("get_etag", () => this.#store.getIfChanged(key, tag, options));
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    return this.#measure("put", () => this.#store.put(key, bytes, options));
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    return this.#measure("put_if_absent", () => this.#store.putIfAbsent(key, bytes, options));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    return this.#measure("put_if_match", () => this.#store.putIfMatch(key, bytes, tag, options));
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#measure("delete", () => this.#store.delete(key, options));
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    return this.#measure("list", () => this.#store.list(prefix, after, options));
  }

  async #measure<T>(operation: StoreOperation, call: () => Promise<T>): Promise<T> {
    const { errors, seconds, successes } = this.#meters[operation];
    const start = this.#clock.now();
    try {
      const answer = await call();
      successes.add(1);
      return answer;
    } catch (error) {
      errors.add(1);
      throw error;
    } finally {
      seconds.observe((this.#clock.now() - start) / 1000);
    }
  }
}
