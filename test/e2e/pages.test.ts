/** The pages tell the truth: while a start goes on, and after known operations. */
import { expect, test } from "bun:test";
import net from "node:net";
import {
  KVDefinition,
  LeaseDefinition,
  WatchCreateRequest,
  WatchDefinition,
} from "../../src/gen/etcdserverpb/rpc.ts";
import { bytesOf } from "../../src/lib/bytes.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import { silent } from "../../src/lib/logger.ts";
import { PosixDisk } from "../../src/lib/posix.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { defaultSettings } from "../../src/member/limits.ts";
import { Member } from "../../src/member/member.ts";
import { op, txn } from "../api/requests.ts";
import { newestEtcdTools } from "../setup/etcd.ts";
import { Client } from "../support/client.ts";
import { startEtcd } from "../support/etcd.ts";
import { freePort } from "../support/port.ts";
import { launchT4, startT4, temporaryDirectory } from "../support/t4.ts";

const entries = 120_000;
const together = 4000;

/** Fills the log of a directory with many entries that no table holds. */
async function fillLog(dataDirectory: string): Promise<void> {
  const member = await Member.open({
    dataDirectory,
    name: "filler",
    clientUrls: () => [],
    settings: { ...defaultSettings, memtableBytesMax: 2 ** 30 },
    disk: new PosixDisk(),
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: silent,
    registry: new Registry(),
    onStep: () => undefined,
    fatal: (error) => {
      throw error;
    },
  });
  const value = Buffer.alloc(50, "v");
  const rest = { lease: 0n, previous: false, ignoreValue: false, ignoreLease: false };
  for (let done = 0; done < entries; done += together) {
    const puts = Array.from({ length: together }, (_, at) =>
      member.propose({ kind: "put", key: `key ${done + at}`, value, ...rest }),
    );
    await Promise.all(puts);
  }
  await member.close();
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => resolve(true));
    socket.on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}

test("a long start can be watched: alive, not ready, how far, and then ready", async () => {
  using directory = temporaryDirectory();
  await fillLog(directory.path);
  const [port, pagesPort] = [await freePort(), await freePort()];
  const addresses = [
    ["--listen", `127.0.0.1:${port}`],
    ["--metrics-addr", `127.0.0.1:${pagesPort}`],
  ];
  const pages = `http://127.0.0.1:${pagesPort}`;
  await using t4 = launchT4(directory.path, ["--memtable-mb", "1024", ...addresses.flat()]);
  const page = async (path: string) => {
    const response = await fetch(`${pages}${path}`);
    return { status: response.status, body: await response.text() };
  };
  while (!(await connects(pagesPort))) await Bun.sleep(1);
  const counts: number[] = [];
  for (;;) {
    const [alive, leads, ready] = [
      await page("/healthz"),
      await page("/healthz/leader"),
      await page("/readyz"),
    ];
    expect(alive).toEqual({ status: 200, body: "ok\n" });
    if (ready.status === 200) break;
    expect(ready.status).toBe(503);
    const [, done, total] = /^replaying the log: (\d+) of (\d+)\n$/.exec(ready.body) ?? [];
    if (done === undefined) continue;
    counts.push(Number(done));
    expect(Number(done)).toBeLessThanOrEqual(Number(total));
    // What follows may come after the start, the one before it did not.
    if (counts.length !== 2) continue;
    expect(leads).toEqual({ status: 503, body: "not leader\n" });
    expect(await connects(port)).toBe(false);
    const { body } = await page("/metrics");
    expect(body).toContain("\nt4_ready 0\n");
    expect(body).toContain("\netcd_server_has_leader 0\n");
    expect(body).not.toMatch(/^t4_current_revision \d/m);
    expect(JSON.parse((await page("/status")).body)).toMatchObject({ ready: false });
  }
  expect(counts.length).toBeGreaterThan(2);
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(counts.at(-1)).toBeGreaterThan(counts[0] ?? 0);
  expect(await page("/readyz")).toEqual({ status: 200, body: "ok\n" });
  const { body } = await page("/metrics");
  expect(body).toContain("\nt4_ready 1\n");
  expect(body).toContain(`\nt4_current_revision ${entries + 1}\n`);
  expect(await connects(port)).toBe(true);
  await t4.serving;
}, 60_000);

/** All samples of a metrics page, by name and labels. */
async function samplesOf(pages: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${pages}/metrics`)).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const blank = line.lastIndexOf(" ");
      return [line.slice(0, blank), Number(line.slice(blank + 1))];
    }),
  );
}

/** Asks for some of everything, and leaves one watch and one lease open. */
async function operate(client: Client): Promise<void> {
  const kv = client.unary(KVDefinition);
  const lease = client.unary(LeaseDefinition);
  const watch = client.stream(WatchDefinition, WatchDefinition.methods.watch);
  const everything = { key: bytesOf("\0"), rangeEnd: bytesOf("\0") };
  const createRequest = { ...WatchCreateRequest.decode(new Uint8Array(0)), ...everything };
  watch.send({ requestUnion: { $case: "createRequest", createRequest } });
  await watch.next();
  for (const key of ["a", "b", "c", "a"]) await kv.put({ key: bytesOf(key), value: bytesOf("1") });
  await kv.range({ key: bytesOf("a") });
  await kv.range({ key: bytesOf("a"), serializable: true });
  await kv.deleteRange({ key: bytesOf("b"), rangeEnd: bytesOf("d") });
  await kv.deleteRange({ key: bytesOf("b") });
  await kv.txn(txn({ success: [op.put("x"), op.put("y"), op.range("x")] }));
  await kv.txn(txn({ success: [op.put("x")] }));
  await kv.txn(txn({ success: [op.range("x"), op.txn(txn({ success: [op.range("y")] }))] }));
  await kv.txn(txn({ success: [op.delete("none"), op.delete("y")] }));
  await kv.put({ key: bytesOf("z"), lease: 404n }).catch(() => undefined);
  for (const ID of [1n, 2n]) await lease.leaseGrant({ ID, TTL: 1000 });
  for (const key of ["l", "m"]) await kv.put({ key: bytesOf(key), lease: 1n });
  await lease.leaseRevoke({ ID: 1n });
  await lease.leaseRevoke({ ID: 404n }).catch(() => undefined);
  const alive = client.stream(LeaseDefinition, LeaseDefinition.methods.leaseKeepAlive);
  for (const ID of [2n, 404n, 2n]) {
    alive.send({ ID });
    await alive.next();
  }
  for (let seen = 0; seen < 14; ) seen += (await watch.next())?.events.length ?? 14;
}

/** Metrics that etcd has, too, and that tell the same of the same operations. */
const sharedNames = [
  "etcd_mvcc_range_total",
  "etcd_mvcc_put_total",
  "etcd_mvcc_delete_total",
  "etcd_mvcc_txn_total",
  "etcd_debugging_mvcc_current_revision",
  "etcd_debugging_mvcc_compact_revision",
  "etcd_debugging_mvcc_watcher_total",
  "etcd_debugging_mvcc_watch_stream_total",
  "etcd_debugging_mvcc_slow_watcher_total",
  "etcd_debugging_mvcc_events_total",
  "etcd_debugging_lease_granted_total",
  "etcd_debugging_lease_revoked_total",
  "etcd_debugging_lease_renewed_total",
  "etcd_debugging_server_lease_expired_total",
  "etcd_server_has_leader",
  "etcd_server_is_leader",
  "etcd_server_is_learner",
  "etcd_server_proposals_pending",
  "etcd_server_proposals_failed_total",
];

test("after the same operations, metrics tell the same as etcd's", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  await using etcd = await startEtcd(newestEtcdTools());
  const told = async (port: number, pages: string) => {
    // Reading etcd until it answers is counted, too.
    const before = await samplesOf(pages);
    const client = new Client(port);
    await operate(client);
    const after = await samplesOf(pages);
    client.close();
    const ranges = before.get("etcd_mvcc_range_total") ?? 0;
    return sharedNames.map((name) => {
      const value = after.get(name);
      return [name, name === "etcd_mvcc_range_total" ? (value ?? 0) - ranges : value];
    });
  };
  const expected = await told(etcd.port, `http://127.0.0.1:${etcd.port}`);
  expect(await told(t4.port, t4.pages)).toEqual(expected);
}, 30_000);

test("known operations are counted one by one", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const client = new Client(t4.port);
  await operate(client);
  await client.unary(KVDefinition).compact({ revision: 5 });
  const samples = await samplesOf(t4.pages);
  const labelled = (name: string, label: string) =>
    Object.fromEntries(
      [...samples].flatMap(([key, value]) => {
        const match = new RegExp(`^${name}\\{.*${label}="(\\w+)"`).exec(key);
        return match === null || value === 0 ? [] : [[match[1], value]];
      }),
    );
  const writes = { create: 5, update: 2, delete: 1, txn: 2, grant: 2, revoke: 1, compact: 1 };
  expect(labelled("t4_writes_total", "op")).toEqual(writes);
  expect(labelled("t4_write_duration_seconds_count", "op")).toEqual(writes);
  expect(labelled("t4_write_errors_total", "op")).toEqual({});
  const calls = { Put: 7, Range: 2, DeleteRange: 2, Txn: 4, Compact: 1, Watch: 1 };
  const leaseCalls = { LeaseGrant: 2, LeaseRevoke: 2, LeaseKeepAlive: 1 };
  const started = { ...calls, ...leaseCalls };
  expect(labelled("grpc_server_started_total", "grpc_method")).toEqual(started);
  const code = (method: string, name: string, status: string) =>
    samples.get(
      `grpc_server_handled_total{grpc_type="unary",grpc_service="etcdserverpb.${name}",` +
        `grpc_method="${method}",grpc_code="${status}"}`,
    );
  expect([code("Put", "KV", "OK"), code("Put", "KV", "NotFound")]).toEqual([6, 1]);
  expect(code("LeaseRevoke", "Lease", "NotFound")).toBe(1);
  const received = labelled("grpc_server_msg_received_total", "grpc_method");
  expect(received).toEqual({ ...started, LeaseKeepAlive: 3 });
  const gauges = {
    t4_current_revision: 12,
    t4_compact_revision: 5,
    t4_leases: 1,
    t4_watch_active: 1,
    t4_watch_active_prefixes: 1,
    t4_watch_catching_up: 0,
    t4_ready: 1,
    etcd_server_proposals_committed_total: 15,
    etcd_server_proposals_applied_total: 15,
  };
  const shown = Object.keys(gauges).map((name) => [name, samples.get(name)]);
  expect(Object.fromEntries(shown)).toEqual(gauges);
  expect(samples.get("t4_wal_fsync_seconds_count")).toBe(15);
  client.close();
}, 30_000);

test("a lease that runs out is counted when it is gone", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const client = new Client(t4.port);
  await client.unary(LeaseDefinition).leaseGrant({ ID: 7n, TTL: 1 });
  await client.unary(KVDefinition).put({ key: bytesOf("k"), lease: 7n });
  const expired = "etcd_debugging_server_lease_expired_total";
  while ((await samplesOf(t4.pages)).get(expired) !== 1) await Bun.sleep(10);
  const samples = await samplesOf(t4.pages);
  expect(samples.get("t4_leases")).toBe(0);
  expect(samples.get("etcd_mvcc_delete_total")).toBe(1);
  const { count, header } = await client.unary(KVDefinition).range({ key: bytesOf("k") });
  expect([count, header?.revision]).toEqual([0, 3]);
  client.close();
}, 30_000);

test("every metric that docs/metrics.md names is shown, as it says", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const text = await (await fetch(`${t4.pages}/metrics`)).text();
  const documented = await Bun.file("docs/metrics.md").text();
  const rows = [...documented.matchAll(/^\| `(\w+)` \| (\w+) \|(?:.*Also `(\w+)`)?/gm)];
  const promised = rows.flatMap(([, name, kind, also]) =>
    [name, also].flatMap((each) => (each === undefined ? [] : [`${each} ${kind}`])),
  );
  const shown = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(
    ([, name, kind]) => `${name} ${kind}`,
  );
  expect(shown.sort()).toEqual(promised.sort());
  expect(shown.length).toBeGreaterThan(60);
});
