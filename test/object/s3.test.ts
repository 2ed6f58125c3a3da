import { expect, test } from "bun:test";
import { withPrefix } from "../../src/object/prefixed.ts";
import { S3Store } from "../../src/object/s3.ts";
import { S3Server, type S3ServerOptions } from "../sim/s3.ts";
import { kindOf, objectContract } from "./contract.ts";
import { versionsContract } from "./versions.ts";

const keys = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };

function open(server: S3Server): S3Store {
  return new S3Store({ bucket: server.bucket, endpoint: server.endpoint, keys });
}

function subject(options: S3ServerOptions = {}) {
  const server = new S3Server(options);
  return { store: open(server), done: () => server[Symbol.dispose]() };
}

objectContract("S3", () => subject());
objectContract(
  "a prefix in S3",
  () => {
    const { done, store } = subject({ versioned: true });
    return { store: withPrefix(store, "teams/a b/db"), done };
  },
  { keysMany: 103 },
);
versionsContract("S3", () => subject({ versioned: true }));

test("an object that came back with other bytes, or not all of them, is not taken for whole", async () => {
  using server = new S3Server();
  const store = open(server);
  await store.put("k", Buffer.from("0123456789"));
  // Somebody's disk flipped a bit: the server serves what it has, under the old ETag.
  server.objects.peek("k")?.fill("x", 3, 4);
  await expect(store.get("k")).rejects.toMatchObject({
    kind: "damaged",
    message: expect.stringContaining("its CRC-32 is"),
  });
  // Put by another tool, without a checksum, and cut on the way.
  await server.objects.put("foreign", Buffer.alloc(100_000, "x"));
  server.plan = () => "truncated";
  expect(["damaged", "unknown"]).toContain(await kindOf(store.get("foreign")));
  server.plan = () => undefined;
  expect((await store.get("foreign"))?.bytes.length).toBe(100_000);
});

test("an endpoint with a certificate of an authority of one's own is reached with its bundle alone", async () => {
  const file = (name: string) => Bun.file(`test/support/tls/${name}`);
  using server = new S3Server({ tls: { cert: file("server.crt"), key: file("server.key") } });
  const settings = { bucket: "test", endpoint: server.endpoint, keys };
  const authorities = await file("authority.crt").text();
  const store = new S3Store({ ...settings, authorities });
  expect(await store.putIfAbsent("k", Buffer.from("x"))).toBeString();
  await expect(new S3Store(settings).get("k")).rejects.toMatchObject({
    kind: "invalid",
    message: expect.stringContaining("--s3-ca-bundle"),
  });
});

test("an address where no S3 server is says so", async () => {
  await using page = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response("<html>not found</html>", { status: 404 }),
  });
  const endpoint = `http://127.0.0.1:${page.port}`;
  const store = new S3Store({ bucket: "test", endpoint, keys });
  // A page that is not there is no object that is not there.
  await expect(store.get("k")).rejects.toMatchObject({
    kind: "invalid",
    message: expect.stringContaining(`is ${endpoint} an S3 endpoint?`),
  });
  await page.stop(true);
  await expect(new S3Store({ bucket: "test", endpoint, keys }).get("k")).rejects.toMatchObject({
    kind: "unknown",
    message: expect.stringContaining("ECONNREFUSED"),
  });
});

test("a call that is given up ends at once, and the connection with it", async () => {
  using server = new S3Server({ plan: () => "timeoutBefore" });
  const given = new AbortController();
  const call = kindOf(open(server).get("k", { signal: given.signal }));
  while (server.requests.length === 0) await Bun.sleep(1);
  given.abort();
  expect(await call).toBe("unknown");
});
