/**
 * An S3 server in a process of its own, whose answers take as long as it is told: our test double,
 * with everything in memory. Runs as `main.ts cloud`.
 *
 *   out   the endpoint, one line
 *   in    milliseconds, one line; from now on each answer is begun that long after its request
 *   out   the same line, once it is so
 */
import { S3Server } from "../sim/s3.ts";
import { startPart } from "./process.ts";

export interface Cloud extends AsyncDisposable {
  readonly endpoint: string;
  /** From now on each answer takes this long. */
  delay(milliseconds: number): Promise<void>;
}

export const cloudBucket = "test";
export const cloudKeys = { accessKeyId: "bench", secretAccessKey: "bench" };

/** Starts one; it has no latency yet. */
export async function startCloud(): Promise<Cloud> {
  const part = startPart("cloud");
  return {
    endpoint: await part.next(),
    delay: async (milliseconds) => {
      part.tell(`${milliseconds}`);
      await part.next();
    },
    [Symbol.asyncDispose]: () => part[Symbol.asyncDispose](),
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
