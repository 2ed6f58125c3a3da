/**
 * A disk in memory that loses power. It keeps what was synced apart from what was only written:
 *
 *   inode:      bytes as the process sees them | bytes as the platter has them | dirty sectors
 *   directory:  names as the process sees them | names as the platter has them | changes between
 *
 * `powerLoss` returns the disk a restarted machine finds: every unsynced 512-byte sector kept,
 * dropped or zeroed at random, every unsynced directory change kept or lost at random. The disk
 * that lost its power answers nothing any more, so the process on it stands still.
 */
import { assert, must } from "../../src/lib/assert.ts";
import {
  type Disk,
  DiskError,
  type DiskFile,
  type DiskLock,
  splitPath,
} from "../../src/lib/disk.ts";
import type { Random } from "../../src/lib/random.ts";

export const sectorBytes = 512;

/** One call of the disk, as faults and counters see it. */
export interface DiskCall {
  readonly operation:
    | "create"
    | "open"
    | "rename"
    | "remove"
    | "list"
    | "makeDirectory"
    | "syncDirectory"
    | "lock"
    | "freeBytes"
    | "read"
    | "write"
    | "sync";
  readonly path: string;
  /** Ordinal of the call on this disk, from 1. */
  readonly number: number;
}

export interface SimDiskOptions {
  /** Resolves when a sync that was asked for has been carried out. */
  readonly delay?: () => Promise<void>;
  /** Called before each call takes effect: returns an errno name to fail it with. */
  readonly fault?: (call: DiskCall) => string | undefined;
  /**
   * Syncs that lie: true makes this sync do nothing, as if the line that calls it had been deleted.
   */
  readonly skipSync?: (call: DiskCall) => boolean;
}

interface Inode {
  bytes: Buffer;
  synced: Buffer;
  /** Sector numbers with bytes that were written since the last sync. */
  dirty: Set<number>;
}

type DirectoryChange =
  | { readonly kind: "set"; readonly path: string; readonly inode: Inode }
  | { readonly kind: "remove"; readonly path: string }
  | { readonly kind: "rename"; readonly from: string; readonly to: string; readonly inode: Inode };

/** Thrown by every call on a disk without power. */
export class PowerLossError extends Error {}

export class SimDisk implements Disk {
  readonly #options: SimDiskOptions;
  readonly #files = new Map<string, Inode>();
  readonly #durable = new Map<string, Inode>();
  readonly #changes = new Map<string, DirectoryChange[]>();
  readonly #directories = new Set<string>(["/"]);
  readonly #durableDirectories = new Set<string>(["/"]);
  readonly #locks = new Set<string>();
  #powered = true;
  #calls = 0;

  constructor(options: SimDiskOptions = {}) {
    this.#options = options;
  }

  /** Calls so far, failed ones included. */
  get calls(): number {
    return this.#calls;
  }

  create(path: string): DiskFile {
    this.#enter("create", path);
    if (this.#files.has(path)) throw new DiskError("EEXIST", "create", path);
    this.#parentOf(path, "create");
    const inode: Inode = { bytes: Buffer.alloc(0), synced: Buffer.alloc(0), dirty: new Set() };
    this.#files.set(path, inode);
    this.#note(path, { kind: "set", path, inode });
    return new SimFile(this, path, inode, true);
  }

  open(path: string): DiskFile {
    this.#enter("open", path);
    const inode = this.#files.get(path);
    if (inode === undefined) throw new DiskError("ENOENT", "open", path);
    return new SimFile(this, path, inode, false);
  }

  rename(from: string, to: string): void {
    this.#enter("rename", from);
    const inode = this.#files.get(from);
    if (inode === undefined) throw new DiskError("ENOENT", "rename", from);
    assert(splitPath(from).directory === splitPath(to).directory, "renames stay in a directory");
    this.#files.delete(from);
    this.#files.set(to, inode);
    this.#note(to, { kind: "rename", from, to, inode });
  }

  remove(path: string): void {
    this.#enter("remove", path);
    if (!this.#files.delete(path)) throw new DiskError("ENOENT", "remove", path);
    this.#note(path, { kind: "remove", path });
  }

  list(directory: string): string[] {
    this.#enter("list", directory);
    if (!this.#directories.has(directory)) throw new DiskError("ENOENT", "list", directory);
    const names = [...this.#files.keys(), ...this.#directories]
      .filter((path) => path !== "/" && splitPath(path).directory === directory)
      .map((path) => splitPath(path).name);
    return names.sort();
  }

  makeDirectory(path: string): void {
    this.#enter("makeDirectory", path);
    if (this.#directories.has(path)) return;
    const { directory } = splitPath(path);
    if (!this.#directories.has(directory)) this.makeDirectory(directory);
    this.#directories.add(path);
  }

  async syncDirectory(path: string): Promise<void> {
    const call = this.#enter("syncDirectory", path);
    if (!this.#directories.has(path)) throw new DiskError("ENOENT", "syncDirectory", path);
    const upTo = this.#changes.get(path)?.length ?? 0;
    const made = [...this.#directories].filter((at) => splitPath(at).directory === path);
    await this.settle();
    if (this.#options.skipSync?.(call)) return;
    const changes = this.#changes.get(path) ?? [];
    for (const change of changes.splice(0, upTo)) applyChange(this.#durable, change);
    for (const at of made) this.#durableDirectories.add(at);
  }

  lock(path: string): DiskLock | undefined {
    this.#enter("lock", path);
    if (this.#locks.has(path)) return undefined;
    this.#locks.add(path);
    return { release: () => this.#locks.delete(path) };
  }

  freeBytes(path: string): number {
    this.#enter("freeBytes", path);
    return 2 ** 40;
  }

  /** Stops answering: from now on every call throws PowerLossError, every promise stays open. */
  unplug(): void {
    this.#powered = false;
  }

  /** The disk as it is found after the power came back. This one is unplugged. */
  powerLoss(random: Random, options: SimDiskOptions = {}): SimDisk {
    this.unplug();
    const next = new SimDisk(options);
    const names = new Map(this.#durable);
    for (const changes of this.#changes.values()) {
      for (const change of changes) if (random.below(2) === 0) applyChange(names, change);
    }
    for (const directory of this.#directories) {
      if (!this.#durableDirectories.has(directory) && random.below(2) === 0) continue;
      addDirectory(next.#directories, directory);
      addDirectory(next.#durableDirectories, directory);
    }
    for (const [path, inode] of names) {
      if (!next.#directories.has(splitPath(path).directory)) continue;
      const bytes = survivingBytes(inode, random);
      const found: Inode = { bytes, synced: Buffer.from(bytes), dirty: new Set() };
      next.#files.set(path, found);
      next.#durable.set(path, found);
    }
    return next;
  }

  /** The disk after the process died and the machine did not: everything written is there. */
  processCrash(options: SimDiskOptions = {}): SimDisk {
    this.unplug();
    const next = new SimDisk(options);
    for (const [path, inode] of this.#files) next.#files.set(path, inode);
    for (const [path, inode] of this.#durable) next.#durable.set(path, inode);
    for (const [path, changes] of this.#changes) next.#changes.set(path, [...changes]);
    for (const path of this.#directories) next.#directories.add(path);
    for (const path of this.#durableDirectories) next.#durableDirectories.add(path);
    return next;
  }

  /** Another disk with the same files. This one goes on. */
  copy(options: SimDiskOptions = {}): SimDisk {
    const next = new SimDisk(options);
    for (const path of this.paths()) next.plant(path, this.peek(path));
    return next;
  }

  /** The content of a file as the process sees it, for tests that look at or damage bytes. */
  peek(path: string): Buffer {
    return must(this.#files.get(path), `${path} exists`).bytes;
  }

  /** Puts a file in place, as durable as if it had been synced. */
  plant(path: string, bytes: Uint8Array): void {
    const inode: Inode = {
      bytes: Buffer.from(bytes),
      synced: Buffer.from(bytes),
      dirty: new Set(),
    };
    addDirectory(this.#directories, splitPath(path).directory);
    addDirectory(this.#durableDirectories, splitPath(path).directory);
    this.#files.set(path, inode);
    this.#durable.set(path, inode);
  }

  /** Every path of a file, sorted. */
  paths(): string[] {
    return [...this.#files.keys()].sort();
  }

  /** @internal for SimFile. */
  read(path: string, inode: Inode, target: Uint8Array, offset: number): number {
    this.#enter("read", path);
    return inode.bytes.copy(target, 0, Math.min(offset, inode.bytes.length));
  }

  /**
   * @internal for SimFile. A failed write leaves a part of itself behind, as a full disk does: any
   * part of what makes the file longer, whole sectors of what was there before.
   */
  write(path: string, inode: Inode, data: Uint8Array, offset: number): void {
    let failure: unknown;
    let { length } = data;
    try {
      this.#enter("write", path);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      failure = error;
      const half = offset + (length >> 1);
      const isInside = half < inode.bytes.length;
      length = Math.max(0, (isInside ? half - (half % sectorBytes) : half) - offset);
    }
    const end = offset + length;
    if (end > inode.bytes.length) {
      const grown = Buffer.alloc(end);
      inode.bytes.copy(grown);
      inode.bytes = grown;
    }
    inode.bytes.set(data.subarray(0, length), offset);
    for (let at = Math.floor(offset / sectorBytes); at * sectorBytes < end; at++) {
      inode.dirty.add(at);
    }
    if (failure) throw failure;
  }

  /** @internal for SimFile. A failed sync cleans the pages without writing them, as Linux does. */
  async sync(path: string, inode: Inode): Promise<void> {
    const call = this.#enter("sync", path, () => {
      inode.dirty.clear();
    });
    const wanted = new Set(inode.dirty);
    const image = Buffer.from(inode.bytes);
    await this.settle();
    if (this.#options.skipSync?.(call)) return;
    const grown = Buffer.alloc(Math.max(image.length, inode.synced.length));
    inode.synced.copy(grown);
    for (const sector of wanted) {
      const from = sector * sectorBytes;
      image.copy(grown, from, from, Math.min(from + sectorBytes, image.length));
      const same = inode.bytes
        .subarray(from, from + sectorBytes)
        .equals(image.subarray(from, from + sectorBytes));
      if (same) inode.dirty.delete(sector);
    }
    inode.synced = grown;
  }

  #enter(operation: DiskCall["operation"], path: string, failed?: () => void): DiskCall {
    if (!this.#powered) throw new PowerLossError(`${operation} ${path}: no power`);
    const call: DiskCall = { operation, path, number: ++this.#calls };
    const code = this.#options.fault?.(call);
    if (!this.#powered) throw new PowerLossError(`${operation} ${path}: no power`);
    if (code !== undefined) {
      failed?.();
      throw new DiskError(code, operation, path);
    }
    return call;
  }

  /** @internal for SimFile. Resolves when what is done in the background is done. */
  async settle(): Promise<void> {
    await this.#options.delay?.();
    if (!this.#powered) await new Promise<never>(() => undefined);
  }

  #parentOf(path: string, operation: string): void {
    const { directory } = splitPath(path);
    if (!this.#directories.has(directory)) throw new DiskError("ENOENT", operation, path);
  }

  #note(path: string, change: DirectoryChange): void {
    const { directory } = splitPath(path);
    const changes = this.#changes.get(directory);
    if (changes === undefined) this.#changes.set(directory, [change]);
    else changes.push(change);
  }
}

class SimFile implements DiskFile {
  readonly path: string;
  readonly #disk: SimDisk;
  readonly #inode: Inode;
  readonly #writable: boolean;
  #closed = false;

  constructor(disk: SimDisk, path: string, inode: Inode, writable: boolean) {
    this.path = path;
    this.#disk = disk;
    this.#inode = inode;
    this.#writable = writable;
  }

  size(): number {
    return this.#inode.bytes.length;
  }

  read(target: Uint8Array, offset: number): number {
    assert(!this.#closed, "a file that is closed is not read");
    return this.#disk.read(this.path, this.#inode, target, offset);
  }

  write(data: Uint8Array, offset: number): void {
    assert(this.#writable, "a file opened for reading is not written");
    assert(!this.#closed, "a file that is closed is not written");
    this.#disk.write(this.path, this.#inode, data, offset);
  }

  /** Takes the data as late as it may, so that whoever changes it too early is found out. */
  async writeInBackground(data: Uint8Array, offset: number): Promise<void> {
    await this.#disk.settle();
    this.write(data, offset);
  }

  async sync(): Promise<void> {
    assert(!this.#closed, "a file that is closed is not synced");
    await this.#disk.sync(this.path, this.#inode);
  }

  close(): void {
    assert(!this.#closed, "a file is closed once");
    this.#closed = true;
  }
}

function addDirectory(directories: Set<string>, path: string): void {
  for (let at = path; !directories.has(at); at = splitPath(at).directory) directories.add(at);
}

function applyChange(names: Map<string, Inode>, change: DirectoryChange): void {
  switch (change.kind) {
    case "set":
      names.set(change.path, change.inode);
      return;
    case "remove":
      names.delete(change.path);
      return;
    case "rename":
      names.delete(change.from);
      names.set(change.to, change.inode);
  }
}

/** What of a file is found: synced bytes for sure, each dirty sector kept, dropped or zeroed. */
function survivingBytes(inode: Inode, random: Random): Buffer {
  const { bytes, dirty, synced } = inode;
  let length = synced.length;
  const fates = [...dirty].map((sector) => ({ sector, fate: random.below(3) }));
  for (const { sector, fate } of fates) {
    if (fate !== 1) length = Math.max(length, Math.min((sector + 1) * sectorBytes, bytes.length));
  }
  if (bytes.length > length && random.below(2) === 0) length = bytes.length;
  const found = Buffer.alloc(length);
  synced.copy(found);
  for (const { sector, fate } of fates) {
    const from = sector * sectorBytes;
    const end = Math.min(from + sectorBytes, bytes.length, length);
    for (let at = from; at < end; at++) {
      // Bytes that were synced before and not written since are the same in both images.
      const changed = at >= synced.length || bytes[at] !== synced[at];
      if (changed && fate === 0) found[at] = bytes[at] ?? 0;
      if (changed && fate === 2) found[at] = 0;
    }
  }
  return found;
}
