/** Two real processes on one prefix: one leads, the other stops, and says so. */
import { expect, test } from "bun:test";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { CallError, Client, type Unary } from "../support/client.ts";
import { type Launched, launchT4, startT4, temporaryDirectory } from "../support/t4.ts";

type Kv = Unary<typeof KVDefinition>;

/** A directory that serves as bucket, and members on it. */
async function withBucket(
  body: (rig: {
    readonly start: (name: string, ...flags: string[]) => ReturnType<typeof startT4>;
    readonly launch: (name: string, ...flags: string[]) => Launched;
    readonly directory: (name: string) => string;
  }) => Promise<void>,
): Promise<void> {
  using place = temporaryDirectory();
  const directory = (name: string) => `${place.path}/${name}`;
  const bucket = ["--object-store", `file://${place.path}/bucket`, "--s3-prefix", "db"];
  const flags = (name: string, more: string[]) => [...bucket, "--node-id", name, ...more];
  await body({
    directory,
    start: (name, ...more) => startT4(directory(name), flags(name, more)),
    launch: (name, ...more) => launchT4(directory(name), flags(name, more)),
  });
}

function kvOf(client: Client): Kv {
  return client.unary(KVDefinition);
}

async function put(kv: Kv, key: string, value: string): Promise<void> {
  await kv.put({ key: Buffer.from(key), value: Buffer.from(value) });
}

async function get(kv: Kv, key: string): Promise<string | undefined> {
  const { kvs } = await kv.range({ key: Buffer.from(key) }, { deadlineMs: 10_000 });
  return kvs[0] && Buffer.from(kvs[0].value).toString();
}

function lastMessage({ log }: Launched): string {
  return `${log.at(-1)?.msg} ${JSON.stringify(log.at(-1))}`;
}

test("the process that was superseded refuses the next write and ends with 6, naming the leader", async () => {
  await withBucket(async ({ start }) => {
    await using first = await start("one");
    const old = new Client(first.port);
    await put(kvOf(old), "a", "1");
    await using second = await start("two");
    const now = new Client(second.port);
    expect(await get(kvOf(now), "a")).toBe("1");
    await put(kvOf(now), "a", "2");
    const late = await put(kvOf(old), "a", "3").then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(late).toBeInstanceOf(CallError);
    expect(await first.exited).toBe(6);
    expect(lastMessage(first)).toContain("by two");
    expect(await get(kvOf(now), "a")).toBe("2");
    old.close();
    now.close();
  });
}, 60_000);

test("a process that slept while another led answers no read with what was", async () => {
  for (const flags of [[], ["--strict-reads"]]) {
    await withBucket(async ({ start }) => {
      await using first = await start("one", ...flags);
      const old = new Client(first.port);
      // Reads that follow each other make it take a lease.
      for (let at = 0; at < 5; at++) {
        await put(kvOf(old), "a", `${at}`);
        expect(await get(kvOf(old), "a")).toBe(`${at}`);
      }
      first.signal("SIGSTOP");
      await using second = await start("two", ...flags);
      const now = new Client(second.port);
      await put(kvOf(now), "a", "new");
      first.signal("SIGCONT");
      const stale = await get(kvOf(old), "a").catch((error: unknown) => error);
      expect(stale === "new" || stale instanceof CallError).toBe(true);
      expect(await first.exited).toBe(6);
      old.close();
      now.close();
    });
  }
}, 120_000);

test("what only a bucket makes whole is not opened without it", async () => {
  await withBucket(async ({ directory, start }) => {
    await using first = await start("one");
    first.signal("SIGTERM");
    expect(await first.exited).toBe(143);
    await using alone = launchT4(directory("one"));
    expect(await alone.exited).toBe(78);
    expect(lastMessage(alone)).toContain("is a cache");
  });
}, 60_000);

test("an upload-behind node whose disk is gone is not started from an older bucket", async () => {
  await withBucket(async ({ launch, start }) => {
    const behind = "--wal-sync-upload=false";
    await using first = await start("one", behind);
    const client = new Client(first.port);
    await put(kvOf(client), "a", "1");
    first.signal("SIGKILL");
    await first.exited;
    client.close();
    await using second = launch("two", behind);
    expect(await second.exited).toBe(78);
    expect(lastMessage(second)).toContain("t4 recover --accept-loss");
    await using again = await start("one", behind);
    const back = new Client(again.port);
    expect(await get(kvOf(back), "a")).toBe("1");
    back.close();
  });
}, 60_000);
