/**
 * A directory as the bucket: each object is a file whose path is its key. The guarantees are those
 * of a bucket, between processes too, on every file system with `link`, `rename` and `flock`:
 *
 *   put if absent   write a temporary file, sync it, link(2) it to its name (which fails when the
 *                   name is taken), sync the directory
 *   put if match    write a temporary file, sync it; holding the lock: compare the tag of what is
 *                   there, rename(2) over it, sync the directory
 *   put, delete     the same, holding the lock, without the comparison
 *   get, list       no lock: a name leads to one whole content at any time
 *
 * The lock is `flock` on `.t4/lock`, held by a descriptor: the kernel drops it with the process.
 * It is held for two system calls and a sync; a process that is stopped in just that moment holds up
 * the conditional writes of the others until it goes on. Temporary files stand in `.t4/` and are
 * locked by whoever writes them; those that nobody has locked are left over and removed.
 *
 * A tag is the SHA-256 of the content. Directories are made when a key needs them and removed when
 * their last object is deleted. "a" and "a/b" cannot both be keys.
 */
import { sha256 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { type Call, Files, ownName } from "./files.ts";
import {
  type CallOptions,
  checkSignal,
  type ListedObject,
  type ListPage,
  type ObjectStore,
  type StoredObject,
} from "./store.ts";
import { walk } from "./walk.ts";

export interface DirectoryOptions {
  /** Absolute path, without a slash at its end. Made by the first write when its parent exists. */
  readonly path: string;
  readonly clock: Pick<Clock, "now" | "sleep">;
  readonly random: Random;
  /** Most keys on one page of a list. */
  readonly pageKeysMax?: number;
}

export class DirectoryStore implements ObjectStore {
  readonly address: string;
  readonly versions = undefined;
  readonly #root: string;
  readonly #pageKeysMax: number;
  readonly #files: Files;

  constructor({ clock, pageKeysMax, path, random }: DirectoryOptions) {
    this.address = `file://${path}/`;
    this.#root = path;
    this.#files = new Files({ root: path, clock, random });
    this.#pageKeysMax = pageKeysMax ?? 1000;
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.#files.attempt({ operation: "get", key, options }, (call) => this.#object(call));
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return this.#files.attempt({ operation: "get_etag", key, options }, async (call) => {
      const object = await this.#object(call);
      return object?.tag === tag ? "same" : object;
    });
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    return this.#files.attempt({ operation: "put", key, options }, async (call) => {
      await this.#files.replace(call, bytes, () => Promise.resolve(true));
      return sha256(bytes);
    });
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    return this.#files.attempt({ operation: "put_if_absent", key, options }, async (call) => {
      return (await this.#files.link(call, bytes)) ? sha256(bytes) : undefined;
    });
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    return this.#files.attempt({ operation: "put_if_match", key, options }, async (call) => {
      const holds = async () => (await this.#object(call))?.tag === tag;
      // Nothing is written, and no lock taken, for what is lost already.
      const isDone = (await holds()) && (await this.#files.replace(call, bytes, holds));
      return isDone ? sha256(bytes) : undefined;
    });
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    const call = { operation: "delete", key, options };
    return this.#files.attempt(call, () => this.#files.remove(call));
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    return this.#files.attempt({ operation: "list", key: prefix, options }, async (call) => {
      const page = await this.#page(prefix, after, options);
      if (page.objects.length === 0) await this.#files.checkRoot(call);
      return page;
    });
  }

  async #object(call: Call): Promise<StoredObject | undefined> {
    const bytes = await this.#files.read(call);
    return bytes && { bytes, tag: sha256(bytes) };
  }

  async #page(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    checkSignal("list", prefix, options);
    const keys: string[] = [];
    for await (const key of walk({ root: this.#root, prefix, after, hidden: ownName })) {
      if (keys.push(key) > this.#pageKeysMax) break;
    }
    const page = keys.slice(0, this.#pageKeysMax);
    const objects = (await Promise.all(page.map((key) => this.#listed(key)))).filter(
      (object) => object !== undefined,
    );
    const hasMore = keys.length > page.length;
    // All of them were deleted meanwhile, which does not mean that none follows.
    if (hasMore && objects.length === 0) return await this.#page(prefix, page.at(-1), options);
    return { objects, hasMore };
  }

  async #listed(key: string): Promise<ListedObject | undefined> {
    const stats = await this.#files.stat(key);
    return stats && { key, bytes: stats.size, modifiedMs: stats.mtimeMs };
  }
}
