/**
 * Every option there is, in one table: flag, help, kind of value, default. The environment variable
 * of a flag is T4_ and the flag in upper snake case. The parser, the help pages and the README's
 * table all read it, so an option that is here is complete and one that is not does not exist.
 */
import { levels } from "../lib/logger.ts";
import type { Kind } from "./value.ts";
import { address, choice, duration, integer, text, toggle, urls } from "./value.ts";

export interface Option<T> {
  /** Without the dashes. */
  readonly flag: string;
  readonly help: string;
  readonly kind: Kind<T>;
  /** As the user would type it; undefined where it stays unset or is worked out from others. */
  readonly preset: string | undefined;
  /** Shown in place of a preset that is worked out. */
  readonly presetHelp?: string | undefined;
  /** Another flag that is understood and not advertised. */
  readonly alias?: string | undefined;
  /** One letter that stands for the flag after a single dash. */
  readonly letter?: string | undefined;
  /** It has no variable: what one command line asks for is no setting. */
  readonly onlyTyped?: true | undefined;
  /** It must be given, by flag or by variable. */
  readonly required?: true | undefined;
  /** It stands on the command line without a flag, and is called this in help: "KEY". */
  readonly operand?: string | undefined;
}

/** The options of one command, each under the name the code knows it by. */
export type Table = Readonly<Record<string, Option<unknown>>>;

/** An option with a preset always has a value. */
type Preset<T> = Option<T> & { readonly preset: string };

export function option<const T>(
  flag: string,
  kind: Kind<T>,
  preset: string,
  help: string,
): Preset<T> {
  return { flag, help, kind, preset };
}

export function unset<const T>(
  flag: string,
  kind: Kind<T>,
  presetHelp: string,
  help: string,
): Option<T> {
  return { flag, help, kind, preset: undefined, presetHelp };
}

/** What stands without a flag. */
function operand<const T>(name: string, kind: Kind<T>, help: string) {
  return {
    flag: name.toLowerCase(),
    help,
    kind,
    preset: undefined,
    onlyTyped: true,
    operand: name,
  } as const;
}

/** The same, for this command line only. */
export function typed<O extends Option<unknown>>(each: O): O & { readonly onlyTyped: true } {
  return { ...each, onlyTyped: true };
}

const mib = 1024 * 1024;
const dataDirectory = option(
  "data-dir",
  text("directory"),
  "/var/lib/t4",
  "where the log (wal/) and the tables (db/) live",
);

/** Which bucket; every command that uses one has these. */
export const storeOptions = {
  objectStore: unset(
    "object-store",
    text("s3://bucket|file:///directory"),
    "no bucket",
    "where the durable copy is kept; the same as --s3-bucket, or a directory that serves as one",
  ),
  s3Bucket: unset("s3-bucket", text("name"), "no bucket", "the bucket that keeps the durable copy"),
  s3Prefix: {
    ...unset(
      "s3-prefix",
      text("prefix"),
      "the whole bucket",
      "the keys of this database begin with it and one slash",
    ),
    alias: "prefix",
  },
  s3Endpoint: unset(
    "s3-endpoint",
    text("url"),
    "AWS",
    "another S3 server, such as http://localhost:9000",
  ),
  s3Region: unset("s3-region", text("region"), "that of AWS's own settings", "the bucket's region"),
  s3Profile: unset(
    "s3-profile",
    text("profile"),
    "that of AWS's own settings",
    "credentials of this profile of the AWS configuration files",
  ),
  s3AccessKeyId: unset(
    "s3-access-key-id",
    text("id"),
    "AWS's standard chain",
    "fixed credentials; needs --s3-secret-access-key",
  ),
  s3SecretAccessKey: unset(
    "s3-secret-access-key",
    text("secret"),
    "AWS's standard chain",
    "its secret; better set by its variable, which nobody sees in a list of processes",
  ),
  s3SessionToken: unset(
    "s3-session-token",
    text("token"),
    "none",
    "of credentials that are valid for some hours",
  ),
  s3CaBundle: unset(
    "s3-ca-bundle",
    text("file"),
    "the system's",
    "certificates of authorities that the S3 server's is signed by, PEM",
  ),
} as const;

export const runOptions = {
  dataDirectory,
  listen: option(
    "listen",
    address(),
    "127.0.0.1:3379",
    "where etcd clients connect (gRPC); HTTP/1.1 gets the pages of --metrics-addr",
  ),
  metricsAddress: option(
    "metrics-addr",
    address(),
    "127.0.0.1:9090",
    "where /metrics, /healthz, /readyz, /status and /version are served (HTTP)",
  ),
  advertiseUrls: unset(
    "advertise-client-urls",
    urls(),
    "from --listen",
    "what MemberList tells clients to connect to",
  ),
  name: unset("node-id", text("name"), "the host's name", "this member's name in MemberList"),
  segmentMib: option(
    "segment-max-size-mb",
    integer("MiB", 1, 1024),
    "50",
    "a log file is closed at this size",
  ),
  segmentSeconds: option(
    "segment-max-age-sec",
    integer("seconds", 1, 86_400),
    "10",
    "a log file that is not empty is closed at this age",
  ),
  readConsistency: option(
    "read-consistency",
    choice(["linearizable", "serializable"]),
    "linearizable",
    "serializable answers every read from local state, as if each request had asked for it",
  ),
  logLevel: option(
    "log-level",
    choice(levels, { trace: "debug" }),
    "info",
    "the least important log lines to write",
  ),
  logFormat: option("log-format", choice(["text", "json"]), "text", "the form of a log line"),
  transactionOperationsMax: option(
    "max-txn-ops",
    integer("count", 1, 100_000),
    "128",
    "most operations in one branch of a transaction",
  ),
  requestBytesMax: option(
    "max-request-bytes",
    integer("bytes", 1024, 64 * mib),
    "1572864",
    "the largest request that may change something",
  ),
  progressMs: option(
    "watch-progress-notify-interval",
    duration(100),
    "10m",
    "how often a quiet watch that asked for it is told the revision",
  ),
  tlsCertificate: unset(
    "client-tls-cert",
    text("file"),
    "no TLS",
    "certificate chain for --listen, PEM; needs --client-tls-key",
  ),
  tlsKey: unset("client-tls-key", text("file"), "no TLS", "its private key, PEM"),
  tlsAuthority: unset(
    "client-tls-ca",
    text("file"),
    "any client",
    "clients must show a certificate signed by this authority, PEM",
  ),
  keepaliveLeastMs: option(
    "grpc-keepalive-min-time",
    duration(0),
    "5s",
    "a client that pings more often than this is disconnected; 0s: none is",
  ),
  keepaliveMs: option(
    "grpc-keepalive-interval",
    duration(1000),
    "2h",
    "a client that was quiet this long is pinged",
  ),
  keepaliveTimeoutMs: option(
    "grpc-keepalive-timeout",
    duration(1000),
    "20s",
    "one that does not answer the ping in this time is disconnected",
  ),
  keepaliveIdle: option(
    "grpc-keepalive-permit-without-stream",
    toggle(),
    "true",
    "clients may ping so often without a call open, too; else once in two hours",
  ),
  ...storeOptions,
  syncUpload: option(
    "wal-sync-upload",
    toggle(),
    "true",
    "with a bucket: a write is acknowledged when the bucket has it; false: when this disk has it, and the bucket within a second",
  ),
  batchDelayMs: option(
    "s3-batch-delay",
    duration(0),
    "0s",
    "with a bucket: least time from one put of the log to the next, for fewer of them",
  ),
  checkpointMinutes: option(
    "checkpoint-interval-min",
    integer("minutes", 0, 10_080),
    "15",
    "with a bucket: how often a checkpoint is made of what changed; 0 for not by time",
  ),
  checkpointEntries: option(
    "checkpoint-entries",
    integer("count", 0, 1_000_000_000),
    "0",
    "with a bucket: a checkpoint is also made after this many log entries; 0 for not",
  ),
  leaderWatchSeconds: option(
    "leader-watch-interval-sec",
    integer("seconds", 1, 86_400),
    "300",
    "with a bucket: how often a leader with watches or leases looks whether it still leads",
  ),
  strictReads: option(
    "strict-reads",
    toggle(),
    "false",
    "with a bucket: each linearizable read asks the bucket who leads; false: it may go by a lease",
  ),
  localLogMib: unset(
    "wal-local-max-mb",
    integer("MiB", 64, 1_048_576),
    "1024, or a quarter of the disk",
    "with --wal-sync-upload=false: log that may wait on this disk for the bucket; writes are refused beyond",
  ),
  branchPrefix: unset(
    "branch-prefix",
    text("prefix"),
    "no branch",
    "first start of a branch: the prefix of its source, in the same bucket",
  ),
  branchCheckpoint: unset(
    "branch-checkpoint",
    text("checkpoint"),
    "no branch",
    "first start of a branch: the checkpoint it begins with, as `t4 branch fork` printed it",
  ),
  memtableMib: option(
    "memtable-mb",
    integer("MiB", 1, 4096),
    "64",
    "the newest keys are kept in memory up to this size, then written to a table",
  ),
  cacheMib: option(
    "cache-mb",
    integer("MiB", 1, 1_048_576),
    "32",
    "memory for parts of tables that were read lately",
  ),
} as const;

export const output = {
  ...option("output", choice(["text", "json"]), "text", "the form of the answer"),
  letter: "o",
} as const;

export const doctorOptions = { ...storeOptions, output } as const;

export const versionOptions = { output } as const;

export const json = typed(option("json", toggle(), "false", "the same as --output=json"));

/** The options of commands that read a data directory or a bucket, and change nothing. */
const readingOptions = {
  dataDirectory,
  output,
  json,
  ...storeOptions,
  objectStore: typed({ ...storeOptions.objectStore, presetHelp: "the data directory" }),
  s3Bucket: typed({ ...storeOptions.s3Bucket, presetHelp: "the data directory" }),
  s3Prefix: typed({ ...storeOptions.s3Prefix, alias: undefined }),
} as const;

const key = { ...operand("KEY", text("key"), "the key"), required: true } as const;
const keyPrefix = typed(
  unset("prefix", text("prefix"), "every key", "only keys that begin with this"),
);
const limit = typed(
  option("limit", integer("count", 0, 1_000_000_000), "100", "show this many at most; 0 for all"),
);
const revision = integer("revision", 0, 999_999_999_999_999);

export const inspectMetaOptions = readingOptions;
export const inspectGetOptions = { key, ...readingOptions } as const;
export const inspectListOptions = {
  keyPrefixTyped: operand("PREFIX", text("prefix"), "the same as --prefix"),
  keyPrefix,
  limit,
  ...readingOptions,
} as const;
export const inspectCountOptions = { keyPrefix, ...readingOptions } as const;
export const inspectHistoryOptions = { key, limit, ...readingOptions } as const;
export const inspectDiffOptions = {
  from: typed(
    unset(
      "from-rev",
      revision,
      "1, or the first after the compaction",
      "the first revision whose changes count",
    ),
  ),
  to: typed(option("to-rev", revision, "0", "the last one; 0 for the current revision")),
  keyPrefix,
  ...readingOptions,
} as const;

export const verifyOptions = readingOptions;

type ValueOf<O> = O extends Option<infer T> ? T : never;

/** What the options of a table came out as. */
export type Values<T extends Table> = {
  readonly [Name in keyof T]: T[Name] extends
    | { readonly preset: string }
    | { readonly required: true }
    ? ValueOf<T[Name]>
    : ValueOf<T[Name]> | undefined;
};

export type RunOptions = Values<typeof runOptions>;
export type VersionOptions = Values<typeof versionOptions>;
export type ReadingOptions = Values<typeof readingOptions>;

/** The environment variable that sets `flag`. */
export function variableOf(flag: string): string {
  return `T4_${flag.toUpperCase().replaceAll("-", "_")}`;
}
