/** What every Disk does, whoever made it. */
import { expect, test } from "bun:test";
import {
  type Disk,
  DiskError,
  ensureDirectory,
  isFull,
  readWhole,
  removeIfThere,
  replaceWhole,
} from "../../src/lib/disk.ts";

type Work = (disk: Disk, root: string) => Promise<void> | void;

/** Runs the suite over disks that `make` gives; `root` is an empty directory on each. */
export function diskContract(
  name: string,
  make: () => { disk: Disk; root: string; done(): void },
): void {
  const on = (truth: string, work: Work) =>
    test(`${name}: ${truth}`, async () => {
      const { disk, done, root } = make();
      try {
        await work(disk, root);
      } finally {
        done();
      }
    });
  filesContract(on);
  namesContract(on);
}

function filesContract(on: (truth: string, work: Work) => void): void {
  on("what is written is read back, at any offset, and past the end nothing is", (disk, root) => {
    const file = disk.create(`${root}/a`);
    file.write(Buffer.from("hello"), 0);
    file.write(Buffer.from("HE"), 0);
    file.write(Buffer.from("!"), 7);
    expect(file.size()).toBe(8);
    const target = Buffer.alloc(10, "x");
    expect(file.read(target, 0)).toBe(8);
    expect(target.toString()).toBe("HEllo\0\0!xx");
    expect(file.read(target, 8)).toBe(0);
    expect(file.read(Buffer.alloc(2), 100)).toBe(0);
    file.close();
  });

  on("a file may be synced here as elsewhere", async (disk, root) => {
    const file = disk.create(`${root}/a`);
    file.write(Buffer.from("one"), 0);
    await file.sync(true);
    file.write(Buffer.from("two"), 3);
    await file.sync();
    file.close();
    expect(readWhole(disk, `${root}/a`)?.toString()).toBe("onetwo");
  });

  on("what is written in the background is there once that is done", async (disk, root) => {
    const file = disk.create(`${root}/a`);
    const data = Buffer.alloc(300_000, "0123456789");
    await Promise.all([
      file.writeInBackground(data.subarray(0, 200_001), 0),
      file.writeInBackground(data.subarray(200_001), 200_001),
    ]);
    await file.writeInBackground(Buffer.from("!"), 7);
    await file.sync();
    file.close();
    data.write("!", 7);
    expect(readWhole(disk, `${root}/a`)?.equals(data)).toBe(true);
  });

  on("a file is created once, and only one that is there is opened", (disk, root) => {
    disk.create(`${root}/a`).close();
    expect(codeOf(() => disk.create(`${root}/a`))).toBe("EEXIST");
    expect(codeOf(() => disk.open(`${root}/b`))).toBe("ENOENT");
    expect(codeOf(() => disk.create(`${root}/no/where`))).toBe("ENOENT");
    expect(codeOf(() => disk.remove(`${root}/b`))).toBe("ENOENT");
    expect(codeOf(() => disk.rename(`${root}/b`, `${root}/c`))).toBe("ENOENT");
    expect(codeOf(() => disk.list(`${root}/no`))).toBe("ENOENT");
  });

  on(
    "a rename replaces what was there, and handles go on reading what they opened",
    (disk, root) => {
      write(disk, `${root}/old`, "old");
      write(disk, `${root}/new`, "new");
      const held = disk.open(`${root}/old`);
      disk.rename(`${root}/new`, `${root}/old`);
      expect(disk.list(root)).toEqual(["old"]);
      expect(readWhole(disk, `${root}/old`)?.toString()).toBe("new");
      const target = Buffer.alloc(3);
      held.read(target, 0);
      expect(target.toString()).toBe("old");
      disk.remove(`${root}/old`);
      expect(disk.list(root)).toEqual([]);
      held.close();
    },
  );
}

function namesContract(on: (truth: string, work: Work) => void): void {
  on("a directory and its parents are made, and making them again is fine", async (disk, root) => {
    await ensureDirectory(disk, `${root}/x/y/z`);
    await ensureDirectory(disk, `${root}/x/y/z`);
    disk.create(`${root}/x/y/z/file`).close();
    expect(disk.list(`${root}/x/y`)).toEqual(["z"]);
    expect(disk.list(`${root}/x/y/z`)).toEqual(["file"]);
  });

  on("a whole file is replaced, with or without one there before", async (disk, root) => {
    expect(readWhole(disk, `${root}/f`)).toBeUndefined();
    await replaceWhole(disk, `${root}/f`, Buffer.from("one"));
    await replaceWhole(disk, `${root}/f`, Buffer.from("second"));
    expect(readWhole(disk, `${root}/f`)?.toString()).toBe("second");
    expect(disk.list(root)).toEqual(["f"]);
    removeIfThere(disk, `${root}/f`);
    removeIfThere(disk, `${root}/f`);
    expect(disk.list(root)).toEqual([]);
  });

  on("a lock has one holder, and the next one after its release", (disk, root) => {
    const lock = disk.lock(`${root}/LOCK`);
    expect(lock).toBeDefined();
    expect(disk.lock(`${root}/LOCK`)).toBeUndefined();
    lock?.release();
    const again = disk.lock(`${root}/LOCK`);
    expect(again).toBeDefined();
    again?.release();
  });

  on("syncs resolve, of files and of directories", async (disk, root) => {
    const file = disk.create(`${root}/a`);
    file.write(Buffer.alloc(5000, 1), 0);
    await file.sync();
    await disk.syncDirectory(root);
    file.close();
    expect(disk.freeBytes(root)).toBeGreaterThan(0);
  });

  on("an error names operation, path and what to do", (disk, root) => {
    const error = errorOf(() => disk.open(`${root}/gone`));
    expect(error.message).toContain(`${root}/gone`);
    expect(error.message).toContain("ENOENT");
    expect(isFull(error)).toBe(false);
    expect(isFull(new DiskError("ENOSPC", "write", "/x"))).toBe(true);
    expect(new DiskError("ENOSPC", "write", "/x").message).toContain("no space left");
  });
}

function write(disk: Disk, path: string, text: string): void {
  const file = disk.create(path);
  file.write(Buffer.from(text), 0);
  file.close();
}

function codeOf(work: () => unknown): string {
  return errorOf(work).code;
}

function errorOf(work: () => unknown): DiskError {
  try {
    work();
  } catch (error) {
    if (error instanceof DiskError) return error;
    throw error;
  }
  throw new Error("expected a DiskError");
}
