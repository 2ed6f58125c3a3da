/**
 * What the answers of an S3 server mean: errors as the SDK throws them, as what a caller may conclude
 * (store.ts). Servers differ in codes and agree, more or less, on statuses; both are looked at.
 */
import {
  compareKeys,
  type ListedObject,
  ObjectError,
  type ObjectErrorKind,
  type ObjectVersion,
} from "./store.ts";

/** What is looked at of an error. All of it may be missing: it can be anything that was thrown. */
interface Thrown {
  /** The S3 error code, or the class of the error. */
  readonly name?: unknown;
  readonly message?: unknown;
  /** Of the operating system or the TLS library. */
  readonly code?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number | undefined } | undefined;
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> } | undefined;
}

/** Something the server said that is no failure. */
export type Told = "notModified" | "absent" | "preconditionFailed";

/** What `error` tells when it is an answer and no failure. */
export function toldBy(error: unknown): Told | undefined {
  const { name } = error as Thrown;
  const status = statusOf(error);
  if (status === 304) return "notModified";
  if (status === 412) return "preconditionFailed";
  // A 404 that does not name what is missing may come from something that is no S3 server at all:
  // the SDK calls it NotFound.
  const isAbsent = name === "NoSuchKey" || name === "NoSuchVersion";
  return status === 404 && isAbsent ? "absent" : undefined;
}

/** The HTTP status that came with `error`. */
export function statusOf(error: unknown): number | undefined {
  return (error as Thrown).$metadata?.httpStatusCode;
}

/** Whether other credentials, or the right time, are all the request lacks; nothing was written. */
export function isStale(error: unknown): boolean {
  return staleCodes.has(String((error as Thrown).name));
}

const staleCodes: ReadonlySet<string> = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "RequestExpired",
  "RequestInTheFuture",
  "RequestTimeTooSkewed",
  "TokenRefreshRequired",
]);

/** One call, for the error it ends with. */
export interface Asked {
  readonly operation: string;
  readonly key: string;
  readonly bucket: string;
  readonly endpoint: string | undefined;
  /** Where the credentials came from, in words; undefined when there are none. */
  readonly credentials: () => Promise<string | undefined>;
}

/** `error` as an ObjectError with what to do about it. */
export async function failureOf(error: unknown, asked: Asked): Promise<ObjectError> {
  const kind = kindOf(error);
  const said = saidBy(error);
  const why = kind === "denied" ? await deniedText(error, asked) : `${said}${hintFor()}`;
  const address = `s3://${asked.bucket}/`;
  return new ObjectError(kind, asked.operation, asked.key, why, { cause: error, address });

  function hintFor(): string {
    const { name, code } = error as Thrown;
    const place = asked.endpoint ?? "AWS";
    if (kind === "noBucket") return `; make the bucket ${asked.bucket} at ${place} or name another`;
    const region = (error as Thrown).$response?.headers?.["x-amz-bucket-region"];
    if (regionCodes.has(String(name))) {
      return region === undefined
        ? "; --s3-region must be the bucket's region"
        : `; the bucket is in another region: --s3-region ${region}`;
    }
    if (isCertificate(String(code))) return "; --s3-ca-bundle names the authority of the endpoint";
    if (statusOf(error) === 404) return `; is ${place} an S3 endpoint?`;
    if (String(code) === "ENOTFOUND") return "; see --s3-endpoint and --s3-region";
    return "";
  }
}

async function deniedText(error: unknown, { credentials }: Asked): Promise<string> {
  const source = await credentials();
  if (source === undefined) {
    return `no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a \
profile, or run where the machine or pod has a role (${saidBy(error)})`;
  }
  return `access is denied (${saidBy(error)}); credentials came from ${source}: they may be wrong, \
lack a permission (ListBucket too: without it a missing key is denied), or their token has expired`;
}

function saidBy(error: unknown): string {
  const { code, message, name } = error as Thrown;
  const status = statusOf(error);
  const words = [
    status === undefined ? undefined : `HTTP ${status}`,
    typeof name === "string" && !silentNames.has(name) ? name : undefined,
    typeof code === "string" && code !== name ? code : undefined,
  ].filter((word) => word !== undefined);
  const text = typeof message === "string" ? message.replaceAll(/\s+/g, " ").trim() : "";
  const isNew = text !== "" && text !== "UnknownError" && !words.includes(text);
  return [words.join(" "), isNew ? text : ""].filter((part) => part !== "").join(": ") || "failed";
}

const silentNames: ReadonlySet<string> = new Set(["Error", "TypeError", "Unknown", "UnknownError"]);

const regionCodes: ReadonlySet<string> = new Set([
  "AuthorizationHeaderMalformed",
  "IllegalLocationConstraintException",
  "PermanentRedirect",
  "TemporaryRedirect",
]);

/** Codes that mean more than their status. */
const kindsByCode: Readonly<Record<string, ObjectErrorKind>> = {
  // Of S3.
  BadDigest: "damaged",
  ExpiredToken: "denied",
  ExpiredTokenException: "denied",
  IncompleteBody: "damaged",
  InvalidDigest: "damaged",
  InvalidToken: "denied",
  NoSuchBucket: "noBucket",
  RequestTimeout: "unknown",
  SlowDown: "throttled",
  Throttling: "throttled",
  ThrottlingException: "throttled",
  TokenRefreshRequired: "denied",
  XAmzContentSHA256Mismatch: "damaged",
  // Of the SDK, before anything was sent.
  CredentialsProviderError: "denied",
  TokenProviderError: "denied",
};

const kindsByStatus: Readonly<Record<number, ObjectErrorKind>> = {
  401: "denied",
  403: "denied",
  408: "unknown",
  409: "conflict",
  429: "throttled",
  501: "invalid",
  503: "throttled",
};

function kindOf(error: unknown): ObjectErrorKind {
  const { code, message, name } = error as Thrown;
  const byCode = typeof name === "string" ? kindsByCode[name] : undefined;
  if (byCode !== undefined) return byCode;
  const status = statusOf(error);
  if (status === undefined) {
    const isSetting = isCertificate(String(code)) || message === "Region is missing";
    return isSetting ? "invalid" : "unknown";
  }
  // An answer that broke off says no more than that there was one.
  if (isBroken(code, message)) return "unknown";
  // What is no answer of an S3 server, a page of a proxy say, tells nothing of what happened.
  const byStatus = kindsByStatus[status];
  if (byStatus !== undefined) return byStatus;
  return status >= 300 && status < 500 ? "invalid" : "unknown";
}

function isBroken(code: unknown, message: unknown): boolean {
  const isCut = typeof code === "string" && /^(ECONN|EPIPE|ETIMEDOUT)/.test(code);
  return isCut || (typeof message === "string" && message.includes("Deserialization error"));
}

function isCertificate(code: string): boolean {
  return /CERT|UNABLE_TO|SELF_SIGNED|ERR_TLS/.test(code);
}

/** Where the SDK says it found credentials. */
const credentialSources: Readonly<Record<string, string>> = {
  CREDENTIALS_ENV_VARS: "AWS_ACCESS_KEY_ID",
  CREDENTIALS_ENV_VARS_STS_WEB_ID_TOKEN: "AWS_WEB_IDENTITY_TOKEN_FILE",
  CREDENTIALS_HTTP: "the container's or pod's role",
  CREDENTIALS_IMDS: "the instance's role",
  CREDENTIALS_PROCESS: "credential_process",
  CREDENTIALS_PROFILE: "the AWS configuration files",
  CREDENTIALS_SSO: "single sign-on",
  CREDENTIALS_STS_ASSUME_ROLE: "an assumed role",
  CREDENTIALS_STS_ASSUME_ROLE_WEB_ID: "a web identity's role",
};

/** Where credentials came from, in words; their secret is not looked at. */
export function credentialsText(credentials: {
  readonly accessKeyId: string;
  readonly $source?: Readonly<Record<string, unknown>>;
}): string {
  const { $source = {}, accessKeyId } = credentials;
  const words = Object.keys($source).flatMap((each) => credentialSources[each] ?? []);
  return `${words.at(-1) ?? "the AWS credential chain"} (${accessKeyId})`;
}

/** An object in an answer to a list. */
interface Described {
  readonly Key?: string | undefined;
  readonly Size?: number | undefined;
  readonly LastModified?: Date | undefined;
}

export function listed({ Key, LastModified, Size }: Described): ListedObject {
  return { key: Key ?? "", bytes: Size ?? 0, modifiedMs: LastModified?.getTime() ?? 0 };
}

export function versionOf(
  each: Described & {
    readonly VersionId?: string | undefined;
    readonly IsLatest?: boolean | undefined;
  },
  isDeletion: boolean,
): ObjectVersion {
  const { IsLatest, VersionId } = each;
  return { ...listed(each), version: VersionId ?? "null", isLatest: IsLatest ?? false, isDeletion };
}

/** The order of versions: by key, newest first; the SDK tells contents and deletions apart. */
export function newestFirst(a: ObjectVersion, b: ObjectVersion): number {
  const byKey = compareKeys(a.key, b.key);
  if (byKey !== 0) return byKey;
  return Number(b.isLatest) - Number(a.isLatest) || b.modifiedMs - a.modifiedMs;
}
