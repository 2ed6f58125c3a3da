import { expect, test } from "bun:test";
import fs from "node:fs";
import { doctor } from "../../src/cli/doctor.ts";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { storeOptions } from "../../src/cli/options.ts";
import { type Environment, parse } from "../../src/cli/parse.ts";
import { openBucket, proveBucket } from "../../src/cli/store.ts";
import { ConfigurationError, UsageError } from "../../src/cli/usage.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { S3Server } from "../sim/s3.ts";
import { temporaryDirectory } from "../support/t4.ts";

const clock = new SystemClock();
const random = new SystemRandom();
const secret = "wJalrXUtnFEMIbPxRfiCY";
const keys = ["--s3-access-key-id=AKIDEXAMPLE", `--s3-secret-access-key=${secret}`];

function open(argv: readonly string[], environment: Environment = {}, registry?: Registry) {
  const options = parse(storeOptions, argv, environment);
  const counted = registry === undefined ? {} : { registry };
  return openBucket(options, { clock, random, environment, ...counted });
}

function complaint(...argv: string[]): string {
  try {
    open(argv);
  } catch (error) {
    if (error instanceof UsageError || error instanceof ConfigurationError) return error.message;
    throw error;
  }
  return "understood";
}

test("without an option there is no bucket", () => {
  expect(open([])).toBeUndefined();
});

test("every way to name a place leads there, and the prefix has one slash behind it", () => {
  const addressOf = (...argv: string[]) => open(argv)?.store.address;
  expect([
    addressOf("--s3-bucket=b"),
    addressOf("--object-store=s3://b"),
    addressOf("--object-store=s3://b/"),
    addressOf("--object-store=s3://b/teams/db/"),
    addressOf("--s3-bucket=b", "--s3-prefix=/teams//db/"),
    addressOf("--s3-bucket=b", "--prefix=teams/db"),
    addressOf("--object-store=s3://b/db", "--s3-prefix=db/"),
    addressOf("--object-store=file:///srv/t4"),
    addressOf("--object-store=file:///srv/t4/", "--s3-prefix=db"),
    addressOf("--object-store=file:///srv/a%20b"),
  ]).toEqual([
    "s3://b/",
    "s3://b/",
    "s3://b/",
    "s3://b/teams/db/",
    "s3://b/teams/db/",
    "s3://b/teams/db/",
    "s3://b/db/",
    "file:///srv/t4/",
    "file:///srv/t4/db/",
    "file:///srv/a b/",
  ]);
  expect(open(["--s3-bucket=b", "--prefix=/db/"])?.prefix).toBe("db");
  expect(open(["--s3-bucket=b", "--prefix=db"])?.storeAt("/main/").address).toBe("s3://b/main/");
});

test("options that contradict each other, or say nothing, are refused in one line", () => {
  const bundle = `${process.cwd()}/package.json`;
  expect([
    complaint("--object-store=s3://b", "--s3-bucket=b"),
    complaint("--object-store=s3://b/x", "--s3-prefix=y"),
    complaint("--object-store=ftp://b"),
    complaint("--object-store=file://srv"),
    complaint("--object-store=file:///"),
    complaint("--object-store=file:///srv/../etc"),
    complaint("--object-store=file:///srv/%zz"),
    complaint("--object-store=/srv"),
    complaint("--s3-bucket=b/x"),
    complaint("--s3-prefix=x"),
    complaint("--s3-region=eu-west-1"),
    complaint("--object-store=file:///srv", "--s3-endpoint=http://x:1"),
    complaint("--object-store=file:///srv", "--s3-secret-access-key=x"),
    complaint("--s3-bucket=b", "--s3-access-key-id=x"),
    complaint("--s3-bucket=b", `--s3-secret-access-key=${secret}`),
    complaint("--s3-bucket=b", `--s3-session-token=${secret}`),
    complaint("--s3-bucket=b", "--s3-profile=p", ...keys),
    complaint("--s3-bucket=b", "--s3-endpoint=localhost:9000"),
    complaint("--s3-bucket=b", `--s3-endpoint=http://u:${secret}@x:1`),
    complaint("--s3-bucket=b", "--s3-ca-bundle=/no/such"),
    complaint("--s3-bucket=b", `--s3-ca-bundle=${bundle}`),
    complaint("--s3-bucket=b", "--s3-prefix=a", "--prefix=b"),
  ]).toEqual([
    "--object-store and --s3-bucket name the same thing: give one of them",
    "--object-store has a prefix in it already: leave out --s3-prefix",
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "ftp://b"',
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "file://srv"',
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "file:///"',
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "file:///srv/../etc"',
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "file:///srv/%zz"',
    '--object-store must be s3://bucket, s3://bucket/prefix or file:///directory, not "/srv"',
    '--s3-bucket must be a bucket\'s name, not "b/x"',
    "--s3-prefix needs a bucket: give --object-store or --s3-bucket",
    "--s3-region needs a bucket: give --object-store or --s3-bucket",
    "--s3-endpoint is for S3, and --object-store names a directory",
    "--s3-secret-access-key is for S3, and --object-store names a directory",
    "--s3-access-key-id and --s3-secret-access-key belong together: give both",
    "--s3-access-key-id and --s3-secret-access-key belong together: give both",
    "--s3-session-token needs --s3-access-key-id and --s3-secret-access-key",
    "--s3-profile and --s3-access-key-id are two credentials: give one",
    "--s3-endpoint must be http://host:port or https://host:port",
    "--s3-endpoint must be http://host:port or https://host:port",
    "--s3-ca-bundle: cannot read /no/such: ENOENT",
    `--s3-ca-bundle: ${bundle} holds no PEM certificate`,
    "--s3-prefix is given twice",
  ]);
});

test("AWS's own variables name the endpoint and the region where the options do not", async () => {
  using server = new S3Server();
  const environment = { AWS_ENDPOINT_URL: `${server.endpoint}/`, AWS_DEFAULT_REGION: "eu-north-1" };
  const bucket = open(["--s3-bucket=test", ...keys], environment);
  await bucket?.store.put("k", Buffer.from("x"));
  expect(server.objects.keys()).toEqual(["k"]);
  expect(server.requests[0]?.headers.authorization).toContain("/eu-north-1/s3/");
});

test("requests are counted by what they are and how they ended, an absent key as a success", async () => {
  let left = 2;
  using server = new S3Server({ plan: () => (left-- > 0 ? "503" : undefined) });
  const registry = new Registry();
  const endpoint = `--s3-endpoint=${server.endpoint}`;
  const bucket = open(["--s3-bucket=test", endpoint, ...keys], {}, registry);
  await bucket?.store.put("k", Buffer.from("x"));
  await bucket?.store.get("nothing");
  await bucket?.store.putIfMatch("k", Buffer.from("y"), "another");
  const lines = (await registry.text()).split("\n");
  const shown = lines.filter((line) => /^t4_object_store_ops_total.* [1-9]/.test(line));
  expect(shown.toSorted()).toEqual([
    // The refused one was read to see whether it had been refused because of itself.
    't4_object_store_ops_total{op="get",result="success"} 2',
    't4_object_store_ops_total{op="put",result="error"} 2',
    't4_object_store_ops_total{op="put",result="success"} 1',
    't4_object_store_ops_total{op="put_if_match",result="success"} 1',
  ]);
  expect(lines).toContain('t4_object_store_ops_total{op="list",result="error"} 0');
  expect(lines).toContain('t4_object_store_duration_seconds_count{op="put"} 3');
});

test("a bucket that ignores conditions is refused as a matter of configuration", async () => {
  using server = new S3Server({ ignoresConditions: true });
  const bucket = open(["--s3-bucket=test", `--s3-endpoint=${server.endpoint}`, ...keys]);
  if (bucket === undefined) throw new Error("there is a bucket");
  const refusal = proveBucket(bucket, { clock, random });
  await expect(refusal).rejects.toThrow(ConfigurationError);
  await expect(refusal).rejects.toThrow('the check "put-if-absent refuses a second writer" failed');
});

async function consult(...argv: string[]): Promise<{ code: number; printed: string }> {
  let printed = "";
  const code = await doctor(argv, {
    environment: {},
    interactive: false,
    answers: false,
    print: (text) => {
      printed += text;
    },
    warn: () => undefined,
    readLine: () => Promise.resolve(undefined),
  });
  return { code, printed };
}

test("doctor says of each promise whether it is kept, and the code says whether all are", async () => {
  using directory = temporaryDirectory();
  fs.mkdirSync(`${directory.path}/bucket`);
  const healthy = await consult(`--object-store=file://${directory.path}/bucket`);
  expect(healthy.code).toBe(0);
  const lines = healthy.printed.trimEnd().split("\n");
  expect(lines[0]).toBe(`file://${directory.path}/bucket/`);
  expect(lines.filter((line) => line.startsWith("ok  "))).toHaveLength(9);
  expect(lines.at(-1)).toStartWith("T4 can use it (");
  expect(fs.readdirSync(`${directory.path}/bucket`)).toEqual([".t4"]);
  using server = new S3Server({ ignoresConditions: true });
  const s3 = ["--s3-bucket=test", `--s3-endpoint=${server.endpoint}`, ...keys];
  const broken = await consult(...s3);
  expect(broken.code).toBe(78);
  expect(broken.printed).toContain("failed  put-if-absent refuses a second writer: it wrote over");
  const json = JSON.parse((await consult(...s3, "--output=json")).printed);
  expect(json).toMatchObject({ address: "s3://test/", ok: false, warnings: [] });
  expect(json.checks).toHaveLength(9);
  expect(`${broken.printed}${JSON.stringify(json)}`).not.toContain(secret);
});

test("doctor makes no directory that it is asked about", async () => {
  using directory = temporaryDirectory();
  const refusal = consult(`--object-store=file://${directory.path}/typo`);
  const error = await refusal.catch((thrown: unknown) => thrown);
  expect(exitCodeOf(error)).toBe(78);
  expect((error as Error).message).toContain(`${directory.path}/typo`);
  expect(fs.readdirSync(directory.path)).toEqual([]);
});

test("doctor warns of what the bucket does by itself", async () => {
  const settings = {
    lifecycle: `<LifecycleConfiguration>
      <Rule><ID>old</ID><Status>Enabled</Status><Filter><Prefix>db/wal</Prefix></Filter>
        <Expiration><Days>30</Days></Expiration></Rule>
      <Rule><ID>off</ID><Status>Disabled</Status><Filter/><Expiration><Days>1</Days></Expiration></Rule>
      <Rule><ID>else</ID><Status>Enabled</Status><Filter><Prefix>other/</Prefix></Filter>
        <Expiration><Days>1</Days></Expiration></Rule>
      <Rule><ID>cold</ID><Status>Enabled</Status><Filter/>
        <Transition><Days>9</Days><StorageClass>GLACIER</StorageClass></Transition></Rule>
      </LifecycleConfiguration>`,
    versioning: "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
  };
  using server = new S3Server({ settings });
  const endpoint = `--s3-endpoint=${server.endpoint}`;
  const { code, printed } = await consult("--s3-bucket=test", "--prefix=db", endpoint, ...keys);
  expect(code).toBe(0);
  expect(printed.split("\n").filter((line) => line.startsWith("warning"))).toEqual([
    "warning the lifecycle rule old expires objects after 30 days: it would delete the log, the lock and tables in use",
    "warning the lifecycle rule cold moves objects to GLACIER, where they cannot be read at once",
    "warning versioning is on: what is deleted goes on costing, so add a rule that expires old versions",
  ]);
});

test("doctor needs a bucket to look at", async () => {
  await expect(consult()).rejects.toThrow("nothing to look at");
});
