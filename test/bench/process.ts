/** What the operating system tells of a process and of a directory. */
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
