import { expect, test } from "bun:test";
import { runOptions, variableOf, versionOptions } from "../../src/cli/options.ts";
import { type Environment, parse } from "../../src/cli/parse.ts";
import { UsageError } from "../../src/cli/usage.ts";

function complaint(argv: string[], environment: Environment = {}): string {
  try {
    parse(runOptions, argv, environment);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "understood";
}

test("without flags and variables every option has its preset", () => {
  expect(parse(runOptions, [], {})).toEqual({
    dataDirectory: "/var/lib/t4",
    listen: { host: "127.0.0.1", port: 3379 },
    metricsAddress: { host: "127.0.0.1", port: 9090 },
    advertiseUrls: undefined,
    name: undefined,
    segmentMib: 50,
    segmentSeconds: 10,
    readConsistency: "linearizable",
    logLevel: "info",
    logFormat: "text",
    transactionOperationsMax: 128,
    requestBytesMax: 1_572_864,
    progressMs: 600_000,
    tlsCertificate: undefined,
    tlsKey: undefined,
    tlsAuthority: undefined,
    keepaliveLeastMs: 5_000,
    keepaliveMs: 7_200_000,
    keepaliveTimeoutMs: 20_000,
    keepaliveIdle: true,
    objectStore: undefined,
    s3Bucket: undefined,
    s3Prefix: undefined,
    s3Endpoint: undefined,
    s3Region: undefined,
    s3Profile: undefined,
    s3AccessKeyId: undefined,
    s3SecretAccessKey: undefined,
    s3SessionToken: undefined,
    s3CaBundle: undefined,
    syncUpload: true,
    batchDelayMs: 0,
    checkpointMinutes: 15,
    checkpointEntries: 0,
    leaderWatchSeconds: 300,
    strictReads: false,
    localLogMib: undefined,
    branchPrefix: undefined,
    branchCheckpoint: undefined,
    memtableMib: 64,
    cacheMib: 32,
  });
});

test("a flag wins over its variable, a variable over the preset, an empty one over nothing", () => {
  const flag = ["--segment-max-size-mb", "7"];
  const set = { T4_SEGMENT_MAX_SIZE_MB: "8" };
  expect(parse(runOptions, flag, set).segmentMib).toBe(7);
  expect(parse(runOptions, [], set).segmentMib).toBe(8);
  expect(parse(runOptions, [], { T4_SEGMENT_MAX_SIZE_MB: "" }).segmentMib).toBe(50);
});

test("the value may stand behind an equals sign, or be left out for a switch", () => {
  const idle = (...argv: string[]) => parse(runOptions, argv, {}).keepaliveIdle;
  const flag = "--grpc-keepalive-permit-without-stream";
  expect([idle(`${flag}=false`), idle(flag), idle(`${flag}=true`)]).toEqual([false, true, true]);
  expect(parse(runOptions, ["--data-dir=a=b"], {}).dataDirectory).toBe("a=b");
  expect(parse(versionOptions, ["-o", "json"], {}).output).toBe("json");
  expect(parse(versionOptions, ["-o=json"], {}).output).toBe("json");
});

test("every wrong command line is answered with what is wrong and what would be right", () => {
  expect([
    complaint(["--data-dri", "x"]),
    complaint(["--zzzzzzzzz"]),
    complaint(["-d", "x"]),
    complaint(["start"]),
    complaint([""]),
    complaint(["--"]),
    complaint(["--log-level"]),
    complaint(["--data-dir", "--listen", "a:1"]),
    complaint(["--data-dir", "a", "--data-dir=b"]),
    complaint(["--data-dir="]),
    complaint(["--log-level=loud"]),
    complaint(["--read-consistency=eventual"]),
    complaint(["--listen=3379"]),
    complaint(["--advertise-client-urls=db:3379"]),
    complaint(["--max-txn-ops=many"]),
    complaint(["--watch-progress-notify-interval=10"]),
    complaint(["--grpc-keepalive-permit-without-stream=perhaps"]),
  ]).toEqual([
    "unknown flag --data-dri, did you mean --data-dir?",
    "unknown flag --zzzzzzzzz; --help lists them",
    "unknown flag -d; --help lists them",
    'unexpected argument "start": there are only flags',
    'unexpected argument "": there are only flags',
    "unknown flag --; --help lists them",
    "--log-level needs a value: --log-level=<debug|info|warn|error>",
    "--data-dir needs a value: --data-dir=<directory>",
    "--data-dir is given twice",
    '--data-dir must be a directory, not ""',
    '--log-level must be debug, info, warn or error, not "loud"',
    '--read-consistency must be linearizable or serializable, not "eventual"',
    '--listen must be host:port, such as 127.0.0.1:3379, not "3379"',
    '--advertise-client-urls must be http://host:port or https://host:port, comma-separated, not "db:3379"',
    '--max-txn-ops must be an integer from 1 to 100000, not "many"',
    '--watch-progress-notify-interval must be a duration such as 5s or 1m30s, from 100ms to 24h, not "10"',
    '--grpc-keepalive-permit-without-stream must be true or false, not "perhaps"',
  ]);
});

test("a variable that cannot be read is named", () => {
  for (const { flag, kind } of Object.values(runOptions)) {
    const variable = variableOf(flag);
    const said = complaint([], { [variable]: " " });
    expect([flag, kind.hint, said]).toEqual([flag, kind.hint, expect.stringContaining(variable)]);
  }
});

test("variables of other programs are none of ours", () => {
  expect(complaint([], { T4_PORT: "tcp://10.0.0.1:3379", T4_NONSENSE: "x" })).toBe("understood");
});

test("every complaint is one line", () => {
  expect(complaint(["--log-level=a\nb"])).not.toContain("\n");
  expect(complaint(["a\nb"])).not.toContain("\n");
  expect(complaint(["--a\nb"])).not.toContain("\n");
});
