/**
 * Where a database's objects are, as people write it, and the store that it leads to:
 *
 *   s3://bucket          s3://bucket/prefix         S3, or what speaks its language
 *   file:///directory                               a directory of this machine, or a shared one
 *
 * The store is built from the inside out: the bucket, counted, retried, below the prefix.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { S3Settings } from "./client.ts";
import { DirectoryStore } from "./directory.ts";
import { MeteredStore, type StoreMeters } from "./metered.ts";
import { normalPrefix, withPrefix } from "./prefixed.ts";
import { RetryingStore, type RetryLimits } from "./retrying.ts";
import { S3Store } from "./s3.ts";
import type { ObjectStore } from "./store.ts";

export type Location =
  | { readonly kind: "s3"; readonly bucket: string; readonly prefix: string }
  | { readonly kind: "directory"; readonly path: string };

/** What `text` says; undefined when it is neither of the forms above. */
export function parseLocation(text: string): Location | undefined {
  const [, bucket, prefix = ""] = /^s3:\/\/([^/\s?#]+)(?:\/([^?#]*))?$/.exec(text) ?? [];
  if (bucket !== undefined) return { kind: "s3", bucket, prefix: normalPrefix(prefix) };
  const [, path] = /^file:\/\/(\/[^?#]*)$/.exec(text) ?? [];
  const parts = path === undefined ? [] : path.split("/").filter((part) => part !== "");
  try {
    const names = parts.map(decodeURIComponent);
    if (names.length === 0 || names.some((name) => /^\.{1,2}$|[/\0]/.test(name))) return undefined;
    return { kind: "directory", path: `/${names.join("/")}` };
  } catch {
    // A percent sign that escapes nothing.
    return undefined;
  }
}

export interface OpenOptions {
  readonly location: Location;
  /** Below which the keys stand, in either kind; slashes at its ends do not matter. */
  readonly prefix: string;
  /** How an S3 server is reached; for a directory unused. */
  readonly s3: S3Settings;
  readonly clock: Clock;
  readonly random: Random;
  readonly meters: StoreMeters;
  readonly limits?: RetryLimits;
}

export interface OpenStore {
  /** Without slashes at its ends. */
  readonly prefix: string;
  /** The keys below the prefix. */
  readonly store: ObjectStore;
  /** The same, one request a call: for the start-up probe, which must see each answer. */
  readonly once: ObjectStore;
  /** The keys below another prefix of the same bucket. */
  readonly storeAt: (prefix: string) => ObjectStore;
}

/** The store of a location; nothing is sent yet, so nothing fails yet. */
export function openStore(options: OpenOptions): OpenStore {
  const { clock, limits, meters, random } = options;
  const metered = new MeteredStore(bucketOf(options), { meters, clock });
  const retries = limits === undefined ? { clock, random } : { clock, random, limits };
  const bucket = new RetryingStore(metered, retries);
  const prefix = normalPrefix(options.prefix);
  return {
    prefix,
    store: withPrefix(bucket, prefix),
    once: withPrefix(metered, prefix),
    storeAt: (other) => withPrefix(bucket, other),
  };
}

function bucketOf({ clock, location, random, s3 }: OpenOptions): ObjectStore {
  if (location.kind === "directory") {
    return new DirectoryStore({ path: location.path, clock, random });
  }
  return new S3Store({ bucket: location.bucket, ...s3 });
}
