/** Which bucket: what the options of a bucket say, and the store they lead to. */
import fs from "node:fs";
import type { Clock } from "../lib/clock.ts";
import { noCounter, noHistogram } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import type { Registry } from "../lib/registry.ts";
import { metrics } from "../model/metrics.ts";
import type { S3Keys, S3Settings } from "../object/client.ts";
import { type Location, type OpenStore, openStore, parseLocation } from "../object/location.ts";
import { type StoreMeters, type StoreOperation, storeOperations } from "../object/metered.ts";
import { normalPrefix } from "../object/prefixed.ts";
import { NonconformingError, probe, requireConforming } from "../object/probe.ts";
import { type RetryLimits, retryLimits } from "../object/retrying.ts";
import { ObjectError, type ObjectStore } from "../object/store.ts";
import type { storeOptions, Values } from "./options.ts";
import type { Environment } from "./parse.ts";
import { ConfigurationError, UsageError } from "./usage.ts";

export type StoreOptions = Values<typeof storeOptions>;

/** A bucket, and the prefix of one database in it. */
export type OpenBucket = OpenStore;

/** Of a command that somebody waits for: a bucket that never answers is told of soon. */
export const errandLimits: RetryLimits = { ...retryLimits, firstDeadlineMs: 10_000 };

export interface OpenOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Whether a directory that is to serve as bucket is made, in a parent that is there. */
  readonly make?: boolean;
  /** Where requests are counted. */
  readonly registry?: Registry;
  /** How long requests are tried again; without it, as a member does. */
  readonly limits?: RetryLimits;
  /** What AWS's own variables say, where the options say nothing. */
  readonly environment?: Environment;
}

/** The bucket that the options name; undefined when they name none. UsageError, ConfigurationError. */
export function openBucket(options: StoreOptions, open: OpenOptions): OpenBucket | undefined {
  const { clock, environment = process.env, limits, make = false, random, registry } = open;
  // They are shown, all zero, by a process without a bucket too.
  const meters = storeMeters(registry);
  const place = placeOf(options);
  if (place === undefined) return undefined;
  const { location, prefix } = place;
  if (make && location.kind === "directory") makeDirectory(location.path);
  const s3 = location.kind === "s3" ? s3Settings(options, environment) : {};
  return openStore({ location, prefix, s3, clock, random, meters, ...(limits && { limits }) });
}

/**
 * Throws ConfigurationError, naming the check, when T4 cannot be safe on this bucket. ObjectError.
 * Resolves to what the bucket does by itself that its owner should know, one sentence each.
 */
export async function proveBucket(
  { once }: OpenBucket,
  { clock, random }: Pick<OpenOptions, "clock" | "random">,
): Promise<string[]> {
  const findings = await probe(once, { clock, random });
  try {
    requireConforming(findings, once.address);
  } catch (error) {
    if (!(error instanceof NonconformingError)) throw error;
    throw new ConfigurationError(error.message, { cause: error });
  }
  return await hazardsOf(once);
}

/** What the bucket does by itself; nothing where it does not answer: no start fails of that. */
async function hazardsOf(store: ObjectStore): Promise<string[]> {
  try {
    return (await store.hazards?.("")) ?? [];
  } catch (error) {
    if (error instanceof ObjectError) return [];
    throw error;
  }
}

/** The instruments that requests to a bucket are counted with. */
function storeMeters(registry: Registry | undefined): StoreMeters {
  const entries = storeOperations.map((op: StoreOperation) => {
    const count = (result: "success" | "error") =>
      registry?.counter(metrics.storeOperations, { op, result }) ?? noCounter;
    const seconds = registry?.histogram(metrics.storeSeconds, { op }) ?? noHistogram;
    return [op, { successes: count("success"), errors: count("error"), seconds }];
  });
  return Object.fromEntries(entries) as StoreMeters;
}

interface Place {
  readonly location: Location;
  readonly prefix: string;
}

function placeOf(options: StoreOptions): Place | undefined {
  const { objectStore, s3Bucket, s3Prefix } = options;
  if (objectStore !== undefined && s3Bucket !== undefined) {
    throw new UsageError("--object-store and --s3-bucket name the same thing: give one of them");
  }
  if (objectStore === undefined && s3Bucket === undefined) {
    const [first] = given(options);
    if (first === undefined) return undefined;
    throw new UsageError(`--${first} needs a bucket: give --object-store or --s3-bucket`);
  }
  const location = parseLocation(objectStore ?? `s3://${s3Bucket}`);
  if (location === undefined || s3Bucket?.includes("/")) {
    throw new UsageError(unreadableText(options));
  }
  const typed = normalPrefix(s3Prefix ?? "");
  if (location.kind === "s3") {
    if (location.prefix !== "" && s3Prefix !== undefined && location.prefix !== typed) {
      throw new UsageError("--object-store has a prefix in it already: leave out --s3-prefix");
    }
    return { location, prefix: location.prefix || typed };
  }
  const foreign = given(options).find((flag) => flag !== "s3-prefix");
  if (foreign === undefined) return { location, prefix: typed };
  throw new UsageError(`--${foreign} is for S3, and --object-store names a directory`);
}

function unreadableText({ objectStore, s3Bucket }: StoreOptions): string {
  if (objectStore === undefined) {
    return `--s3-bucket must be a bucket's name, not ${JSON.stringify(s3Bucket)}`;
  }
  const forms = "s3://bucket, s3://bucket/prefix or file:///directory";
  return `--object-store must be ${forms}, not ${JSON.stringify(objectStore)}`;
}

/** The flags of S3, beside those that name the bucket, that have a value. */
function given(options: StoreOptions): string[] {
  const values = {
    "s3-prefix": options.s3Prefix,
    "s3-endpoint": options.s3Endpoint,
    "s3-region": options.s3Region,
    "s3-profile": options.s3Profile,
    "s3-access-key-id": options.s3AccessKeyId,
    "s3-secret-access-key": options.s3SecretAccessKey,
    "s3-session-token": options.s3SessionToken,
    "s3-ca-bundle": options.s3CaBundle,
  };
  return Object.entries(values).flatMap(([flag, value]) => (value === undefined ? [] : [flag]));
}

/** The variables are those that AWS's own tools read; the SDK reads only some of them. */
function s3Settings(options: StoreOptions, environment: Environment): S3Settings {
  const set = (name: string) => environment[name] || undefined;
  const bundle = options.s3CaBundle ?? set("AWS_CA_BUNDLE");
  const origin = options.s3CaBundle === undefined ? "AWS_CA_BUNDLE" : "--s3-ca-bundle";
  const endpoint = options.s3Endpoint ?? set("AWS_ENDPOINT_URL_S3") ?? set("AWS_ENDPOINT_URL");
  return {
    endpoint: endpoint === undefined ? undefined : checkedEndpoint(endpoint),
    region: options.s3Region ?? set("AWS_REGION") ?? set("AWS_DEFAULT_REGION"),
    profile: options.s3Profile,
    keys: keysOf(options),
    authorities: bundle === undefined ? undefined : readAuthorities(origin, bundle),
  };
}

function checkedEndpoint(text: string): string {
  const url = URL.parse(text);
  const isServer = url !== null && /^https?:$/.test(url.protocol) && url.search + url.hash === "";
  if (isServer && url.username === "" && url.password === "") return text.replace(/\/+$/, "");
  throw new UsageError("--s3-endpoint must be http://host:port or https://host:port");
}

function keysOf(options: StoreOptions): S3Keys | undefined {
  const { s3AccessKeyId, s3Profile, s3SecretAccessKey, s3SessionToken } = options;
  if (s3AccessKeyId === undefined && s3SecretAccessKey === undefined) {
    if (s3SessionToken === undefined) return undefined;
    throw new UsageError("--s3-session-token needs --s3-access-key-id and --s3-secret-access-key");
  }
  if (s3AccessKeyId === undefined || s3SecretAccessKey === undefined) {
    throw new UsageError(
      "--s3-access-key-id and --s3-secret-access-key belong together: give both",
    );
  }
  if (s3Profile !== undefined) {
    throw new UsageError("--s3-profile and --s3-access-key-id are two credentials: give one");
  }
  return {
    accessKeyId: s3AccessKeyId,
    secretAccessKey: s3SecretAccessKey,
    sessionToken: s3SessionToken,
  };
}

function readAuthorities(origin: string, path: string): string {
  let text: string;
  try {
    text = fs.readFileSync(path, "utf8");
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw new ConfigurationError(`${origin}: cannot read ${path}: ${code ?? cause}`, { cause });
  }
  if (text.includes("CERTIFICATE-----")) return text;
  throw new ConfigurationError(`${origin}: ${path} holds no PEM certificate`);
}

function makeDirectory(path: string): void {
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    const { code } = cause as { code?: string };
    if (code === "EEXIST") return;
    throw new ConfigurationError(`--object-store: cannot make ${path}: ${code ?? cause}`, {
      cause,
    });
  }
}
