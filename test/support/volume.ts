/**
 * A small file system of its own, to be filled up or made read-only. On Linux it is a tmpfs that
 * only one process has mounted, in a mount namespace of its own: others reach it through that
 * process's root, and it is gone with the process, however the test ends. On macOS it is a disk
 * image.
 */
import fs from "node:fs";
import os from "node:os";

export interface Volume extends AsyncDisposable {
  readonly path: string;
  makeReadOnly(): Promise<void>;
}

/** Mounts an empty volume; an Error that says what is missing when that cannot be done here. */
export function mountVolume(mebibytes: number): Promise<Volume> {
  const point = fs.mkdtempSync(`${os.tmpdir()}/t4-volume-`);
  return process.platform === "darwin"
    ? attachImage(point, mebibytes)
    : mountTmpfs(point, mebibytes);
}

async function mountTmpfs(point: string, mebibytes: number): Promise<Volume> {
  const own = process.getuid?.() === 0 ? "-m" : "-Urm";
  const holder = Bun.spawn(["unshare", own, "sh", "-e"], { stdio: ["pipe", "pipe", "pipe"] });
  const output = holder.stdout.getReader();
  const run = async (command: string) => {
    holder.stdin.write(`${command}\necho\n`);
    await holder.stdin.flush();
    if (!(await output.read()).done) return;
    throw new Error(`tests need to mount a tmpfs, and cannot (${(await holder.stderr.text()).trim()});
run them as root with CAP_SYS_ADMIN, or allow unprivileged user namespaces`);
  };
  const gone = async () => {
    holder.kill("SIGKILL");
    await holder.exited;
    fs.rmdirSync(point);
  };
  try {
    await run(`mount -t tmpfs -o size=${mebibytes}m,mode=777 none ${point}`);
  } catch (error) {
    await gone();
    throw error;
  }
  return {
    path: `/proc/${holder.pid}/root${point}`,
    makeReadOnly: () => run(`mount -o remount,ro ${point}`),
    [Symbol.asyncDispose]: gone,
  };
}

async function attachImage(point: string, mebibytes: number): Promise<Volume> {
  const image = `${point}.dmg`;
  const hdiutil = async (...words: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(["hdiutil", ...words]);
    if (exitCode !== 0) throw new Error(`hdiutil ${words.join(" ")}: ${stderr.toString().trim()}`);
    await Promise.resolve();
  };
  const attach = ["attach", "-nobrowse", "-mountpoint", point, image];
  await hdiutil("create", "-megabytes", `${mebibytes}`, "-fs", "HFS+", image);
  await hdiutil(...attach);
  return {
    path: point,
    makeReadOnly: async () => {
      await hdiutil("detach", point);
      await hdiutil(...attach, "-readonly");
    },
    [Symbol.asyncDispose]: async () => {
      await hdiutil("detach", "-force", point);
      fs.rmSync(image);
      fs.rmdirSync(point);
    },
  };
}
