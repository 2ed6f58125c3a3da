/**
 * An S3 server in a process of its own, whose answers take as long as it is told: our test double,
 * with everything in memory. Runs as `main.ts cloud`.
 *
 *   out   the endpoint, one line
 *   in    milliseconds, one line; from now on each answer is begun that long after its request
 *   out   the same line, once it is so
 */
import { S3Server } from "../sim/s3.ts";

export interface Cloud extends AsyncDisposable {
  readonly endpoint: string;
  /** From now on each answer takes this long. */
  delay(milliseconds: number): Promise<void>;
}

export const cloudBucket = "test";
export const cloudKeys = { accessKeyId: "bench", secretAccessKey: "bench" };

/** Starts one; it has no latency yet. */
export async function startCloud(): Promise<Cloud> {
  const child = Bun.spawn([process.execPath, `${import.meta.dir}/main.ts`, "cloud"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = linesOf(child.stdout);
  const next = async () => {
    const { done, value } = await lines.next();
    if (done) throw new Error("the S3 server of the benchmarks ended");
    return value;
  };
  const endpoint = await next();
  return {
    endpoint,
    delay: async (milliseconds) => {
      child.stdin.write(`${milliseconds}\n`);
      child.stdin.flush();
      await next();
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** The process: ends when nobody talks to it any more. */
export async function runCloud(): Promise<void> {
  const server = new S3Server({ forgets: true });
  process.stdout.write(`${server.endpoint}\n`);
  for await (const line of console) {
    server.latencyMs = Number(line);
    process.stdout.write(`${line}\n`);
  }
  process.exit(0);
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
