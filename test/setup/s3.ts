/**
 * A real S3 server for the tests of the bucket. On Debian and its kin, as root, it is Ceph's gateway
 * with a store in memory, from packages unpacked into node_modules/.cache (s3.sh starts it).
 * Elsewhere T4_TEST_S3_ENDPOINT names one:
 *
 *   T4_TEST_S3_ENDPOINT            http://host:port
 *   T4_TEST_S3_BUCKET              a bucket that may be written to; t4-test when not set
 *   T4_TEST_S3_ACCESS_KEY_ID, T4_TEST_S3_SECRET_ACCESS_KEY, T4_TEST_S3_REGION
 *
 * Buckets of a server that was named are not made, and what tests leave in them is removed by them.
 */
import fs from "node:fs";
import os from "node:os";
import { freePort } from "../support/port.ts";
import { unpack } from "./apt.ts";

export interface RealS3 extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly keys: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Another bucket, with versions; undefined where the server was named and has only one. */
  readonly versionedBucket: string | undefined;
}

const cache = "node_modules/.cache/ceph";
const packages = "radosgw ceph-mon ceph-osd base-files libc-bin bash coreutils";
const install = `install --yes --no-install-recommends --download-only ${packages}`;
const readyMsMax = 90_000;
const keys = { accessKeyId: "testaccesskey", secretAccessKey: "testsecretkey0123456789" };
const region = "us-east-1";

/** Fetches what a server needs, once; the reason when there can be none here. */
export function provideS3(say: (line: string) => void): string | undefined {
  if (process.env.T4_TEST_S3_ENDPOINT) return undefined;
  if (process.platform !== "linux") return "it runs on Linux only";
  if (process.getuid?.() !== 0) return "it needs root";
  if (Bun.which("unshare") === null) return "there is no unshare";
  if (fs.existsSync(`${cache}/usr/bin/radosgw`)) return undefined;
  say("fetching an S3 server: 160 MB");
  const failure = unpack(cache, install.split(" "), "testing", true);
  for (const spare of ["doc", "man", "locale"]) {
    fs.rmSync(`${cache}/usr/share/${spare}`, { recursive: true, force: true });
  }
  return failure;
}

/** Starts a server, empty; ends with the scope. An Error that says what can be done when it cannot. */
export async function startS3(): Promise<RealS3> {
  const named = namedServer();
  if (named !== undefined) return named;
  const obstacle = provideS3(() => undefined);
  if (obstacle !== undefined) {
    throw new Error(`no S3 server here (${obstacle}); T4_TEST_S3_ENDPOINT can name one`);
  }
  const directory = fs.mkdtempSync(`${os.tmpdir()}/t4-s3-`);
  const ports = [await freePort(), await freePort(), await freePort()];
  const namespaces = ["--mount", "--pid", "--fork", "--kill-child"];
  const script = ["sh", "test/setup/s3.sh", `${process.cwd()}/${cache}`, directory];
  const child = Bun.spawn(["unshare", ...namespaces, ...script, ...ports.map(String)], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stop = async () => {
    // With its input closed the server ends; with this process, too.
    child.stdin.end();
    await child.exited;
    fs.rmSync(directory, { recursive: true, force: true });
  };
  const late = Bun.sleep(readyMsMax).then(() => child.kill("SIGKILL"));
  const isReady = await Promise.race([firstLine(child.stdout), late.then(() => undefined)]);
  if (isReady !== "ready") {
    child.kill("SIGKILL");
    const said = await child.stderr.text();
    await stop();
    throw new Error(`the S3 server did not start: ${said.trim() || "no answer"}`);
  }
  const endpoint = `http://127.0.0.1:${ports[0]}`;
  const server = { endpoint, bucket: "test", region, keys, versionedBucket: "versioned" };
  await makeBuckets(endpoint);
  return { ...server, [Symbol.asyncDispose]: stop };
}

function namedServer(): RealS3 | undefined {
  const set = (name: string) => process.env[`T4_TEST_S3_${name}`];
  const endpoint = set("ENDPOINT");
  if (!endpoint) return undefined;
  return {
    endpoint,
    bucket: set("BUCKET") ?? "t4-test",
    region: set("REGION") ?? region,
    keys: {
      accessKeyId: set("ACCESS_KEY_ID") ?? "",
      secretAccessKey: set("SECRET_ACCESS_KEY") ?? "",
    },
    versionedBucket: undefined,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function makeBuckets(endpoint: string): Promise<void> {
  const { PutBucketVersioningCommand, CreateBucketCommand, S3Client } = await import(
    "@aws-sdk/client-s3"
  );
  const client = new S3Client({ endpoint, region, credentials: keys, forcePathStyle: true });
  await client.send(new CreateBucketCommand({ Bucket: "test" }));
  await client.send(new CreateBucketCommand({ Bucket: "versioned" }));
  await client.send(
    new PutBucketVersioningCommand({
      Bucket: "versioned",
      VersioningConfiguration: { Status: "Enabled" },
    }),
  );
  client.destroy();
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const chunk of stream) {
    text += Buffer.from(chunk).toString();
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0] ?? "";
}
