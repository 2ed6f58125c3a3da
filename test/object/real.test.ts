/** The contract over a real S3 server; it fails where none can be started and none is named. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { SystemClock } from "../../src/lib/clock.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { withPrefix } from "../../src/object/prefixed.ts";
import { probe } from "../../src/object/probe.ts";
import { S3Store } from "../../src/object/s3.ts";
import { listAll, type ObjectStore } from "../../src/object/store.ts";
import { type RealS3, startS3 } from "../setup/s3.ts";
import { inTurns, kindOf, objectContract, type Subject } from "./contract.ts";
import { say } from "./rig.ts";
import { versionsContract } from "./versions.ts";

let server: RealS3 | undefined;

beforeAll(async () => {
  server = await startS3();
}, 120_000);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
}, 30_000);

function running(): RealS3 {
  if (server === undefined) throw new Error("there is no S3 server");
  return server;
}

let count = 0;

/** A prefix of its own for each test; what is left in it is removed. */
function subject(bucket: string): Subject {
  const { endpoint, keys, region } = running();
  const store = new S3Store({ bucket, endpoint, region, keys });
  const own = withPrefix(store, `t4-test-${process.pid}/${count++}`);
  return { store: own, done: () => empty(own) };
}

async function empty(store: ObjectStore): Promise<void> {
  const left = await Array.fromAsync(listAll(store, ""));
  await inTurns(left, 16, ({ key }) => store.delete(key));
}

objectContract("a real S3 server", () => subject(running().bucket), {
  testMsMax: 60_000,
});
versionsContract("a real S3 server", () => {
  const { versionedBucket } = running();
  return subject(versionedBucket ?? running().bucket);
});

test("a real S3 server passes the start-up probe", async () => {
  const { done, store } = subject(running().bucket);
  const clock = new SystemClock();
  const start = clock.now();
  const findings = await probe(store, { clock, random: new SystemRandom() });
  say(`probe of a real S3 server: ${Math.round(clock.now() - start)} ms`);
  expect(findings.filter(({ ok }) => !ok)).toEqual([]);
  await done?.();
}, 30_000);

test("a real S3 server says what is wrong with a bucket and with keys", async () => {
  const { bucket, endpoint, keys, region } = running();
  const elsewhere = new S3Store({ bucket: "t4-no-such-bucket", endpoint, region, keys });
  const wrong = { accessKeyId: keys.accessKeyId, secretAccessKey: "wrong" };
  const stranger = new S3Store({ bucket, endpoint, region, keys: wrong });
  expect([
    await kindOf(elsewhere.get("k")),
    await kindOf(elsewhere.putIfAbsent("k", Buffer.from("x"))),
    await kindOf(elsewhere.list("")),
    await kindOf(stranger.get("k")),
    await kindOf(stranger.putIfMatch("k", Buffer.from("x"), "tag")),
  ]).toEqual(["noBucket", "noBucket", "noBucket", "denied", "denied"]);
}, 30_000);
