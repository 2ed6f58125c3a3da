/** The real disk: POSIX files, through node:fs, and `flock` through bun:ffi. */
import fs from "node:fs";
import { type Disk, DiskError, type DiskFile, type DiskLock } from "./disk.ts";
import { libc } from "./libc.ts";

export class PosixDisk implements Disk {
  create(path: string): DiskFile {
    return attempt("create", path, () => new PosixFile(path, fs.openSync(path, "wx+", 0o600)));
  }

  open(path: string): DiskFile {
    return attempt("open", path, () => new PosixFile(path, fs.openSync(path, "r")));
  }

  rename(from: string, to: string): void {
    attempt("rename", from, () => fs.renameSync(from, to));
  }

  remove(path: string): void {
    const descriptor = openedIfThere(path);
    try {
      attempt("remove", path, () => fs.unlinkSync(path));
    } finally {
      // What the file system does when a file's last descriptor is closed takes milliseconds.
      if (descriptor !== undefined) fs.close(descriptor, () => undefined);
    }
  }

  list(directory: string): string[] {
    return attempt("list", directory, () => fs.readdirSync(directory).sort());
  }

  makeDirectory(path: string): void {
    attempt("make directory", path, () => fs.mkdirSync(path, { recursive: true, mode: 0o700 }));
  }

  async syncDirectory(path: string): Promise<void> {
    const descriptor = attempt("open directory", path, () => fs.openSync(path, "r"));
    try {
      await synced(descriptor, "sync directory", path, fs.fsync);
    } finally {
      fs.closeSync(descriptor);
    }
  }

  lock(path: string): DiskLock | undefined {
    const descriptor = attempt("lock", path, () => fs.openSync(path, "a", 0o600));
    if (!lockDescriptor(descriptor)) {
      fs.closeSync(descriptor);
      return undefined;
    }
    return { release: () => fs.closeSync(descriptor) };
  }

  freeBytes(path: string): number {
    return attempt("ask for free space of", path, () => {
      const { bavail, bsize } = fs.statfsSync(path);
      return bavail * bsize;
    });
  }
}

class PosixFile implements DiskFile {
  readonly path: string;
  readonly #descriptor: number;

  constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  size(): number {
    return attempt("stat", this.path, () => fs.fstatSync(this.#descriptor).size);
  }

  read(target: Uint8Array, offset: number): number {
    let done = 0;
    try {
      while (done < target.length) {
        const count = fs.readSync(
          this.#descriptor,
          target,
          done,
          target.length - done,
          offset + done,
        );
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw diskErrorOf(error, "read", this.path);
    }
    return done;
  }

  write(data: Uint8Array, offset: number): void {
    let done = 0;
    try {
      while (done < data.length) {
        done += fs.writeSync(this.#descriptor, data, done, data.length - done, offset + done);
      }
    } catch (error) {
      throw diskErrorOf(error, "write", this.path);
    }
  }

  async writeInBackground(data: Uint8Array, offset: number): Promise<void> {
    let done = 0;
    while (done < data.length) done += await this.#writeSome(data, done, offset + done);
  }

  sync(here = false): Promise<void> {
    if (here && process.platform !== "darwin") return this.#syncHere();
    return syncDescriptor(this.#descriptor, this.path);
  }

  close(): void {
    attempt("close", this.path, () => fs.closeSync(this.#descriptor));
  }

  /** On this thread: nobody has to be woken, which saves a third of a quick device's time. */
  #syncHere(): Promise<void> {
    try {
      fs.fdatasyncSync(this.#descriptor);
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(diskErrorOf(error, "sync", this.path));
    }
  }

  #writeSome(data: Uint8Array, from: number, offset: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.#descriptor, data, from, data.length - from, offset, (error, count) => {
        if (error) reject(diskErrorOf(error, "write", this.path));
        else resolve(count);
      });
    });
  }
}

const lockExclusive = 2;
const lockNonBlocking = 4;
const fullSync = 51;

/**
 * Takes the exclusive lock of an open file, without waiting; false when another descriptor has it.
 * The kernel drops it when the descriptor is closed, and with the process.
 */
export function lockDescriptor(descriptor: number): boolean {
  return libc().flock(descriptor, lockExclusive | lockNonBlocking) === 0;
}

/** As DiskFile.sync, for a file that somebody else has opened; `path` is for the error. */
export function syncDescriptor(descriptor: number, path: string): Promise<void> {
  return synced(descriptor, "sync", path, fs.fdatasync);
}

/** A descriptor of the file at `path`, for nothing but to be closed; undefined where it cannot be had. */
function openedIfThere(path: string): number | undefined {
  try {
    return fs.openSync(path, "r");
  } catch {
    return undefined;
  }
}

type SyncCall = (descriptor: number, done: (error: unknown) => void) => void;

/**
 * fsync or fdatasync, off the main thread. On macOS both leave data in the drive's cache; only
 * fcntl F_FULLFSYNC makes it durable. There the event loop waits for the drive: calls of the C
 * library have no thread of their own in Bun, none of its own calls promises the same, and asking a
 * worker would cost every write a message each way. macOS is where T4 is developed, not where it has
 * to be fast.
 */
function synced(
  descriptor: number,
  operation: string,
  path: string,
  call: SyncCall,
): Promise<void> {
  if (process.platform === "darwin" && libc().fcntl(descriptor, fullSync) === 0) {
    return Promise.resolve();
  }
  return new Promise((resolve, reject) => {
    call(descriptor, (error) => {
      if (error) reject(diskErrorOf(error, operation, path));
      else resolve();
    });
  });
}

function attempt<T>(operation: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw diskErrorOf(error, operation, path);
  }
}

function diskErrorOf(error: unknown, operation: string, path: string): Error {
  const code = (error as { code?: unknown }).code;
  if (typeof code !== "string") return error as Error;
  return new DiskError(code, operation, path, { cause: error });
}
