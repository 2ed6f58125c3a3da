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
import {
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
  type S3ClientConfig,
} from "@aws-sdk/client-s3";
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

export interface S3Options {
  readonly bucket: string;
  /** Another server than AWS: http://host:port. Buckets are then part of the path, not of the name. */
  readonly endpoint?: string | undefined;
  /** Without one: that of the environment or the profile; us-east-1 with an endpoint. */
  readonly region?: string | undefined;
  /** Of the AWS configuration files. */
  readonly profile?: string | undefined;
  /** Fixed credentials. Without them the standard chain of AWS decides, and refreshes before expiry. */
  readonly keys?: S3Keys | undefined;
  /** Certificates of authorities, PEM, in place of the usual ones. */
  readonly authorities?: string | undefined;
}

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

const connectMsMax = 5_000;
const socketsMax = 64;
const pageKeysMax = 1000;
const checksumName = "crc32";

interface Call {
  readonly operation: string;
  readonly key: string;
  readonly options: CallOptions | undefined;
}

/** Whether tags are sent with quotes; "try" until the server has accepted either. */
type Quoting = "try" | "quoted" | "bare";

export class S3Store implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions;
  readonly #client: S3Client;
  readonly #settings: S3Options;
  readonly #bucket: string;
  #quoting: Quoting = "try";

  constructor(settings: S3Options) {
    this.#settings = settings;
    this.#bucket = settings.bucket;
    this.address = `s3://${settings.bucket}/`;
    this.#client = new S3Client(clientConfig(settings));
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
        await this.#send((own) => this.#client.send(new DeleteObjectCommand(input), own), options);
      } catch (error) {
        if (toldBy(error) !== "absent") throw error;
      }
    });
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const call = { operation: "list", key: prefix, options };
    return this.#ask(call, () => this.#page(prefix, after, options));
  }

  async #get(
    input: Omit<GetObjectCommandInput, "Bucket">,
    options: CallOptions | undefined,
  ): Promise<StoredObject | "same" | undefined> {
    const command = () => new GetObjectCommand({ Bucket: this.#bucket, ...input });
    try {
      const answer = await this.#send((own) => this.#client.send(command(), own), options);
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
    const command = () =>
      new PutObjectCommand({
        Bucket: this.#bucket,
        Key: key,
        Body: bytes,
        ContentLength: bytes.length,
        Metadata: { [checksumName]: checksumOf(bytes) },
        ...condition,
      });
    try {
      const { ETag } = await this.#send((own) => this.#client.send(command(), own), options);
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
        (own) => this.#client.send(new ListObjectsV2Command(input), own),
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
      (own) => this.#client.send(new ListObjectVersionsCommand(input), own),
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

  /** Sends a request; once more when credentials had expired. */
  async #send<T>(
    send: (own: { abortSignal?: AbortSignal }) => Promise<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    const own = options?.signal === undefined ? {} : { abortSignal: options.signal };
    try {
      return await send(own);
    } catch (error) {
      if (!isStale(error)) throw error;
      if (this.#settings.keys === undefined) {
        await this.#client.config.credentials({ forceRefresh: true });
      }
      return await send(own);
    }
  }

  /** Carries out a call; whatever the server has against it is thrown as an ObjectError. */
  async #ask<T>(call: Call, work: () => Promise<T>): Promise<T> {
    const { key, operation, options } = call;
    if (operation !== "list") checkKey(operation, key);
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

  /** Where the credentials came from, in words. */
  async #credentialsText(): Promise<string> {
    const { keys, profile } = this.#settings;
    if (keys !== undefined) return `--s3-access-key-id (${keys.accessKeyId})`;
    const asked = profile === undefined ? "" : `, profile ${profile}`;
    try {
      return `${credentialsText(await this.#client.config.credentials())}${asked}`;
    } catch {
      return `nowhere${asked}: neither T4_S3_* nor AWS_* variables, files, web identity or instance`;
    }
  }
}

function clientConfig(settings: S3Options): S3ClientConfig {
  const { authorities, endpoint, keys, profile } = settings;
  const region = settings.region ?? (endpoint === undefined ? undefined : "us-east-1");
  const agent = { keepAlive: true, maxSockets: socketsMax };
  return {
    maxAttempts: 1,
    // Waiting for leave to send a body costs a round trip, and some servers never give it.
    expectContinueHeader: false,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    forcePathStyle: endpoint !== undefined,
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    requestHandler: {
      connectionTimeout: connectMsMax,
      httpAgent: agent,
      httpsAgent: authorities === undefined ? agent : { ...agent, ca: authorities },
    },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    ...(keys === undefined ? {} : { credentials: keysOf(keys) }),
  };
}

function keysOf({ accessKeyId, secretAccessKey, sessionToken }: S3Keys) {
  const keys = { accessKeyId, secretAccessKey };
  return sessionToken === undefined ? keys : { ...keys, sessionToken };
}

function ignore(): void {}

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
