import { expect, test } from "bun:test";
import fs from "node:fs";
import { sha256 } from "../../src/lib/checksum.ts";
import type { Metric } from "../../src/lib/registry.ts";
import { metrics } from "../../src/model/metrics.ts";
import { etcdTools } from "../setup/etcd.ts";
import { runT4, startT4, temporaryDirectory } from "../support/t4.ts";

const anyPorts = ["--listen=127.0.0.1:0", "--metrics-addr=127.0.0.1:0"];

async function page(url: string): Promise<{ status: number; body: string }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.text() };
}

test("a member that serves says so on every page", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path, ["--node-id=here"]);
  for (const path of ["/healthz", "/healthz/leader", "/readyz"]) {
    expect(await page(`${t4.pages}${path}`)).toEqual({ status: 200, body: "ok\n" });
  }
  const status = JSON.parse((await page(`${t4.pages}/status`)).body);
  expect(status).toMatchObject({ ready: true, leads: true, name: "here", term: 1, revision: 1 });
  const line = t4.log.find(({ msg }) => msg === "serving");
  expect(line).toMatchObject({
    mode: "single",
    dataDir: directory.path,
    listen: t4.endpoint,
    advertise: `http://${t4.endpoint}`,
    tls: "off",
    cluster: status.clusterId,
    member: status.memberId,
  });
});

test("every metric there is is shown, and no other", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const { body } = await page(`${t4.pages}/metrics`);
  const shown = [...body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  const defined = Object.values(metrics).flatMap(({ alias, name }: Metric) =>
    alias === undefined ? [name] : [name, alias],
  );
  expect(shown.sort()).toEqual(defined.sort());
});

test("SIGTERM and SIGINT end it in order, with their codes, and it comes back as itself", async () => {
  using directory = temporaryDirectory();
  const members: unknown[] = [];
  for (const [name, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    await using t4 = await startT4(directory.path);
    members.push(t4.log.find(({ msg }) => msg === "serving")?.member);
    t4.signal(name);
    expect(await t4.exited).toBe(code);
    expect(t4.log.at(-1)).toMatchObject({ level: "info", msg: "stopped", signal: name });
  }
  expect(members[0]).toBe(members[1]);
});

test("open watches do not keep it from stopping in order", async () => {
  using directory = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const { environment, etcdctl } = etcdTools();
  const watch = Bun.spawn([etcdctl, `--endpoints=${t4.endpoint}`, "watch", "k"], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    const open = /^grpc_server_msg_sent_total\{.*Watch"\} [1-9]/m;
    while (!open.test((await page(`${t4.pages}/metrics`)).body)) await Bun.sleep(10);
    t4.signal("SIGTERM");
    expect(await t4.exited).toBe(143);
  } finally {
    watch.kill("SIGKILL");
    await watch.exited;
  }
});

test("a directory in use is refused by name, and free again after kill -9", async () => {
  using directory = temporaryDirectory();
  const flags = ["run", "--data-dir", directory.path, ...anyPorts];
  {
    await using t4 = await startT4(directory.path);
    const { code, stderr } = await runT4(flags);
    expect([code, stderr]).toEqual([75, expect.stringContaining(`${directory.path} is in use`)]);
    t4.signal("SIGKILL");
    await t4.exited;
  }
  await using again = await startT4(directory.path);
  expect((await page(`${again.pages}/readyz`)).status).toBe(200);
});

test("ports in use are refused with the flag that names them", async () => {
  using directory = temporaryDirectory();
  using other = temporaryDirectory();
  await using t4 = await startT4(directory.path);
  const pages = new URL(t4.pages).host;
  const attempts = [
    ["--listen", t4.endpoint, "--metrics-addr=127.0.0.1:0"],
    ["--metrics-addr", pages, "--listen=127.0.0.1:0"],
  ];
  for (const attempt of attempts) {
    const { code, stderr } = await runT4(["run", "--data-dir", other.path, ...attempt]);
    const told = `cannot listen on ${attempt[1]} (${attempt[0]}): another process listens there`;
    expect([code, stderr]).toEqual([75, expect.stringContaining(told)]);
  }
  expect((await page(`${t4.pages}/healthz`)).status).toBe(200);
});

test("certificate files that are not fit are refused in one line, before anything is made", async () => {
  using directory = temporaryDirectory();
  const file = (name: string) => `${import.meta.dir}/../support/tls/${name}`;
  const garbage = `${directory.path}/garbage.crt`;
  fs.writeFileSync(garbage, "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
  const cases: [string, string, string][] = [
    [garbage, file("server.key"), garbage],
    [file("server.crt"), file("client.key"), file("client.key")],
  ];
  for (const [certificate, key, named] of cases) {
    const tls = ["--client-tls-cert", certificate, "--client-tls-key", key];
    const { code, stderr } = await runT4(["run", "--data-dir", `${directory.path}/x`, ...tls]);
    expect([code, stderr]).toEqual([78, expect.stringContaining(named)]);
    expect(stderr.trimEnd()).not.toContain("\n");
  }
  expect(fs.readdirSync(directory.path)).toEqual(["garbage.crt"]);
});

test("a directory that is not fit says why, each with its code, in one line", async () => {
  using directory = temporaryDirectory();
  const at = (name: string) => `${directory.path}/${name}`;
  fs.writeFileSync(at("file"), "");
  fs.mkdirSync(at("foreign"));
  fs.writeFileSync(at("foreign/photo.jpg"), "");
  fs.mkdirSync(at("damaged"));
  fs.writeFileSync(at("damaged/MEMBER"), "{}");
  fs.mkdirSync(at("newer"));
  const newer = '{"format_version":99}';
  fs.writeFileSync(at("newer/MEMBER"), `${newer}\n${sha256(newer)}\n`);
  const cases: [string, number, string][] = [
    ["file/x", 73, "a part of the path is a file"],
    ["foreign", 78, "is not a T4 data directory"],
    ["damaged", 7, "MEMBER is damaged at offset 0"],
    ["newer", 78, "was written by a newer T4"],
  ];
  for (const [name, code, told] of cases) {
    const finished = await runT4(["run", "--data-dir", at(name), ...anyPorts]);
    expect([name, finished.code]).toEqual([name, code]);
    expect(finished.stderr).toContain(told);
    expect(finished.stderr.trimEnd()).not.toContain("\n");
  }
});
