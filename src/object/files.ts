/**
 * The files of a directory store (directory.ts says how they make a bucket): written whole, placed
 * under their names atomically, durably, and one process at a time where that matters.
 */
import { constants, type Stats } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import type { Clock } from "../lib/clock.ts";
import { DiskError, type DiskLock, splitPath } from "../lib/disk.ts";
import { lockDescriptor, PosixDisk, syncDescriptor } from "../lib/posix.ts";
import type { Random } from "../lib/random.ts";
import { codeOf, isAbsence, objectErrorOf, statOf, succeeds } from "./errno.ts";
import { type CallOptions, checkKey, checkSignal, ObjectError } from "./store.ts";

/** In the root: the lock, and the files that are being written. No key begins with it. */
export const ownName = ".t4";

const lockName = "lock";
/** Longer than anybody holds the lock; whoever waits this long tries again later. */
const lockMsMax = 10_000;
const lockPollMsMax = 16;
/** How often a write begins anew because another process removed its directory. */
const placingsMax = 8;
const knownMax = 10_000;

/** One call of the store, for the errors it may end with. */
export interface Call {
  readonly operation: string;
  readonly key: string;
  readonly options: CallOptions | undefined;
}

export interface FilesOptions {
  /** Absolute path, without a slash at its end. */
  readonly root: string;
  readonly clock: Pick<Clock, "now" | "sleep">;
  readonly random: Random;
}

export class Files {
  readonly #root: string;
  readonly #own: string;
  readonly #clock: Pick<Clock, "now" | "sleep">;
  readonly #random: Random;
  readonly #disk = new PosixDisk();
  /** Directories whose names are durable, and which directory had the name then. */
  readonly #durable = new Map<string, string>();
  /** Resolves when the calls of this process that came before have left the lock. */
  #turn: Promise<void> = Promise.resolve();
  /** Keys whose names are being changed, until that is durable. */
  readonly #settling = new Map<string, Promise<unknown>>();
  #preparation: Promise<void> | undefined;
  #isPrepared = false;
  /** Set once a directory could not be synced: nobody knows then what is durable. */
  #failed: unknown;

  constructor({ clock, random, root }: FilesOptions) {
    this.#root = root;
    this.#own = `${root}/${ownName}`;
    this.#clock = clock;
    this.#random = random;
  }

  /** Carries out a call; whatever the file system says against it is thrown as an ObjectError. */
  async attempt<T>(call: Call, work: (call: Call) => Promise<T>): Promise<T> {
    const { key, operation, options } = call;
    if (operation !== "list") checkKey(operation, key);
    if (key === ownName || key.startsWith(`${ownName}/`)) {
      throw new ObjectError("invalid", operation, key, `${ownName} is the store's own`);
    }
    checkSignal(operation, key, options);
    if (this.#failed !== undefined) throw this.#failure(call);
    try {
      return await work(call);
    } catch (error) {
      throw objectErrorOf(error, call, this.#pathOf(key));
    }
  }

  /**
   * The whole content of a key; undefined when there is none. What this process is putting there is
   * told once it is durable: a write may have been given up, and be read to learn what became of it.
   */
  async read(call: Call): Promise<Buffer | undefined> {
    const bytes = await this.#content(call);
    await this.#settling.get(call.key);
    if (this.#failed !== undefined) throw this.#failure(call);
    return bytes;
  }

  async #content(call: Call): Promise<Buffer | undefined> {
    const path = this.#pathOf(call.key);
    let file: FileHandle;
    try {
      await this.#checkDirectories(path);
      file = await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if (!isAbsence(error)) throw error;
      await this.checkRoot(call);
      return undefined;
    }
    try {
      return (await file.stat()).isFile() ? await file.readFile() : undefined;
    } finally {
      await file.close();
    }
  }

  /** Size and time of the object under `key`; undefined when there is none. */
  async stat(key: string): Promise<Stats | undefined> {
    const stats = await statOf(this.#pathOf(key));
    return stats?.isFile() ? stats : undefined;
  }

  /** Gives `bytes` the name `key` if nothing has it; false when something has. */
  async link(call: Call, bytes: Uint8Array): Promise<boolean> {
    await this.#prepare(call);
    if (await this.#isTaken(call)) {
      // What others are told of this name is durable, whoever gave it.
      await this.#syncNames(call);
      return false;
    }
    return await this.#place(call, bytes, async (from, to) => {
      const isNew = await this.#settled(call, () => succeeds(fs.link(from, to), "EEXIST"));
      if (isNew || (await this.#isTaken(call))) return isNew;
      throw new ObjectError("conflict", call.operation, call.key, "it was deleted just now");
    });
  }

  /** Puts `bytes` in the place of what `key` holds, if, with everybody locked out, `holds`. */
  async replace(call: Call, bytes: Uint8Array, holds: () => Promise<boolean>): Promise<boolean> {
    await this.#prepare(call);
    return await this.#place(call, bytes, (from, to) =>
      this.#exclusively(call, async () => {
        if (!(await holds())) return false;
        await this.#settled(call, () => fs.rename(from, to));
        return true;
      }),
    );
  }

  /** Removes what `key` holds, and directories that are empty then. */
  async remove(call: Call): Promise<void> {
    if (!(await this.#isTaken(call))) return;
    await this.#prepare(call);
    const path = this.#pathOf(call.key);
    await this.#exclusively(call, async () => {
      if (await succeeds(fs.unlink(path), "ENOENT")) await this.#syncNames(call);
    });
    for (let at = splitPath(path).directory; at !== this.#root; at = splitPath(at).directory) {
      if (!(await succeeds(fs.rmdir(at), "ENOTEMPTY", "EEXIST", "ENOENT"))) return;
    }
  }

  #pathOf(key: string): string {
    return `${this.#root}/${key}`;
  }

  /** Whether an object has the name; a directory that has it makes the key unusable. */
  async #isTaken(call: Call): Promise<boolean> {
    const stats = await statOf(this.#pathOf(call.key));
    if (stats?.isFile()) return true;
    if (stats === undefined) await this.checkRoot(call);
    else throw new ObjectError("invalid", call.operation, call.key, "it is not a file");
    return false;
  }

  /** Writes a file and lets `move` give it its name; once more when the directory has vanished. */
  async #place<T>(
    call: Call,
    bytes: Uint8Array,
    move: (from: string, to: string) => Promise<T>,
  ): Promise<T> {
    const to = this.#pathOf(call.key);
    for (let left = placingsMax; ; left--) {
      const from = `${this.#own}/${this.#random.u64().toString(16)}`;
      let file: FileHandle | undefined;
      try {
        file = await this.#write(from, bytes);
        await this.#ensureDirectory(call, splitPath(to).directory);
        checkSignal(call.operation, call.key, call.options);
        return await move(from, to);
      } catch (error) {
        if (codeOf(error) !== "ENOENT" || left === 0) throw error;
        await this.checkRoot(call);
      } finally {
        await file?.close();
        await succeeds(fs.unlink(from), "ENOENT");
      }
    }
  }

  /** A new file with `bytes`, synced; locked, which tells others that it is in use, until closed. */
  async #write(path: string, bytes: Uint8Array): Promise<FileHandle> {
    const file = await fs.open(path, "wx", 0o600);
    try {
      lockDescriptor(file.fd);
      await file.writeFile(bytes);
      await syncDescriptor(file.fd, path);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Changes what stands under a key, and makes it durable; whoever reads the key waits for that. */
  async #settled<T>(call: Call, change: () => Promise<T>): Promise<T> {
    const before = this.#settling.get(call.key);
    const { promise, resolve } = Promise.withResolvers<void>();
    const all = Promise.all([before, promise]);
    this.#settling.set(call.key, all);
    try {
      const changed = await change();
      await this.#syncNames(call);
      return changed;
    } finally {
      resolve();
      if (this.#settling.get(call.key) === all) this.#settling.delete(call.key);
    }
  }

  /** Makes the names on the way to a key durable, after one in its directory has changed. */
  async #syncNames(call: Call): Promise<void> {
    const { directory } = splitPath(this.#pathOf(call.key));
    try {
      await this.#syncDirectory(call, directory);
      await this.#ensureDirectory(call, directory);
    } catch (error) {
      // It has been removed since: what was in it was deleted.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }

  /**
   * Makes the names in a directory durable. Where that fails nothing is believed any more: the next
   * sync might succeed without having written what this one should have.
   */
  async #syncDirectory(call: Call, path: string): Promise<void> {
    try {
      await this.#disk.syncDirectory(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT") throw error;
      this.#failed ??= error;
      throw this.#failure(call);
    }
  }

  #failure({ key, operation }: Call): ObjectError {
    const why = `${this.#root} could not be synced, so nobody knows what is durable: see the kernel \
log, then start again`;
    return new ObjectError("unknown", operation, key, why, { cause: this.#failed });
  }

  /** Makes a directory and its parents; resolves when the names of all of them are durable. */
  async #ensureDirectory(call: Call, path: string): Promise<void> {
    if (path === this.#root) return;
    const parent = splitPath(path).directory;
    await this.#ensureDirectory(call, parent);
    if ((await statOf(path)) === undefined) {
      await succeeds(fs.mkdir(path, { mode: 0o700 }), "EEXIST");
    }
    const identity = await directoryIdentity(path);
    if (this.#durable.get(path) === identity) return;
    await this.#syncDirectory(call, parent);
    if (this.#durable.size >= knownMax) this.#durable.clear();
    this.#durable.set(path, identity);
  }

  /** Throws unless every directory above `path` is one: a link could lead out of the root. */
  async #checkDirectories(path: string): Promise<void> {
    const { directory } = splitPath(path);
    if (directory === this.#root || this.#durable.has(directory)) return;
    await this.#checkDirectories(directory);
    await directoryIdentity(directory);
  }

  /**
   * Throws when the root is not there, or not the one that this process has written to: a file
   * system that was unmounted must not look like an empty bucket.
   */
  async checkRoot({ key, operation }: Call): Promise<void> {
    const expected = this.#isPrepared ? this.#own : `${this.#root}/.`;
    if ((await statOf(expected)) !== undefined) return;
    const why = `there is no ${expected}; make the directory, or mount what belongs there`;
    throw new ObjectError("noBucket", operation, key, why);
  }

  #prepare(call: Call): Promise<void> {
    this.#preparation ??= this.#makeOwn(call).catch((error: unknown) => {
      this.#preparation = undefined;
      throw error;
    });
    return this.#preparation;
  }

  /** Makes the root and what is the store's own in it; removes files whose writers are gone. */
  async #makeOwn(call: Call): Promise<void> {
    const parent = splitPath(this.#root).directory;
    if ((await statOf(`${parent}/.`)) === undefined) {
      const why = `there is no directory ${parent} to make ${this.#root} in`;
      throw new ObjectError("noBucket", call.operation, call.key, why);
    }
    await succeeds(fs.mkdir(this.#root, { mode: 0o700 }), "EEXIST");
    // Whoever made it may have died before this.
    await this.#syncDirectory(call, parent);
    await succeeds(fs.mkdir(this.#own, { mode: 0o700 }), "EEXIST");
    for (const name of await fs.readdir(this.#own)) {
      if (name !== lockName) await removeLeftover(`${this.#own}/${name}`);
    }
    this.#isPrepared = true;
  }

  /** Runs `work` while nobody else, in this process or another, is in here. */
  async #exclusively<T>(call: Call, work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    try {
      const lock = await this.#lock(call);
      try {
        return await work();
      } finally {
        lock.release();
      }
    } finally {
      resolve();
    }
  }

  async #lock({ key, operation, options }: Call): Promise<DiskLock> {
    const end = this.#clock.now() + lockMsMax;
    for (let waitMs = 1; ; waitMs = Math.min(2 * waitMs, lockPollMsMax)) {
      checkSignal(operation, key, options);
      const lock = this.#disk.lock(`${this.#own}/${lockName}`);
      if (lock !== undefined) return lock;
      if (this.#clock.now() >= end) {
        const why = `another process has held ${this.#own}/${lockName} for ${lockMsMax / 1000} s`;
        throw new ObjectError("conflict", operation, key, why);
      }
      await this.#clock.sleep(waitMs * (0.5 + this.#random.float()), options?.signal);
    }
  }
}

/** Removes a file that nobody has locked: whoever wrote it is gone. */
async function removeLeftover(path: string): Promise<void> {
  let file: FileHandle;
  try {
    file = await fs.open(path, "r");
  } catch (error) {
    if (isAbsence(error)) return;
    throw error;
  }
  try {
    if (lockDescriptor(file.fd)) await succeeds(fs.unlink(path), "ENOENT");
  } finally {
    await file.close();
  }
}

/** Tells directories apart that had the same name one after the other. */
async function directoryIdentity(path: string): Promise<string> {
  const stats = await fs.lstat(path, { bigint: true });
  if (stats.isDirectory()) return `${stats.ino}.${stats.birthtimeNs}`;
  throw new DiskError(stats.isSymbolicLink() ? "ELOOP" : "ENOTDIR", "enter", path);
}
