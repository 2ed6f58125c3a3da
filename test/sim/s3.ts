/**
 * An S3 server in this process: objects, conditional writes, versions, lists, over HTTP, with the
 * path naming the bucket. Things go wrong by plan: before each request the plan says what happens to
 * it. Faults that need time (an answer that never comes) need nothing but the client's patience.
 */
import type { TLSOptions } from "bun";
import { MemoryStore } from "../../src/object/memory.ts";
import type { ObjectVersion } from "../../src/object/store.ts";
import { type Exchange, type HttpAnswer, type HttpRequest, serveHttp } from "./http.ts";
import { failure, listXml, versionsXml } from "./xml.ts";

/** What can happen to a request. */
export const s3Faults = [
  /** 500: nothing was done. */
  "500",
  /** 503 SlowDown: nothing was done. */
  "503",
  /** Never answered, never carried out. */
  "timeoutBefore",
  /** Carried out, never answered. */
  "timeoutAfter",
  /** The connection is reset: in the middle of what is sent back, or of what comes. */
  "reset",
  /** Carried out; the answer ends in its middle. */
  "truncated",
  /** Carried out, and answered as if it had not been the first time. */
  "412",
  /** 409: nothing was done, try again. */
  "409",
  /** Carried out; the answer comes after `slowMs`. */
  "slow",
  /** Carried out, and lists go on showing what was there before the last write. */
  "staleList",
  /** 403 ExpiredToken. */
  "expired",
  /** 404 NoSuchBucket. */
  "noBucket",
  /** Not answered, and carried out when `settle` is called. */
  "delayed",
  /** Carried out twice; the answer is that of the second time. */
  "duplicate",
] as const;

export type S3Fault = (typeof s3Faults)[number];

/** What a request asks for, in the words of the store. */
export type S3Operation =
  | "put"
  | "putIfAbsent"
  | "putIfMatch"
  | "get"
  | "getIfChanged"
  | "list"
  | "delete"
  | "versions"
  | "settings";

export interface S3Request extends HttpRequest {
  readonly operation: S3Operation;
  /** Key, or prefix of a list. */
  readonly key: string;
  readonly query: URLSearchParams;
}

export interface S3ServerOptions {
  readonly bucket?: string;
  readonly versioned?: boolean;
  readonly tls?: TLSOptions;
  /** What happens to a request; undefined for what should. */
  readonly plan?: (request: S3Request) => S3Fault | undefined;
  /** How long every answer takes, and a slow one, in milliseconds. */
  readonly latencyMs?: number;
  readonly slowMs?: number;
  /** A server that does not know conditions. */
  readonly ignoresConditions?: boolean;
  /** A server that compares If-Match with the ETag without quotes, as Ceph 16 does. */
  readonly wantsBareTags?: boolean;
  /** Answers to questions about the bucket, by query: `lifecycle`, `versioning`, … */
  readonly settings?: Readonly<Record<string, string>>;
  /** A server to measure with: it keeps no requests, and nothing that a stale list would show. */
  readonly forgets?: true;
}

export class S3Server implements Disposable {
  readonly bucket: string;
  readonly endpoint: string;
  /** What the bucket holds, to look at and to change. */
  readonly objects: MemoryStore;
  /** Every request that came, in order. */
  readonly requests: S3Request[] = [];
  /** How often each fault happened, by "operation fault". */
  readonly happened = new Map<string, number>();
  plan: (request: S3Request) => S3Fault | undefined;
  latencyMs: number;
  readonly #options: S3ServerOptions;
  readonly #server: Disposable;
  /** Of each content, by ETag. */
  readonly #metadata = new Map<string, Record<string, string>>();
  readonly #delayed: (() => Promise<unknown>)[] = [];
  #keysBefore: readonly string[] = [];
  #staleKeys: readonly string[] | undefined;

  constructor(options: S3ServerOptions = {}) {
    this.bucket = options.bucket ?? "test";
    this.objects = new MemoryStore({ versioned: options.versioned ?? false });
    this.plan = options.plan ?? (() => undefined);
    this.latencyMs = options.latencyMs ?? 0;
    this.#options = options;
    const server = serveHttp((request, exchange) => this.#serve(request, exchange), options.tls);
    this.#server = server;
    this.endpoint = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${server.port}`;
  }

  /** Carries out what was delayed, and lets lists show what is there. */
  async settle(): Promise<void> {
    this.#staleKeys = undefined;
    for (const carryOut of this.#delayed.splice(0)) await carryOut();
  }

  [Symbol.dispose](): void {
    this.#server[Symbol.dispose]();
  }

  async #serve(http: HttpRequest, exchange: Exchange): Promise<void> {
    const request = parsed(http, this.bucket);
    if (request === undefined) return exchange.answer(failure(404, "NoSuchBucket"));
    if (!this.#options.forgets) this.requests.push(request);
    if (this.latencyMs > 0) await Bun.sleep(this.latencyMs);
    const fault = this.plan(request);
    if (fault === undefined) return exchange.answer(await this.#carryOut(request));
    const name = `${request.operation} ${fault}`;
    this.happened.set(name, (this.happened.get(name) ?? 0) + 1);
    await this.#fail(fault, request, exchange);
  }

  async #fail(fault: S3Fault, request: S3Request, exchange: Exchange): Promise<void> {
    const carryOut = () => this.#carryOut(request);
    switch (fault) {
      case "500":
        return exchange.answer(failure(500, "InternalError"));
      case "503":
        return exchange.answer(failure(503, "SlowDown"));
      case "409":
        return exchange.answer(failure(409, "ConditionalRequestConflict"));
      case "expired":
        return exchange.answer(failure(403, "ExpiredToken"));
      case "noBucket":
        return exchange.answer(failure(404, "NoSuchBucket"));
      case "timeoutBefore":
        return;
      case "timeoutAfter":
        await carryOut();
        return;
      case "reset": {
        const isReading = request.method === "GET";
        return isReading ? exchange.cut(await carryOut(), "reset") : exchange.reset();
      }
      case "truncated":
        return exchange.cut(await carryOut(), "end");
      case "412":
        await carryOut();
        return exchange.answer(failure(412, "PreconditionFailed"));
      case "slow": {
        const answer = await carryOut();
        await Bun.sleep(this.#options.slowMs ?? 30_000);
        return exchange.answer(answer);
      }
      case "staleList": {
        // The answer to a list is stale itself.
        if (request.operation === "list") this.#staleKeys = this.#keysBefore;
        const answer = await carryOut();
        this.#staleKeys = this.#keysBefore;
        return exchange.answer(answer);
      }
      case "delayed":
        this.#delayed.push(carryOut);
        return;
      case "duplicate":
        await carryOut();
        return exchange.answer(await carryOut());
    }
  }

  async #carryOut(request: S3Request): Promise<HttpAnswer> {
    const { key, method, operation, query } = request;
    const isWrite = method !== "GET";
    if (isWrite && !this.#options.forgets) this.#keysBefore = this.objects.keys();
    switch (operation) {
      case "put":
      case "putIfAbsent":
      case "putIfMatch":
        return await this.#put(request);
      case "get":
      case "getIfChanged":
        return await this.#get(request);
      case "delete":
        await this.objects.delete(key);
        return { status: 204 };
      case "list":
        return await this.#list(key, query);
      case "versions":
        return await this.#versions(key, query);
      case "settings": {
        const [name = ""] = query.keys();
        const known = this.#options.settings?.[name];
        if (known !== undefined) return { status: 200, body: known };
        return failure(404, settingCodes[name] ?? "NoSuchConfiguration");
      }
    }
  }

  async #put({ body, headers, key, operation }: S3Request): Promise<HttpAnswer> {
    const match = headers["if-match"] ?? "";
    const wanted = this.#options.wantsBareTags ? match : match.replace(/^"(.*)"$/, "$1");
    let tag: string | undefined;
    if (operation === "put" || this.#options.ignoresConditions) {
      tag = await this.objects.put(key, body);
    } else if (operation === "putIfAbsent") tag = await this.objects.putIfAbsent(key, body);
    else if (this.objects.peek(key) === undefined) return failure(404, "NoSuchKey");
    else tag = await this.objects.putIfMatch(key, body, wanted);
    if (tag === undefined) return failure(412, "PreconditionFailed");
    const metadata = Object.entries(headers).filter(([name]) => name.startsWith("x-amz-meta-"));
    this.#metadata.set(tag, Object.fromEntries(metadata));
    return { status: 200, headers: { etag: `"${tag}"` } };
  }

  async #get({ headers, key, query }: S3Request): Promise<HttpAnswer> {
    const version = query.get("versionId");
    const object =
      version === null
        ? await this.objects.get(key)
        : await this.objects.versions?.get(key, version);
    if (object === undefined) {
      return failure(404, version === null ? "NoSuchKey" : "NoSuchVersion");
    }
    const etag = `"${object.tag}"`;
    if (headers["if-none-match"] === etag) return { status: 304, headers: { etag } };
    const metadata = this.#metadata.get(object.tag);
    return { status: 200, headers: { etag, ...metadata }, body: object.bytes };
  }

  async #list(prefix: string, query: URLSearchParams): Promise<HttpAnswer> {
    const after = query.get("continuation-token") ?? query.get("start-after") ?? undefined;
    const limit = Number(query.get("max-keys") ?? 1000);
    const { hasMore, objects } = await this.objects.list(prefix, after);
    const stale = this.#staleKeys;
    const seen = objects.filter(({ key }) => stale === undefined || stale.includes(key));
    return listXml(this.bucket, seen.slice(0, limit), hasMore || seen.length > limit);
  }

  async #versions(prefix: string, query: URLSearchParams): Promise<HttpAnswer> {
    const page = await this.objects.versions?.list(prefix);
    const all: readonly ObjectVersion[] = page?.versions ?? [];
    const [key, version] = [query.get("key-marker"), query.get("version-id-marker")];
    const from = 1 + all.findIndex((each) => each.key === key && each.version === version);
    const limit = Math.min(Number(query.get("max-keys") ?? 1000), versionsPageMax);
    return versionsXml(all.slice(from, from + limit), from + limit < all.length);
  }
}

/** So small that two pages are needed soon. */
const versionsPageMax = 3;

const settingCodes: Readonly<Record<string, string>> = {
  lifecycle: "NoSuchLifecycleConfiguration",
  "object-lock": "ObjectLockConfigurationNotFoundError",
  replication: "ReplicationConfigurationNotFoundError",
};

/** What a request asks for; undefined when it names another bucket. */
function parsed(http: HttpRequest, bucket: string): S3Request | undefined {
  const url = new URL(http.target, "http://localhost");
  const [, name = "", ...rest] = url.pathname.split("/");
  if (decodeURIComponent(name) !== bucket) return undefined;
  const path = rest.map(decodeURIComponent).join("/");
  const query = url.searchParams;
  query.delete("x-id");
  const operation = operationOf(http, path, query);
  const isList = operation === "list" || operation === "versions";
  return { ...http, operation, key: isList ? (query.get("prefix") ?? "") : path, query };
}

function operationOf(
  { headers, method }: HttpRequest,
  path: string,
  query: URLSearchParams,
): S3Operation {
  if (method === "DELETE") return "delete";
  if (method === "PUT") {
    if (headers["if-none-match"] !== undefined) return "putIfAbsent";
    return headers["if-match"] === undefined ? "put" : "putIfMatch";
  }
  if (path === "") {
    if (query.has("list-type")) return "list";
    return query.has("versions") ? "versions" : "settings";
  }
  return headers["if-none-match"] === undefined ? "get" : "getIfChanged";
}
