/** Which bucket: the options that every command with a bucket has, and the store they lead to. */
import fs from "node:fs";
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { DirectoryStore } from "../object/directory.ts";
import { normalPrefix, withPrefix } from "../object/prefixed.ts";
import { RetryingStore } from "../object/retrying.ts";
import { S3Store } from "../object/s3.ts";
import type { ObjectStore } from "../object/store.ts";
import type { storeOptions, Values } from "./options.ts";
import { ConfigurationError, UsageError } from "./usage.ts";

export type StoreOptions = Values<typeof storeOptions>;

/** A bucket, and the prefix of one database in it. */
export interface OpenBucket {
  /** Below the prefix. */
  readonly store: ObjectStore;
  /** Below another prefix of the same bucket. */
  readonly storeAt: (prefix: string) => ObjectStore;
  /** Without slashes at its ends. */
  readonly prefix: string;
}

export interface OpenOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Whether a directory that is to serve as bucket is made, in a parent that is there. */
  readonly make?: boolean;
}

/** The bucket that the options name; undefined when they name none. UsageError, ConfigurationError. */
export function openBucket(
  options: StoreOptions,
  { clock, make = false, random }: OpenOptions,
): OpenBucket | undefined {
  const place = placeOf(options);
  if (place === undefined) return undefined;
  if (make && place.kind === "directory") makeDirectory(place.path);
  const raw =
    place.kind === "directory"
      ? new DirectoryStore({ path: place.path, clock, random })
      : new S3Store(s3Settings(options, place.bucket));
  const bucket = new RetryingStore(raw, { clock, random });
  const storeAt = (prefix: string) => withPrefix(bucket, prefix);
  const { prefix } = place;
  return { store: storeAt(prefix), storeAt, prefix };
}

function makeDirectory(path: string): void {
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as { code?: string }).code === "EEXIST") return;
    throw new ConfigurationError(
      `--object-store: ${path} cannot be made: ${(error as Error).message}`,
    );
  }
}

type Place =
  | { readonly kind: "directory"; readonly path: string; readonly prefix: string }
  | { readonly kind: "s3"; readonly bucket: string; readonly prefix: string };

function placeOf(options: StoreOptions): Place | undefined {
  const { objectStore, s3Bucket, s3Prefix = "" } = options;
  if (objectStore !== undefined && s3Bucket !== undefined) {
    throw new UsageError("--object-store and --s3-bucket name the same thing: give one of them");
  }
  if (s3Bucket !== undefined)
    return { kind: "s3", bucket: s3Bucket, prefix: normalPrefix(s3Prefix) };
  if (objectStore === undefined) {
    if (s3Prefix !== "") throw new UsageError("--s3-prefix needs --object-store or --s3-bucket");
    return undefined;
  }
  const [, scheme, rest = ""] = /^(s3|file):\/\/(.*)$/s.exec(objectStore) ?? [];
  if (scheme === "file" && rest.startsWith("/") && rest.length > 1) {
    const s3Only = [options.s3Endpoint, options.s3Region, options.s3Profile, options.s3AccessKeyId];
    if (s3Only.some((value) => value !== undefined)) {
      throw new UsageError("--object-store file:// takes no --s3-* option but --s3-prefix");
    }
    return { kind: "directory", path: rest.replace(/\/+$/, ""), prefix: normalPrefix(s3Prefix) };
  }
  const [, bucket, inner = ""] = /^([^/]+)\/?(.*)$/s.exec(scheme === "s3" ? rest : "") ?? [];
  if (bucket === undefined) {
    throw new UsageError(
      `--object-store must be s3://bucket or file:///directory, not ${JSON.stringify(objectStore)}`,
    );
  }
  return { kind: "s3", bucket, prefix: normalPrefix(`${inner}/${s3Prefix}`) };
}

function s3Settings(options: StoreOptions, bucket: string) {
  const { s3AccessKeyId, s3CaBundle, s3SecretAccessKey, s3SessionToken } = options;
  if ((s3AccessKeyId === undefined) !== (s3SecretAccessKey === undefined)) {
    throw new UsageError(
      "--s3-access-key-id and --s3-secret-access-key belong together: give both",
    );
  }
  const keys =
    s3AccessKeyId === undefined || s3SecretAccessKey === undefined
      ? undefined
      : {
          accessKeyId: s3AccessKeyId,
          secretAccessKey: s3SecretAccessKey,
          sessionToken: s3SessionToken,
        };
  return {
    bucket,
    endpoint: options.s3Endpoint,
    region: options.s3Region,
    profile: options.s3Profile,
    keys,
    authorities: s3CaBundle === undefined ? undefined : readAuthorities(s3CaBundle),
  };
}

function readAuthorities(path: string): string {
  try {
    return fs.readFileSync(path, "utf8");
  } catch (error) {
    throw new ConfigurationError(`--s3-ca-bundle cannot be read: ${(error as Error).message}`);
  }
}
