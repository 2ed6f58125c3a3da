/**
 * The disk, passed in. Reads and writes are synchronous: they touch the page cache, where a 4 KiB
 * read costs less than a promise. Syncs are asynchronous: they wait for the device while the next
 * batch gathers. What is durable, and when:
 *
 *   write ──► page cache ──► sync() resolved ──► the bytes survive power loss
 *   create, rename, remove ──► syncDirectory() resolved ──► the name survives power loss
 *
 * Nothing else survives, and the parts of an unsynced write survive in any combination.
 */
export interface Disk {
  /** A new, empty file for reading and writing. DiskError EEXIST when the name is taken. */
  create(path: string): DiskFile;
  /** An existing file, for reading only. DiskError ENOENT when there is none. */
  open(path: string): DiskFile;
  /** Moves a file, replacing what was at `to`. Atomic, but durable only once the directory is synced. */
  rename(from: string, to: string): void;
  /** Removes a file. Open handles to it go on reading. */
  remove(path: string): void;
  /** The names in a directory, sorted. DiskError ENOENT when there is none. */
  list(directory: string): string[];
  /** Makes a directory and its parents; one that is there already is fine. */
  makeDirectory(path: string): void;
  /** Makes the names in `path` durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Takes an exclusive lock on `path`, made when absent. The kernel drops it with the process.
   * Undefined when another process, or another holder in this one, has it.
   */
  lock(path: string): DiskLock | undefined;
  /** Bytes that may still be written to the file system that holds `path`. */
  freeBytes(path: string): number;
}

export interface DiskFile {
  readonly path: string;
  /** The length of the file, in bytes. */
  size(): number;
  /** Fills `target` from `offset`; returns the bytes read, fewer than asked only at the end. */
  read(target: Uint8Array, offset: number): number;
  /**
   * Writes all of `data` at `offset`. When it throws, any part of it may be in the file; when the
   * code is ENOSPC the file may be written to again, any other error makes its content unknown.
   */
  write(data: Uint8Array, offset: number): void;
  /**
   * As `write`, off the main thread: for pieces so large that copying them holds the event loop.
   * `data` must stay as it is, and the file open, until the promise has settled.
   */
  writeInBackground(data: Uint8Array, offset: number): Promise<void>;
  /**
   * Makes content and length durable (fdatasync). After a rejection nothing is known of the file:
   * the kernel may have dropped the dirty pages and would report success next time, so it must not
   * be synced again or relied on ("fsyncgate", PostgreSQL 2018). `here` says that this process has
   * nothing else to do meanwhile: the event loop may wait for a device that is known to be quick.
   */
  sync(here?: boolean): Promise<void>;
  close(): void;
}

export interface DiskLock {
  release(): void;
}

/** The disk said no. `code` is the errno name; the message names operation, path and what to do. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string;
  readonly operation: string;
  readonly path: string;

  constructor(code: string, operation: string, path: string, options?: { cause?: unknown }) {
    const hint = hints[code];
    super(`cannot ${operation} ${path}: ${code}${hint ? ` (${hint})` : ""}`, options);
    this.code = code;
    this.operation = operation;
    this.path = path;
  }
}

/** Another process holds what this one needs for itself alone. The message names it. */
export class InUseError extends Error {
  override readonly name = "InUseError";
}

const hints: Readonly<Record<string, string>> = {
  EACCES: "permission denied: run as the owner of the directory or change its mode",
  EDQUOT: "the disk quota is used up: free space or raise it",
  EIO: "the device failed: see the kernel log, replace the disk",
  EMFILE: "too many open files: raise the limit (ulimit -n)",
  ENOSPC: "no space left on the device: free some, writes then go on",
  ENOTDIR: "a part of the path is a file",
  EPERM: "operation not permitted: run as the owner of the directory",
  EROFS: "the file system is read-only: remount it read-write or choose another --data-dir",
};

/** True for the errors that mean "not enough room": the write did not happen and may be tried again. */
export function isFull(error: unknown): error is DiskError {
  return error instanceof DiskError && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/** The directory part of a path, and its last name. */
export function splitPath(path: string): { directory: string; name: string } {
  const slash = path.lastIndexOf("/");
  if (slash < 0) return { directory: ".", name: path };
  return { directory: path.slice(0, slash) || "/", name: path.slice(slash + 1) };
}

/** The whole file; undefined when there is none. */
export function readWhole(disk: Disk, path: string): Buffer | undefined {
  let file: DiskFile;
  try {
    file = disk.open(path);
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(file.size());
    return bytes.subarray(0, file.read(bytes, 0));
  } finally {
    file.close();
  }
}

/**
 * Replaces `path` by `bytes`, whole or not at all: write a temporary file, sync it, rename it, sync
 * the directory. Durable when it resolves. One replacement of a path at a time.
 */
export async function replaceWhole(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const { directory } = splitPath(path);
  const temporary = `${path}${temporarySuffix}`;
  removeIfThere(disk, temporary);
  const file = disk.create(temporary);
  try {
    file.write(bytes, 0);
    await file.sync();
  } finally {
    file.close();
  }
  disk.rename(temporary, path);
  await disk.syncDirectory(directory);
}

/** Names with this ending are half-made files: whoever finds one at start-up may remove it. */
export const temporarySuffix = ".tmp";

/** Removes a file that may be absent. */
export function removeIfThere(disk: Disk, path: string): void {
  try {
    disk.remove(path);
  } catch (error) {
    if (!(error instanceof DiskError && error.code === "ENOENT")) throw error;
  }
}

/**
 * Makes a directory and its missing parents, durably. One that is there already is synced too:
 * whoever made it may have died before its name was durable. Hence one level after the other.
 */
export async function ensureDirectory(disk: Disk, path: string): Promise<void> {
  const missing = [path];
  for (let at = splitPath(path).directory; !isDirectory(disk, at); at = splitPath(at).directory) {
    missing.unshift(at);
  }
  for (const made of missing) {
    disk.makeDirectory(made);
    await disk.syncDirectory(splitPath(made).directory);
  }
}

function isDirectory(disk: Disk, path: string): boolean {
  try {
    disk.list(path);
    return true;
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return false;
    throw error;
  }
}
