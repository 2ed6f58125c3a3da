/** What the operating system says this process uses. */
import fs from "node:fs";

export interface ProcessUsage {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  readonly uptimeSeconds: number;
  /** The rest is told by Linux only. */
  readonly virtualBytes: number | undefined;
  readonly openFiles: number | undefined;
  readonly openFilesMax: number | undefined;
}

/** As of now. Reads a few files of /proc, which live in memory: about 100 us. */
export function processUsage(): ProcessUsage {
  const { user, system } = process.cpuUsage();
  return {
    residentBytes: process.memoryUsage.rss(),
    cpuSeconds: (user + system) / 1e6,
    uptimeSeconds: process.uptime(),
    virtualBytes: kibibytes(procFile("status"), /^VmSize:\s+(\d+) kB/m),
    openFiles: openFiles(),
    openFilesMax: number(procFile("limits"), /^Max open files\s+(\d+)/m),
  };
}

/** Undefined where there is no /proc. */
function procFile(name: string): string | undefined {
  const path = `/proc/self/${name}`;
  return fs.existsSync(path) ? fs.readFileSync(path, "latin1") : undefined;
}

function openFiles(): number | undefined {
  if (!fs.existsSync("/proc/self/fd")) return undefined;
  // One of them is the directory being read.
  return fs.readdirSync("/proc/self/fd").length - 1;
}

function kibibytes(text: string | undefined, pattern: RegExp): number | undefined {
  const count = number(text, pattern);
  return count === undefined ? undefined : count * 1024;
}

function number(text: string | undefined, pattern: RegExp): number | undefined {
  const digits = text?.match(pattern)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
