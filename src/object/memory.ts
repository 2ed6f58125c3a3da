/** A store in memory, for tests: conditional writes are atomic because nothing else runs meanwhile. */
import { sha256 } from "../lib/checksum.ts";
import { type Clock, SystemClock } from "../lib/clock.ts";
import {
  type CallOptions,
  checkKey,
  checkSignal,
  compareKeys,
  type ListPage,
  type ObjectStore,
  type ObjectVersion,
  type ObjectVersions,
  type StoredObject,
} from "./store.ts";

export interface MemoryOptions {
  /** Tells when objects were written. */
  readonly clock?: Pick<Clock, "wall">;
  /** Whether older contents are kept. */
  readonly versioned?: boolean;
  /** Most keys on one page of a list. */
  readonly pageKeysMax?: number;
  readonly address?: string;
}

/** What a key held from one write to the next; a deletion has no bytes. */
interface Content {
  readonly version: string;
  readonly modifiedMs: number;
  readonly bytes: Buffer | undefined;
  readonly tag: string;
}

export class MemoryStore implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions | undefined;
  readonly #clock: Pick<Clock, "wall">;
  readonly #keepsAll: boolean;
  readonly #pageKeysMax: number;
  /** The contents of each key, the newest last. */
  readonly #contents = new Map<string, Content[]>();
  #writes = 0;

  constructor(options: MemoryOptions = {}) {
    this.address = options.address ?? "memory:";
    this.#clock = options.clock ?? new SystemClock();
    this.#keepsAll = options.versioned ?? false;
    this.#pageKeysMax = options.pageKeysMax ?? 1000;
    if (this.#keepsAll) {
      this.versions = {
        list: (prefix) => Promise.resolve({ versions: this.#versions(prefix), next: undefined }),
        get: (key, version) => Promise.resolve(this.#version(key, version)),
      };
    }
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return attempt("get", key, options, () => this.#object(key));
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return attempt("get_etag", key, options, () => {
      const object = this.#object(key);
      return object?.tag === tag ? "same" : object;
    });
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    return attempt("put", key, options, () => this.#write(key, bytes));
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    return attempt("put_if_absent", key, options, () =>
      this.#object(key) === undefined ? this.#write(key, bytes) : undefined,
    );
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    return attempt("put_if_match", key, options, () =>
      this.#object(key)?.tag === tag ? this.#write(key, bytes) : undefined,
    );
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return attempt("delete", key, options, () => {
      if (this.#object(key) === undefined) return;
      if (this.#keepsAll) this.#append(key, undefined);
      else this.#contents.delete(key);
    });
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    return Promise.resolve().then(() => {
      checkSignal("list", prefix, options);
      const keys = this.keys(prefix).filter((key) => after === undefined || follows(key, after));
      const objects = keys.slice(0, this.#pageKeysMax).flatMap((key) => {
        const { bytes, modifiedMs } = this.#contents.get(key)?.at(-1) ?? {};
        if (bytes === undefined || modifiedMs === undefined) return [];
        return [{ key, bytes: bytes.length, modifiedMs }];
      });
      return { objects, hasMore: keys.length > objects.length };
    });
  }

  /** The keys that are there now and begin with `prefix`, in order; for tests to look at. */
  keys(prefix = ""): string[] {
    return [...this.#contents.keys()]
      .filter((key) => key.startsWith(prefix) && this.peek(key) !== undefined)
      .sort(compareKeys);
  }

  /** The bytes under `key`, as they are, for tests to look at or to damage. */
  peek(key: string): Buffer | undefined {
    return this.#contents.get(key)?.at(-1)?.bytes;
  }

  #object(key: string): StoredObject | undefined {
    return stored(this.#contents.get(key)?.at(-1));
  }

  #write(key: string, bytes: Uint8Array): string {
    return this.#append(key, Buffer.from(bytes)).tag;
  }

  #append(key: string, bytes: Buffer | undefined): Content {
    const content = {
      version: `v${++this.#writes}`,
      modifiedMs: this.#clock.wall(),
      bytes,
      tag: bytes === undefined ? "" : sha256(bytes),
    };
    const older = this.#keepsAll ? (this.#contents.get(key) ?? []) : [];
    this.#contents.set(key, [...older, content]);
    return content;
  }

  #versions(prefix: string): ObjectVersion[] {
    const keys = [...this.#contents.keys()].filter((key) => key.startsWith(prefix));
    return keys.sort(compareKeys).flatMap((key) => {
      const contents = (this.#contents.get(key) ?? []).toReversed();
      return contents.map(({ bytes, modifiedMs, version }, at) => {
        const isDeletion = bytes === undefined;
        return {
          key,
          version,
          modifiedMs,
          bytes: bytes?.length ?? 0,
          isLatest: at === 0,
          isDeletion,
        };
      });
    });
  }

  #version(key: string, version: string): StoredObject | undefined {
    return stored(this.#contents.get(key)?.find((content) => content.version === version));
  }
}

function stored(content: Content | undefined): StoredObject | undefined {
  if (content?.bytes === undefined) return undefined;
  return { bytes: Buffer.from(content.bytes), tag: content.tag };
}

function follows(key: string, after: string): boolean {
  return compareKeys(key, after) > 0;
}

/** As a real store: later, one call after the other, and not once the caller has given up. */
function attempt<T>(
  operation: string,
  key: string,
  options: CallOptions | undefined,
  work: () => T,
): Promise<T> {
  return Promise.resolve().then(() => {
    checkKey(operation, key);
    checkSignal(operation, key, options);
    return work();
  });
}
