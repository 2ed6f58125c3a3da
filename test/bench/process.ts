/** Processes of the benchmark's own, and what the operating system tells of them and of directories. */
import fs from "node:fs";

/** Resident bytes of a process. */
export function residentBytes(pid: number): number {
  const status = `/proc/${pid}/status`;
  // Where there is no /proc there is ps.
  const text = fs.existsSync(status)
    ? /^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(status, "latin1"))?.[1]
    : Bun.spawnSync(["ps", "-o", "rss=", "-p", `${pid}`]).stdout.toString();
  const kibibytes = Number(text);
  if (!(kibibytes > 0)) throw new Error(`no process ${pid} to look at`);
  return kibibytes * 1024;
}

/** Bytes on the disk of all files in a directory, as `du` counts them. */
export function diskBytes(directory: string): number {
  let bytes = 0;
  for (const name of fs.readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    // A file may go between the listing and the look at it.
    const found = fs.statSync(`${directory}/${name}`, { throwIfNoEntry: false });
    if (found?.isFile()) bytes += found.blocks * 512;
  }
  return bytes;
}

/** Runs `main.ts` with these arguments: a phase of a measurement, which ends with `tell`. */
export async function inOwnProcess<T>(args: readonly string[]): Promise<T> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = await child.stdout.text();
  await child.exited;
  if (child.signalCode !== "SIGKILL") throw new Error(`${args[0]} ended with ${child.exitCode}`);
  return JSON.parse(text);
}

/** Prints what a phase has found and ends the process as kill -9 would end it. */
export function tell(figures: object): void {
  fs.writeSync(1, JSON.stringify(figures));
  process.kill(process.pid, "SIGKILL");
}
