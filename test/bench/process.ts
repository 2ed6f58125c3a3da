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

/** Seconds of processor time that a process has used so far, in all its threads. */
export function processorSeconds(pid: number): number {
  const stat = `/proc/${pid}/stat`;
  if (fs.existsSync(stat)) {
    // Behind the name, which may have anything in it: fields 14 and 15, in hundredths.
    const fields = fs.readFileSync(stat, "latin1").split(") ").at(-1)?.split(" ") ?? [];
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
  const { stdout } = Bun.spawnSync(["ps", "-o", "time=", "-p", `${pid}`]);
  const parts = stdout.toString().trim().split(":");
  return parts.reduce((seconds, part) => 60 * seconds + Number(part), 0);
}

/** How many files a process may have open, this one and those it starts. */
export function openFilesMax(): number {
  const { stdout } = Bun.spawnSync(["sh", "-c", "ulimit -n"]);
  return Number(stdout.toString().replace("unlimited", "Infinity"));
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

/** A part of a measurement in a process of its own: it tells lines, and may be told some. */
export interface Part extends AsyncDisposable {
  readonly pid: number;
  /** The next line that it tells. */
  next(): Promise<string>;
  tell(line: string): void;
}

/** Starts `main.ts` as that part. It should end when its standard input does. */
export function startPart(name: string): Part {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`, name], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = linesOf(child.stdout);
  return {
    pid: child.pid,
    next: async () => {
      const { done, value } = await lines.next();
      if (done) throw new Error(`the part ${name} of the benchmarks ended`);
      return value;
    },
    tell: (line) => {
      child.stdin.write(`${line}\n`);
      child.stdin.flush();
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    const lines = (text + decoder.decode(bytes, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
  return undefined;
}

/** Prints what a phase has found and ends the process as kill -9 would end it. */
export function tell(figures: object): void {
  fs.writeSync(1, JSON.stringify(figures));
  process.kill(process.pid, "SIGKILL");
}
