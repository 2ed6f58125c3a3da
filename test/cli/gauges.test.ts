import { expect, test } from "bun:test";
import { build } from "../../src/cli/build.ts";
import { type CertificateVitals, showGauges } from "../../src/cli/gauges.ts";
import { callMeters, watchLoop } from "../../src/cli/instruments.ts";
import { silent } from "../../src/lib/logger.ts";
import { Registry } from "../../src/lib/registry.ts";
import type { Vitals } from "../../src/member/vitals.ts";
import { codes } from "../../src/rpc/status.ts";
import { SimClock } from "../sim/clock.ts";

const vitals: Vitals = {
  clusterId: 1n,
  bucket: undefined,
  memberId: 0xabcn,
  name: "here",
  term: 3,
  leads: true,
  revision: 42,
  compactRevision: 7,
  committedIndex: 101,
  appliedIndex: 100,
  pendingWrites: 1,
  databaseBytes: 4096,
  databaseBytesInUse: 4000,
  freeBytes: 1_000_000,
  leases: 2,
  watchers: 3,
  watchersBehind: 1,
  watchedRanges: 2,
};

async function shown(registry: Registry): Promise<Map<string, string>> {
  const lines = (await registry.text()).split("\n").filter((line) => /^[^#]/.test(line));
  return new Map(lines.map((line) => line.split(" ") as [string, string]));
}

test("what is told of a member is what it says at that moment, under both names", async () => {
  const registry = new Registry();
  let now: Vitals | undefined;
  showGauges(registry, { vitals: () => now, ready: () => now !== undefined, wall: () => 0, build });
  const before = await shown(registry);
  expect(before.get("t4_ready")).toBe("0");
  expect(before.get("etcd_server_has_leader")).toBe("0");
  const rolesOf = (lines: Map<string, string>) =>
    ["single", "leader", "follower"].map((role) => lines.get(`t4_role{role="${role}"}`));
  expect(rolesOf(before)).toEqual(["0", "0", "0"]);
  expect(before.has("t4_current_revision")).toBe(false);
  now = vitals;
  const after = await shown(registry);
  expect(after.get("t4_ready")).toBe("1");
  expect(after.get("etcd_server_has_leader")).toBe("1");
  expect(rolesOf(after)).toEqual(["1", "0", "0"]);
  expect(after.get("t4_current_revision")).toBe("42");
  expect(after.get("etcd_debugging_mvcc_current_revision")).toBe("42");
  expect(after.get("etcd_mvcc_db_total_size_in_bytes")).toBe("4096");
  expect(after.get("etcd_server_quota_backend_bytes")).toBe("1004096");
  expect(after.get('etcd_server_id{server_id="abc"}')).toBe("1");
  expect(after.get('etcd_cluster_version{cluster_version="3.6"}')).toBe("1");
  now = { ...vitals, revision: 43 };
  expect((await shown(registry)).get("t4_current_revision")).toBe("43");
});

test("the process tells what it uses", async () => {
  const registry = new Registry();
  const wall = () => 1_800_000_000_000;
  showGauges(registry, { vitals: () => undefined, ready: () => false, wall, build });
  const now = await shown(registry);
  const number = (name: string) => Number(now.get(name) ?? Number.NaN);
  expect(number("process_resident_memory_bytes")).toBeGreaterThan(2 ** 20);
  expect(number("process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(number("process_start_time_seconds")).toBeLessThan(1_800_000_000);
  if (process.platform !== "linux") return;
  expect(number("process_virtual_memory_bytes")).toBeGreaterThan(2 ** 20);
  expect(number("process_open_fds")).toBeGreaterThan(2);
  expect(number("process_max_fds")).toBeGreaterThan(number("process_open_fds"));
});

test("certificates are told of only where there are some", async () => {
  const registry = new Registry();
  let certificates: CertificateVitals | undefined;
  showGauges(registry, {
    vitals: () => undefined,
    ready: () => false,
    wall: () => 5000,
    build,
    certificates: () => certificates,
  });
  const results = ["success", "error"].map((result) => `t4_tls_reloads_total{result="${result}"}`);
  const values = async () => {
    const now = await shown(registry);
    return ["t4_cert_expiry_seconds", ...results].map((name) => now.get(name));
  };
  expect(await values()).toEqual([undefined, undefined, undefined]);
  certificates = { expiresMs: 65_000, replaced: 2, refused: 1 };
  expect(await values()).toEqual(["60", "2", "1"]);
  certificates = { ...certificates, expiresMs: 4000 };
  expect(await values()).toEqual(["-1", "2", "1"]);
});

test("calls are counted under the labels that etcd's dashboards use", async () => {
  const registry = new Registry();
  const method = callMeters(registry).method("etcdserverpb.Watch", "Watch", "bidiStream");
  method.started.add(1);
  method.handled(codes.unavailable).add(1);
  const labels = 'grpc_type="bidi_stream",grpc_service="etcdserverpb.Watch",grpc_method="Watch"';
  const now = await shown(registry);
  expect(now.get(`grpc_server_started_total{${labels}}`)).toBe("1");
  expect(now.get(`grpc_server_handled_total{${labels},grpc_code="Unavailable"}`)).toBe("1");
  expect(now.get(`grpc_server_msg_sent_total{${labels}}`)).toBe("0");
});

test("the event loop's lag is how much later than asked for the timer fires", async () => {
  const registry = new Registry();
  const clock = new SimClock();
  const fatal = (error: unknown) => {
    throw error;
  };
  const task = watchLoop({ registry, clock, logger: silent, fatal });
  await clock.yield();
  await clock.advance(1000);
  const now = await shown(registry);
  expect(now.get("t4_event_loop_lag_seconds_count")).toBe("11");
  expect(now.get("t4_event_loop_lag_seconds_sum")).toBe("0");
  await task.stop();
});
