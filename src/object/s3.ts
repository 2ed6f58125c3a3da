/**
 * S3, and what speaks its language, through the AWS SDK (Bun's own S3 client drops the conditions of
 * conditional writes without a word). One call of the store is one request: `retrying.ts` decides
 * about more, so the SDK's own retries are off.
 *
 * - Each put carries its CRC-32 as metadata (`x-amz-meta-crc32`); a get that comes with one is held
 *   against it. On the way to the server the signed SHA-256 of the payload guards the bytes.
 * - Tags are ETags without their quotes. Ceph 16 compares the quoted form that the standard asks
 *   for with the bare one and finds them different. So until a quoted one has been accepted, a
 *   refused If-Match is sent once more without quotes: both name the same content, so whichever is
 *   accepted, the write was right. The start-up probe settles it.
 * - A request that is refused because credentials have expired, or because of the wrong time, wrote
 *   nothing: credentials are asked for anew and it is sent once more.
 */
import type { GetObjectCommandInput, PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import { bufferOf } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import {
  credentialsText,
  failureOf,
  isStale,
  listed,
  newestFirst,
  statusOf,
  toldBy,
  versionOf,
} from "./answer.ts";
import { clientConfig, type S3Settings } from "./client.ts";
import { hazardsOf } from "./hazards.ts";
import {
  type CallOptions,
  checkKey,
  checkSignal,
  type ListPage,
  ObjectError,
  type ObjectStore,
  type ObjectVersion,
  type ObjectVersions,
  type StoredObject,
  type VersionPage,
} from "./store.ts";

export interface S3Options extends S3Settings {
  readonly bucket: string;
}

const pageKeysMax = 1000;
const checksumName = "crc32";

interface Call {
  readonly operation: string;
  readonly key: string;
  readonly options: CallOptions | undefined;
}

type Sdk = typeof import("@aws-sdk/client-s3");

interface Loaded {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

interface SendOptions {
  readonly abortSignal?: AbortSignal;
}

/** Whether tags are sent with quotes; "try" until the server has accepted either. */
type Quoting = "try" | "quoted" | "bare";

export class S3Store implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions;
  readonly #settings: S3Options;
  readonly #bucket: string;
  #quoting: Quoting = "try";
  #loaded: Promise<Loaded> | undefined;

  constructor(settings: S3Options) {
    this.#settings = settings;
    this.#bucket = settings.bucket;
    this.address = `s3://${settings.bucket}/`;
    this.versions = {
      list: (prefix, from, options) =>
        this.#ask({ operation: "list", key: prefix, options }, () =>
          this.#versionPage(prefix, from, options),
        ),
      get: (key, version, options) =>
        this.#ask({ operation: "get", key, options }, () =>
          this.#get({ Key: key, VersionId: version }, options),
        ) as Promise<StoredObject | undefined>,
    };
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    const call = { operation: "get", key, options };
    return this.#ask(call, () => this.#get({ Key: key }, options)) as Promise<
      StoredObject | undefined
    >;
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    return this.#ask({ operation: "get_etag", key, options }, async () => {
      const seen = await this.#get({ Key: key, IfNoneMatch: quoted(tag) }, options);
      // Not every server knows this condition of reading.
      return seen !== "same" && seen?.tag === tag ? "same" : seen;
    });
  }

  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    const call = { operation: "put", key, options };
    return this.#ask(call, async () => {
      const tag = await this.#put(call, bytes, {});
      if (tag !== undefined) return tag;
      throw new ObjectError("invalid", "put", key, "the store refused it as if it had a condition");
    });
  }

  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    const call = { operation: "put_if_absent", key, options };
    return this.#ask(call, () => this.#put(call, bytes, { IfNoneMatch: "*" }));
  }

  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    const call = { operation: "put_if_match", key, options };
    return this.#ask(call, async () => {
      if (this.#quoting !== "bare") {
        const next = await this.#put(call, bytes, { IfMatch: quoted(tag) });
        if (next !== undefined) this.#quoting = "quoted";
        if (this.#quoting === "quoted") return next;
      }
      const next = await this.#put(call, bytes, { IfMatch: tag });
      if (next !== undefined) this.#quoting = "bare";
      return next;
    });
  }

  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#ask({ operation: "delete", key, options }, async () => {
      const input = { Bucket: this.#bucket, Key: key };
      try {
        await this.#send(
          ({ client, sdk }, own) => client.send(new sdk.DeleteObjectCommand(input), own),
          options,
        );
      } catch (error) {
        if (toldBy(error) !== "absent") throw error;
      }
    });
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const call = { operation: "list", key: prefix, options };
    return this.#ask(call, () => this.#page(prefix, after, options));
  }

  /** What the bucket is set up to do; what may not be asked or is not known there is passed over. */
  async hazards(prefix: string, options?: CallOptions): Promise<string[]> {
    const Bucket = this.#bucket;
    const ask = async <T>(send: (loaded: Loaded, own: SendOptions) => Promise<T>) => {
      try {
        return await this.#send(send, options);
      } catch (error) {
        if (statusOf(error) === undefined) throw error;
        return undefined;
      }
    };
    const call = { operation: "settings", key: prefix, options };
    return await this.#ask(call, async () => {
      const [lifecycle, versioning, lock, replication] = await Promise.all([
        ask(({ client, sdk }, own) =>
          client.send(new sdk.GetBucketLifecycleConfigurationCommand({ Bucket }), own),
        ),
        ask(({ client, sdk }, own) =>
          client.send(new sdk.GetBucketVersioningCommand({ Bucket }), own),
        ),
        ask(({ client, sdk }, own) =>
          client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket }), own),
        ),
        ask(({ client, sdk }, own) =>
          client.send(new sdk.GetBucketReplicationCommand({ Bucket }), own),
        ),
      ]);
      return hazardsOf(prefix, {
        rules: lifecycle?.Rules ?? [],
        isVersioned: versioning?.Status === "Enabled",
        isLocked: lock?.ObjectLockConfiguration?.ObjectLockEnabled === "Enabled",
        isReplicated: (replication?.ReplicationConfiguration?.Rules ?? []).length > 0,
      });
    });
  }

  async #get(
    input: Omit<GetObjectCommandInput, "Bucket">,
    options: CallOptions | undefined,
  ): Promise<StoredObject | "same" | undefined> {
    const named = { Bucket: this.#bucket, ...input };
    try {
      const answer = await this.#send(
        ({ client, sdk }, own) => client.send(new sdk.GetObjectCommand(named), own),
        options,
      );
      const body = await answer.Body?.transformToByteArray();
      const bytes = bufferOf(body ?? new Uint8Array());
      checkBytes(input.Key ?? "", bytes, answer.ContentLength, answer.Metadata?.[checksumName]);
      return { bytes, tag: bare(answer.ETag ?? "") };
    } catch (error) {
      const told = toldBy(error);
      if (told === "notModified") return "same";
      // What a version that is a deletion is answered with.
      const isDeletion = input.VersionId !== undefined && statusOf(error) === 405;
      if (told === "absent" || isDeletion) return undefined;
      throw error;
    }
  }

  /** The new tag; undefined when the condition did not hold. */
  async #put(
    { key, operation, options }: Call,
    bytes: Uint8Array,
    condition: Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">,
  ): Promise<string | undefined> {
    const input = {
      Bucket: this.#bucket,
      Key: key,
      Body: bytes,
      ContentLength: bytes.length,
      Metadata: { [checksumName]: checksumOf(bytes) },
      ...condition,
    };
    try {
      const { ETag } = await this.#send(
        ({ client, sdk }, own) => client.send(new sdk.PutObjectCommand(input), own),
        options,
      );
      if (ETag !== undefined && ETag !== "") return bare(ETag);
      throw new ObjectError("unknown", operation, key, "the store answered without an ETag");
    } catch (error) {
      const told = toldBy(error);
      // A key that is missing does not match; some servers say 404 to that.
      const isRefused = told === "preconditionFailed" || (told === "absent" && condition.IfMatch);
      if (isRefused) return undefined;
      throw error;
    }
  }

  async #page(
    prefix: string,
    after: string | undefined,
    options: CallOptions | undefined,
  ): Promise<ListPage> {
    let token: string | undefined;
    for (;;) {
      const input = {
        Bucket: this.#bucket,
        Prefix: prefix,
        MaxKeys: pageKeysMax,
        ...(after === undefined ? {} : { StartAfter: after }),
        ...(token === undefined ? {} : { ContinuationToken: token }),
      };
      const answer = await this.#send(
        ({ client, sdk }, own) => client.send(new sdk.ListObjectsV2Command(input), own),
        options,
      );
      const objects = (answer.Contents ?? []).map(listed);
      token = answer.NextContinuationToken;
      const hasMore = answer.IsTruncated === true;
      // An empty page does not mean that none follows.
      if (objects.length > 0 || !hasMore || token === undefined) return { objects, hasMore };
    }
  }

  async #versionPage(
    prefix: string,
    from: string | undefined,
    options: CallOptions | undefined,
  ): Promise<VersionPage> {
    const [key, version]: string[] = from === undefined ? [] : JSON.parse(from);
    const input = {
      Bucket: this.#bucket,
      Prefix: prefix,
      MaxKeys: pageKeysMax,
      ...(key ? { KeyMarker: key } : {}),
      ...(version ? { VersionIdMarker: version } : {}),
    };
    const answer = await this.#send(
      ({ client, sdk }, own) => client.send(new sdk.ListObjectVersionsCommand(input), own),
      options,
    );
    const versions: ObjectVersion[] = [
      ...(answer.Versions ?? []).map((each) => versionOf(each, false)),
      ...(answer.DeleteMarkers ?? []).map((each) => versionOf(each, true)),
    ];
    const next = [answer.NextKeyMarker ?? "", answer.NextVersionIdMarker ?? ""];
    return {
      versions: versions.sort(newestFirst),
      next: answer.IsTruncated ? JSON.stringify(next) : undefined,
    };
  }

  /** The SDK takes a tenth of a second to load: only those wait for it who have a bucket. */
  #load(): Promise<Loaded> {
    this.#loaded ??= import("@aws-sdk/client-s3").then((sdk) => {
      return { sdk, client: new sdk.S3Client(clientConfig(this.#settings)) };
    });
    return this.#loaded;
  }

  /** Sends a request; once more when credentials had expired. */
  async #send<T>(
    send: (loaded: Loaded, own: SendOptions) => Promise<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    const loaded = await this.#load();
    const own = options?.signal === undefined ? {} : { abortSignal: options.signal };
    try {
      return await send(loaded, own);
    } catch (error) {
      if (!isStale(error)) throw error;
      if (this.#settings.keys === undefined) {
        await loaded.client.config.credentials({ forceRefresh: true });
      }
      return await send(loaded, own);
    }
  }

  /** Carries out a call; whatever the server has against it is thrown as an ObjectError. */
  async #ask<T>(call: Call, work: () => Promise<T>): Promise<T> {
    const { key, operation, options } = call;
    if (operation !== "list" && operation !== "settings") checkKey(operation, key);
    checkSignal(operation, key, options);
    try {
      return await work();
    } catch (error) {
      if (error instanceof ObjectError) throw error;
      checkSignal(operation, key, options);
      const { bucket, endpoint } = this.#settings;
      const credentials = () => this.#credentialsText();
      throw await failureOf(error, { operation, key, bucket, endpoint, credentials });
    }
  }

  /** Where the credentials came from, in words; undefined when there are none. */
  async #credentialsText(): Promise<string | undefined> {
    const { keys, profile } = this.#settings;
    if (keys !== undefined) return `--s3-access-key-id (${keys.accessKeyId})`;
    try {
      const { client } = await this.#load();
      const found = credentialsText(await client.config.credentials());
      return profile === undefined ? found : `${found}, profile ${profile}`;
    } catch {
      return undefined;
    }
  }
}

function quoted(tag: string): string {
  return `"${tag}"`;
}

function bare(tag: string): string {
  return tag.replace(/^"(.*)"$/, "$1");
}

function checksumOf(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, "0");
}

/** Throws unless all bytes came, and came as they were put. */
function checkBytes(
  key: string,
  bytes: Uint8Array,
  length: number | undefined,
  checksum: string | undefined,
): void {
  if (length !== undefined && bytes.length !== length) {
    const why = `${bytes.length} of ${length} bytes came`;
    throw new ObjectError("damaged", "get", key, why);
  }
  if (checksum !== undefined && checksum !== checksumOf(bytes)) {
    const why = `its CRC-32 is ${checksumOf(bytes)}, and ${checksum} was put`;
    throw new ObjectError("damaged", "get", key, why);
  }
}
