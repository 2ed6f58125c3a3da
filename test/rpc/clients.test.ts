/** Programs of others that speak HTTP/2, and HTTP/1.1, with the server. */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import { serve } from "../../src/rpc/server.ts";
import { provideTool, type ToolName } from "../setup/http2.ts";
import { Bench } from "./echo.ts";

/** What a program says, and how it ended. */
async function run(name: ToolName, ...line: string[]) {
  const { environment, path } = provideTool(name, () => undefined);
  const child = Bun.spawn([path, ...line], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [output, problems] = await Promise.all([child.stdout.bytes(), child.stderr.text()]);
  return { exitCode: await child.exited, output: Buffer.from(output), problems };
}

/** Runs `act` with the path of a file that holds a gRPC message that says `text`. */
async function withRequest(text: string, act: (path: string) => Promise<void>): Promise<void> {
  const directory = fs.mkdtempSync(`${os.tmpdir()}/t4-client-`);
  const message = Buffer.from(text);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  fs.writeFileSync(`${directory}/request`, Buffer.concat([header, message]));
  try {
    await act(`${directory}/request`);
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

const grpc = ["content-type: application/grpc", "te: trailers"];

describe("other people's clients", () => {
  test("h2load makes 20,000 calls, 16 at a time on each of 8 connections", async () => {
    await using bench = await Bench.open(serve);
    const url = `http://127.0.0.1:${bench.server.port}/test.Echo/Say`;
    await withRequest("x".repeat(300), async (request) => {
      const load = ["--requests=20000", "--clients=8", "--max-concurrent-streams=16"];
      const headers = grpc.map((header) => `--header=${header}`);
      const { output, problems } = await run(
        "h2load",
        ...load,
        `--data=${request}`,
        ...headers,
        url,
      );
      expect(problems).toBe("");
      expect(output.toString()).toContain("20000 succeeded, 0 failed, 0 errored, 0 timeout");
      // Each answer is the message and its header of five bytes.
      expect(output.toString()).toContain(`(${20_000 * 305}) data`);
    });
  });

  test("nghttp sees head, message and trailers", async () => {
    await using bench = await Bench.open(serve);
    const url = `http://127.0.0.1:${bench.server.port}/test.Echo/Say`;
    await withRequest("hello", async (request) => {
      const headers = grpc.map((header) => `--header=${header}`);
      const { exitCode, output } = await run(
        "nghttp",
        "--verbose",
        "--no-dep",
        `--data=${request}`,
        ...headers,
        url,
      );
      const text = output.toString("latin1");
      expect(exitCode).toBe(0);
      expect(text).toContain(":status: 200");
      expect(text).toContain("content-type: application/grpc");
      expect(text).toContain("\0\0\0\0\x05hello");
      expect(text).toContain("grpc-status: 0");
    });
  });

  test("curl makes a call with prior knowledge", async () => {
    await using bench = await Bench.open(serve);
    const url = `http://127.0.0.1:${bench.server.port}/test.Echo/Say`;
    await withRequest("hello", async (request) => {
      const headers = grpc.flatMap((header) => ["--header", header]);
      const line = [
        "--silent",
        "--http2-prior-knowledge",
        "--data-binary",
        `@${request}`,
        ...headers,
      ];
      const { exitCode, output } = await run("curl", ...line, "--dump-header", "-", url);
      expect(exitCode).toBe(0);
      expect(output.toString("latin1")).toBe(
        "HTTP/2 200 \r\ncontent-type: application/grpc\r\n\r\n" +
          "\0\0\0\0\x05hellogrpc-status: 0\r\n",
      );
    });
  });
});

describe("on the same port", () => {
  test("curl speaks HTTP/1.1 with the server behind it", async () => {
    const pages = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async (request) =>
        new Response(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`),
    });
    const http1 = { host: "127.0.0.1", port: pages.port as number };
    await using bench = await Bench.open(serve, {}, { http1 });
    const url = `http://127.0.0.1:${bench.server.port}`;
    const large = "y".repeat(3_000_000);
    const got = await run("curl", "--silent", `${url}/one`, `${url}/two`);
    expect(got.output.toString()).toBe("GET /one GET /two ");
    const response = await fetch(`${url}/large`, { method: "POST", body: large });
    expect(await response.text()).toBe(`POST /large ${large}`);
    expect(await bench.say("beside it")).toBe("beside it");
    await pages.stop(true);
  });

  test("curl is told by HTTP/2 where nobody speaks HTTP/1.1", async () => {
    await using bench = await Bench.open(serve);
    const { exitCode } = await run("curl", "--silent", `http://127.0.0.1:${bench.server.port}/`);
    expect(exitCode).not.toBe(0);
    expect(await bench.say("others")).toBe("others");
  });
});
