/**
 * h2load, nghttp2's load generator: unary calls at full speed, for a few microseconds each. It sends
 * the same bytes every time, so a put is always of one key, and to it a gRPC error is a success like
 * any other: whoever uses it checks what the calls did. To tell how long each call took it writes a
 * line for each, a system call that costs it a quarter of what it can do: rates are measured without.
 */
import fs from "node:fs";
import type { Tool } from "../setup/http2.ts";
import { Latencies } from "./drive.ts";

export interface H2loadOptions {
  readonly port: number;
  /** Of the gRPC method. */
  readonly path: string;
  /** The request message. */
  readonly message: Uint8Array;
  readonly connections: number;
  /** Calls in flight on each. */
  readonly streams: number;
  readonly requests: number;
}

export interface H2loadFigures {
  readonly perSecond: number;
  /** Bytes of DATA that came back, for all calls. */
  readonly dataBytes: number;
}

/** Makes the calls; an Error unless each was answered. `directory` is for its files. */
export function h2load(
  tool: Tool,
  directory: string,
  options: H2loadOptions,
): Promise<H2loadFigures> {
  return run(tool, directory, options, []);
}

/** As `h2load`; and how long each call took. */
export async function timedH2load(
  tool: Tool,
  directory: string,
  options: H2loadOptions,
): Promise<H2loadFigures & { readonly latencies: Latencies }> {
  const log = `${directory}/h2load.log`;
  fs.rmSync(log, { force: true });
  const figures = await run(tool, directory, options, [`--log-file=${log}`]);
  return { ...figures, latencies: readLog(log) };
}

async function run(
  tool: Tool,
  directory: string,
  options: H2loadOptions,
  more: readonly string[],
): Promise<H2loadFigures> {
  const { connections, message, path, port, requests, streams } = options;
  const body = `${directory}/h2load.body`;
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  fs.writeFileSync(body, Buffer.concat([header, message]));
  const child = Bun.spawn(
    [
      tool.path,
      `--requests=${requests}`,
      `--clients=${connections}`,
      `--max-concurrent-streams=${streams}`,
      `--data=${body}`,
      ...more,
      "--header=content-type: application/grpc",
      "--header=te: trailers",
      `http://127.0.0.1:${port}${path}`,
    ],
    { env: { ...process.env, ...tool.environment }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const [text, problems] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const perSecond = Number(/^finished in [^,]+, ([\d.]+) req\/s/m.exec(text)?.[1]);
  const succeeded = Number(/ (\d+) succeeded, 0 failed, 0 errored/.exec(text)?.[1]);
  const dataBytes = Number(/^traffic: .* \((\d+)\) data$/m.exec(text)?.[1]);
  if ((await child.exited) !== 0 || succeeded !== requests) {
    throw new Error(`h2load made ${succeeded} of ${requests} calls: ${problems}${text}`);
  }
  return { perSecond, dataBytes };
}

/** One line for each call: start, status, microseconds; with tabs between. */
function readLog(path: string): Latencies {
  const latencies = new Latencies();
  for (const line of fs.readFileSync(path, "latin1").trim().split("\n")) {
    latencies.add(Number(line.split("\t")[2]) / 1000);
  }
  return latencies;
}
