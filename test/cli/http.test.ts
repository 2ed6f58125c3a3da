import { afterEach, beforeEach, expect, test } from "bun:test";
import { type HttpServer, type Pages, serveHttp } from "../../src/cli/http.ts";
import { ListenError } from "../../src/cli/listen.ts";
import { Start } from "../../src/cli/readiness.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { Registry } from "../../src/lib/registry.ts";
import { metrics } from "../../src/model/metrics.ts";
import { SimClock } from "../sim/clock.ts";

// What the pages show are values that whoever serves them hands over; how the start has come and
// the metrics are kept by the same two as in `t4 run`.
const here = { host: "127.0.0.1", port: 0 };
let start: Start;
let registry: Registry;
let leads = true;
/** The text of the metrics waits for it. */
let metricsComeAfter: Promise<unknown> = Promise.resolve();
const pages: Pages = {
  readiness: () => start.readiness,
  leads: () => leads,
  status: () => ({ cluster_id: 2n ** 64n - 1n, revision: 5, absent: undefined }),
  metrics: () => ({
    contentType: registry.contentType,
    text: () => metricsComeAfter.then(() => registry.text()),
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
  start = new Start(new SimClock(), logger);
  start.ready();
  registry = new Registry();
  registry.read(metrics.ready, () => 1);
  leads = true;
  metricsComeAfter = Promise.resolve();
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
  start.over("stopping");
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
  start.at("replaying the log", { done: 12, total: 100 });
  expect(await get("/readyz")).toEqual({ status: 503, body: "replaying the log: 12 of 100\n" });
  start.at("opening tables");
  expect(await get("/readyz")).toEqual({ status: 503, body: "opening tables\n" });
});

test("metrics are served with the content type of their format", async () => {
  const response = await fetch(`http://127.0.0.1:${server.port}/metrics`);
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await response.text()).toContain("\nt4_ready 1\n");
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
  registry.read(metrics.revision, () => {
    throw new Error("secret");
  });
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
  const late = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const told = () => {
    asked.resolve();
    return pages.metrics();
  };
  const slow = serveHttp(here, { ...pages, metrics: told }, logger);
  metricsComeAfter = late.promise;
  const address = `http://127.0.0.1:${slow.port}`;
  const answer = fetch(`${address}/metrics`).then((response) => response.text());
  await asked.promise;
  const stopped = slow.stop();
  late.resolve();
  expect(await answer).toContain("\nt4_ready 1\n");
  await stopped;
  expect(fetch(`${address}/healthz`)).rejects.toThrow();
});
