/** TLS as people have it: files on a disk, real etcdctl, and certificates that are renewed. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import tls from "node:tls";
import { KVDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import { etcdTools } from "../setup/etcd.ts";
import { Authority, type Issued } from "../support/authority.ts";
import { Client } from "../support/client.ts";
import { Etcdctl } from "../support/etcdctl.ts";
import { type Running, startT4, temporaryDirectory } from "../support/t4.ts";

const root = Authority.root("authority");

/** A directory with the files of a server and of a client, and the flags that name them. */
class Place implements Disposable {
  readonly #directory = temporaryDirectory();

  constructor() {
    fs.writeFileSync(this.path("ca.crt"), root.certificate);
    this.write("server", root.issue("server"));
    this.write("client", root.issue("client"));
  }

  path(name: string): string {
    return `${this.#directory.path}/${name}`;
  }

  get data(): string {
    return this.path("data");
  }

  get flags(): string[] {
    const certificate = this.path("server.crt");
    return ["--client-tls-cert", certificate, "--client-tls-key", this.path("server.key")];
  }

  get mutual(): string[] {
    return [...this.flags, "--client-tls-ca", this.path("ca.crt")];
  }

  write(name: string, { certificate, key }: Issued): void {
    fs.writeFileSync(this.path(`${name}.crt`), certificate);
    fs.writeFileSync(this.path(`${name}.key`), key);
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}

const messages = ({ log }: Running, wanted: string) => log.filter(({ msg }) => msg === wanted);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(5);
}

/** The serial of the certificate that a new connection is shown. */
function serialAt(port: number): Promise<string> {
  const { promise, reject, resolve } = Promise.withResolvers<string>();
  const socket = tls.connect({
    port,
    host: "127.0.0.1",
    servername: "localhost",
    ca: root.certificate,
    ALPNProtocols: ["h2"],
  });
  socket.on("error", reject);
  socket.on("secureConnect", () => {
    resolve(socket.getPeerCertificate().serialNumber);
    socket.destroy();
  });
  return promise;
}

test("etcdctl is served over TLS, and where both sides show certificates", async () => {
  using place = new Place();
  const known = ["--cacert", place.path("ca.crt")];
  const shown = [...known, "--cert", place.path("client.crt"), "--key", place.path("client.key")];
  const cases = [
    [place.flags, known, known],
    [place.mutual, shown, known],
  ] as const;
  for (const [at, [flags, good, lacking]] of cases.entries()) {
    await using t4 = await startT4(`${place.data}${at}`, flags);
    const etcdctl = new Etcdctl(etcdTools(), `https://localhost:${t4.port}`);
    expect(await etcdctl.run([...good, "put", "a", "1"])).toMatchObject({
      stdout: "OK\n",
      code: 0,
    });
    expect(await etcdctl.run([...good, "get", "a"])).toMatchObject({ stdout: "a\n1\n", code: 0 });
    const wrong = at === 0 ? ["--cacert", place.path("client.crt")] : lacking;
    const refused = await etcdctl.run([
      "--command-timeout=1s",
      "--dial-timeout=1s",
      ...wrong,
      "get",
      "a",
    ]);
    expect(refused.code).not.toBe(0);
    expect(messages(t4, "serving")[0]).toMatchObject({ tls: at === 0 ? "server" : "mutual" });
  }
});

test("certificates renewed twenty times under load fail no call", async () => {
  using place = new Place();
  await using t4 = await startT4(place.data, place.flags);
  const authority = { authority: Buffer.from(root.certificate) };
  const steady = new Client(t4.port, authority);
  const failed: unknown[] = [];
  let rotating = true;
  let calls = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (rotating) {
      const client = new Client(t4.port, authority);
      await client
        .unary(KVDefinition)
        .put({ key: Buffer.from("k") })
        .catch((e) => failed.push(e));
      client.close();
      calls++;
    }
  });
  for (let round = 1; round <= 20; round++) {
    const next = root.issue("server");
    place.write("server", next);
    process.kill(t4.pid, "SIGHUP");
    await until(() => messages(t4, "certificates replaced").length === round);
    expect(await serialAt(t4.port)).toBe(next.serial);
    const callsMin = round * 5;
    await until(() => calls >= callsMin);
    await steady.unary(KVDefinition).put({ key: Buffer.from("steady") });
  }
  rotating = false;
  await Promise.all(clients);
  steady.close();
  expect(failed).toEqual([]);
  const metrics = await (await fetch(`${t4.pages}/metrics`)).text();
  expect(metrics).toContain('t4_tls_reloads_total{result="success"} 20\n');
  expect(metrics).toMatch(/^t4_cert_expiry_seconds [\d.e+]+$/m);
});

test("a set of files that is not fit is refused, and the process goes on with what it has", async () => {
  using place = new Place();
  await using t4 = await startT4(place.data, place.flags);
  const serial = await serialAt(t4.port);
  fs.writeFileSync(place.path("server.crt"), root.issue("server").certificate);
  process.kill(t4.pid, "SIGHUP");
  const refused = "certificates refused, those in use stay";
  await until(() => messages(t4, refused).length === 1);
  expect(messages(t4, refused)[0]).toMatchObject({
    level: "warn",
    error: expect.stringContaining(place.path("server.key")),
  });
  expect(await serialAt(t4.port)).toBe(serial);
  t4.signal("SIGTERM");
  expect(await t4.exited).toBe(143);
});
