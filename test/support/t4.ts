/** The real program as its users run it: dist/t4 in a process of its own, on ports of its own. */
import fs from "node:fs";
import os from "node:os";

/** The binary under test: ours, unless T4_TEST_BINARY names another. */
export const binary = process.env.T4_TEST_BINARY ?? `${process.cwd()}/dist/t4`;

/** A new directory under the system's temporary one, removed at the end of the scope. */
export function temporaryDirectory(): { readonly path: string } & Disposable {
  const path = fs.mkdtempSync(`${os.tmpdir()}/t4-test-`);
  return { path, [Symbol.dispose]: () => fs.rmSync(path, { recursive: true, force: true }) };
}

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment?: Record<string, string>;
  /** Where it is started. */
  readonly directory?: string;
  /** The command line that runs the binary, when something else is to run it. */
  readonly through?: readonly string[];
}

/** Runs a command line to its end. */
export async function runT4(flags: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const child = Bun.spawn([...(options.through ?? [requireBinary()]), ...flags], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...options.environment },
    cwd: options.directory ?? process.cwd(),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [code, stdout, stderr] = await Promise.all([
    child.exited,
    child.stdout.text(),
    child.stderr.text(),
  ]);
  return { code, stdout, stderr };
}

/** One line of the log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** A process that may still be starting. At the end of the scope it is killed. */
export interface Launched extends AsyncDisposable {
  readonly pid: number;
  /** The log so far. */
  readonly log: readonly LogLine[];
  /** Its line of the log, once it serves; rejects with the log when it ends before. */
  readonly serving: Promise<LogLine>;
  /** The exit code, once it has ended. */
  readonly exited: Promise<number>;
  signal(name: "SIGTERM" | "SIGINT" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
}

export interface Running extends Launched {
  /** host:port for etcd clients. */
  readonly endpoint: string;
  /** The port of it. */
  readonly port: number;
  /** http://host:port of the pages. */
  readonly pages: string;
}

/** Starts `t4 run` on free ports and resolves once it serves; rejects with its log when it ends. */
export async function startT4(
  dataDirectory: string,
  flags: readonly string[] = [],
): Promise<Running> {
  const launched = launchT4(dataDirectory, flags);
  const line = await launched.serving;
  const endpoint = String(line.listen);
  const port = Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
  return { ...launched, endpoint, port, pages: `http://${line.metrics}` };
}

/** Starts `t4 run` on free ports, unless the flags name others, and does not wait for it. */
export function launchT4(dataDirectory: string, flags: readonly string[] = []): Launched {
  const preset = {
    "--data-dir": dataDirectory,
    "--log-format": "json",
    "--listen": "127.0.0.1:0",
    "--metrics-addr": "127.0.0.1:0",
  };
  const own = Object.entries(preset).filter(([flag]) => !flags.includes(flag));
  const child = Bun.spawn([requireBinary(), "run", ...own.flat(), ...flags], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const log: LogLine[] = [];
  const serving = Promise.withResolvers<LogLine>();
  // Whoever does not wait for it is not concerned by its failure.
  serving.promise.catch(() => undefined);
  const read = readLog(child.stderr, (line) => {
    log.push(line);
    if (line.msg === "serving") serving.resolve(line);
  }).then(() => serving.reject(new Error(`t4 ended: ${JSON.stringify(log)}`)));
  return {
    pid: child.pid,
    log,
    serving: serving.promise,
    exited: Promise.all([child.exited, read]).then(([code]) => code),
    signal: (name) => child.kill(name),
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function readLog(
  stream: ReadableStream<Uint8Array>,
  take: (line: LogLine) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(parseLine(line));
  }
}

/** What is no JSON is a crash's last words: kept as they are. */
function parseLine(text: string): LogLine {
  try {
    return JSON.parse(text);
  } catch {
    return { level: "raw", msg: text };
  }
}

function requireBinary(): string {
  if (!fs.existsSync(binary)) throw new Error("there is no dist/t4: `bun run build` makes it");
  return binary;
}
