import { afterEach, beforeEach, expect, test } from "bun:test";
import { type HttpServer, type Pages, serveHttp } from "../../src/cli/http.ts";
import { ListenError } from "../../src/cli/listen.ts";
import type { Readiness } from "../../src/cli/readiness.ts";
import { createLogger } from "../../src/lib/logger.ts";

const here = { host: "127.0.0.1", port: 0 };
let readiness: Readiness = { ready: true, step: "serving" };
let leads = true;
let metricsText = Promise.resolve("t4_ready 1\n");
const pages: Pages = {
  readiness: () => readiness,
  leads: () => leads,
  status: () => ({ cluster_id: 2n ** 64n - 1n, revision: 5, absent: undefined }),
  metrics: () => ({
    contentType: "text/plain; version=0.0.4; charset=utf-8",
    text: () => metricsText,
  }),
  version: "0.1.0",
};
let server: HttpServer;
let logged = "";
const logger = createLogger({
  level: "info",
  format: "text",
  wall: () => 0,
  write: (line) => {
    logged += line;
  },
});

beforeEach(() => {
  readiness = { ready: true, step: "serving" };
  leads = true;
  metricsText = Promise.resolve("t4_ready 1\n");
  server = serveHttp(here, pages, logger);
});

afterEach(async () => {
  await server.kill();
});

async function get(path: string, init?: RequestInit): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, init);
  return { status: response.status, body: await response.text() };
}

test("healthz lives, whatever the member does", async () => {
  readiness = { ready: false, step: "log" };
  leads = false;
  expect(await get("/healthz")).toEqual({ status: 200, body: "ok\n" });
});

test("healthz/leader follows whether this member leads", async () => {
  expect(await get("/healthz/leader")).toEqual({ status: 200, body: "ok\n" });
  leads = false;
  expect(await get("/healthz/leader")).toEqual({ status: 503, body: "not leader\n" });
});

test("readyz tells the step and its counts until reads are served", async () => {
  expect(await get("/readyz")).toEqual({ status: 200, body: "ok\n" });
  readiness = { ready: false, step: "replaying the log", done: 12, total: 100 };
  expect(await get("/readyz")).toEqual({ status: 503, body: "replaying the log: 12 of 100\n" });
  readiness = { ready: false, step: "opening tables" };
  expect(await get("/readyz")).toEqual({ status: 503, body: "opening tables\n" });
});

test("metrics are served with the content type of their format", async () => {
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await response.text()).toBe("t4_ready 1\n");
});

test("status is JSON, with big integers as decimal text", async () => {
  const { body } = await get("/status");
  expect(JSON.parse(body)).toEqual({ cluster_id: "18446744073709551615", revision: 5 });
});

test("version splits into integers at the dots", async () => {
  const { body } = await get("/version");
  const json: Record<string, string> = JSON.parse(body);
  expect(json).toEqual({
    etcdserver: "3.6.14",
    etcdcluster: "3.6.0",
    storage: "3.6.0",
    t4: "0.1.0",
  });
  expect(json.etcdserver?.split(".").map(Number)).toEqual([3, 6, 14]);
});

test("HEAD is answered as GET, without the body", async () => {
  expect(await get("/healthz", { method: "HEAD" })).toEqual({ status: 200, body: "" });
});

test("other methods are refused with those that work, other paths with those that exist", async () => {
  const response = await fetch(`http://127.0.0.1:${server.port}/readyz`, { method: "POST" });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  expect(await get("/nothing")).toEqual({
    status: 404,
    body: "not found; there is /healthz /healthz/leader /readyz /metrics /status /version\n",
  });
  expect((await get("/healthz/")).status).toBe(404);
  expect((await get("/toString")).status).toBe(404);
});

test("a body beyond the bound is refused", async () => {
  const { status } = await get("/healthz", { method: "POST", body: "x".repeat(100_000) });
  expect(status).toBe(413);
});

test("a page that fails is a 500 that keeps its cause to itself, and the next one works", async () => {
  const broken = Promise.reject(new Error("secret"));
  broken.catch(() => undefined);
  metricsText = broken;
  const { status, body } = await get("/metrics");
  expect([status, body]).toEqual([500, "internal error\n"]);
  expect(logged).toContain("a page failed error=secret");
  expect((await get("/healthz")).status).toBe(200);
});

test("a port that is taken is named with its flag", () => {
  const taken = { host: "127.0.0.1", port: server.port };
  expect(() => serveHttp(taken, pages, logger)).toThrow(ListenError);
  expect(() => serveHttp(taken, pages, logger)).toThrow(
    "(--metrics-addr): another process listens there",
  );
});

test("stop answers what it has taken and takes no more", async () => {
  const late = Promise.withResolvers<string>();
  const asked = Promise.withResolvers<void>();
  const slow = serveHttp(
    here,
    {
      ...pages,
      metrics: () => {
        asked.resolve();
        return { ...pages.metrics(), text: () => late.promise };
      },
    },
    logger,
  );
  const address = `http://127.0.0.1:${slow.port}`;
  const answer = fetch(`${address}/metrics`).then((response) => response.text());
  await asked.promise;
  const stopped = slow.stop();
  late.resolve("late\n");
  expect(await answer).toBe("late\n");
  await stopped;
  expect(fetch(`${address}/healthz`)).rejects.toThrow();
});
