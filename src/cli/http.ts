/**
 * The pages for machines and operators, on --metrics-addr. They are served from the first moment,
 * so that a long recovery can be watched: /healthz says that the process lives, /readyz whether
 * reads are served and, until then, which step it is at and how far.
 */
import type { Logger } from "../lib/logger.ts";
import { clusterVersion, etcdVersion } from "../model/version.ts";
import { ListenError } from "./listen.ts";
import type { Readiness } from "./readiness.ts";
import type { Address } from "./value.ts";

/** What the pages show, asked at each request. */
export interface Pages {
  readiness(): Readiness;
  /** Whether this member takes writes itself. */
  leads(): boolean;
  /** The body of /status; bigints become decimal text. */
  status(): Readonly<Record<string, unknown>>;
  metrics(): { readonly contentType: string; text(): Promise<string> };
  /** T4's own version. */
  readonly version: string;
}

export interface HttpServer {
  readonly port: number;
  /** Takes no more requests; resolves when those that run are answered. */
  stop(): Promise<void>;
  /** Ends the requests that still run. */
  kill(): Promise<void>;
}

/** Serves `pages` at `address`; ListenError when the address cannot be had. */
export function serveHttp(address: Address, pages: Pages, logger: Logger): HttpServer {
  const server = listen(address, pages, logger);
  return {
    port: server.port ?? address.port,
    stop: () => server.stop(),
    kill: () => server.stop(true),
  };
}

/** No page takes a body; more than this is refused before it is read. */
const bodyBytesMax = 1024;
const idleSecondsMax = 30;

function listen(address: Address, pages: Pages, logger: Logger) {
  try {
    return Bun.serve({
      hostname: address.host,
      port: address.port,
      maxRequestBodySize: bodyBytesMax,
      idleTimeout: idleSecondsMax,
      development: false,
      // Left out, it is true outside of development: a second process would share the port.
      reusePort: false,
      fetch: (request) => respond(request, pages),
      error: (error) => {
        logger.error("a page failed", { error });
        return plain(500, "internal error\n");
      },
    });
  } catch (error) {
    throw new ListenError("--metrics-addr", address, error);
  }
}

type Page = (pages: Pages) => Response | Promise<Response>;

const routes: Readonly<Record<string, Page>> = {
  "/healthz": () => plain(200, "ok\n"),
  "/healthz/leader": (pages) => (pages.leads() ? plain(200, "ok\n") : plain(503, "not leader\n")),
  "/readyz": (pages) => ready(pages.readiness()),
  "/metrics": async (pages) => {
    const metrics = pages.metrics();
    const text = await metrics.text();
    return new Response(text, { headers: { "content-type": metrics.contentType } });
  },
  "/status": (pages) => json(pages.status()),
  "/version": (pages) =>
    json({
      etcdserver: etcdVersion,
      etcdcluster: clusterVersion,
      storage: clusterVersion,
      t4: pages.version,
    }),
};

async function respond(request: Request, pages: Pages): Promise<Response> {
  const page = routes[new URL(request.url).pathname];
  if (page === undefined)
    return plain(404, `not found; there is ${Object.keys(routes).join(" ")}\n`);
  if (request.method !== "GET" && request.method !== "HEAD") {
    return plain(405, "use GET or HEAD\n", { allow: "GET, HEAD" });
  }
  return await page(pages);
}

function ready({ ready, step, done, total }: Readiness): Response {
  if (ready) return plain(200, "ok\n");
  const of = total === undefined ? "" : ` of ${total}`;
  return plain(503, `${step}${done === undefined ? "" : `: ${done}${of}`}\n`);
}

function plain(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}

function json(body: unknown): Response {
  const text = JSON.stringify(body, (_, value) => (typeof value === "bigint" ? `${value}` : value));
  return new Response(`${text}\n`, { headers: { "content-type": "application/json" } });
}
