/** What TLS adds to byte streams: who may connect, and certificates that are replaced. */
import { describe, expect, test } from "bun:test";
import net from "node:net";
import tls from "node:tls";
import {
  listenSecure,
  type SecureListener,
  TlsError,
  type TlsOptions,
} from "../../src/rpc/secure.ts";
import type { Socket } from "../../src/rpc/socket.ts";
import { Authority, type Issued } from "../support/authority.ts";
import { until } from "./echo.ts";

const root = Authority.root("authority");
const server = root.issue("server");
const client = root.issue("client");

const optionsOf = ({ certificate, key }: Issued, authorities: readonly Authority[] = []) => ({
  certificate: Buffer.from(certificate),
  key: Buffer.from(key),
  clientAuthority:
    authorities.length === 0
      ? undefined
      : Buffer.from(authorities.map((each) => each.certificate).join("")),
});

/** A port that greets whoever gets through the handshake, and echoes. */
class Port implements Disposable {
  readonly listener: SecureListener;
  readonly accepted: Socket[];
  readonly errors: Error[];

  private constructor(listener: SecureListener, accepted: Socket[], errors: Error[]) {
    this.listener = listener;
    this.accepted = accepted;
    this.errors = errors;
  }

  static async open(options: TlsOptions, handshakeMs?: number): Promise<Port> {
    const accepted: Socket[] = [];
    const errors: Error[] = [];
    const accept = (socket: Socket) => {
      accepted.push(socket);
      socket.write(Buffer.from("hello"), 0, 5);
      return {
        data: (bytes: Uint8Array) => void socket.write(bytes, 0, bytes.length),
        drain: () => undefined,
        end: () => socket.end(),
        close: () => undefined,
      };
    };
    const address = { host: "127.0.0.1", port: 0 };
    const note = (error: Error) => errors.push(error);
    const listener = await listenSecure(address, options, accept, note, handshakeMs);
    return new Port(listener, accepted, errors);
  }

  /** A client, and how it came out: greeted, or not. */
  connect(options: tls.ConnectionOptions = {}): Caller {
    return new Caller({
      port: this.listener.port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: root.certificate,
      ALPNProtocols: ["h2"],
      ...options,
    });
  }

  /** As `connect`, once it has come out. */
  async call(options: tls.ConnectionOptions = {}): Promise<Caller> {
    const caller = this.connect(options);
    await until(() => caller.text !== "" || caller.closed);
    caller.socket.end();
    return caller;
  }

  [Symbol.dispose](): void {
    this.listener.stop();
    for (const socket of this.accepted) socket.destroy();
  }
}

class Caller {
  readonly socket: tls.TLSSocket;
  text = "";
  closed = false;
  session: Buffer | undefined;
  /** Of the server's certificate. */
  serial: string | undefined;

  constructor(options: tls.ConnectionOptions) {
    this.socket = tls.connect(options);
    this.socket.on("secureConnect", () => {
      this.serial = this.socket.getPeerCertificate().serialNumber;
    });
    this.socket.on("session", (session: Buffer) => {
      this.session = session;
    });
    this.socket.on("data", (bytes: Buffer) => {
      this.text += bytes;
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.closed = true;
    });
  }

  get isGreeted(): boolean {
    return this.text === "hello";
  }
}

describe("a handshake", () => {
  test.each([
    [["h2", "http/1.1"], "h2"],
    [["http/1.1", "h2"], "h2"],
    [["http/1.1"], "http/1.1"],
    [[], undefined],
  ])("that offers %p agrees on %p", async (offered, agreed) => {
    using port = await Port.open(optionsOf(server));
    const caller = await port.call({ ALPNProtocols: offered });
    expect(caller.socket.alpnProtocol || undefined).toBe(agreed);
    expect(port.accepted.map(({ protocol }) => protocol)).toEqual([agreed]);
  });

  test("that offers only what is not spoken is refused", async () => {
    using port = await Port.open(optionsOf(server));
    expect((await port.call({ ALPNProtocols: ["spdy/3"] })).isGreeted).toBe(false);
    expect(port.accepted).toEqual([]);
  });

  test.each([
    ["TLSv1.1", false],
    ["TLSv1.2", true],
    ["TLSv1.3", true],
  ] as const)("of %s goes well: %p", async (version, well) => {
    using port = await Port.open(optionsOf(server));
    const caller = await port.call({ minVersion: version, maxVersion: version });
    expect(caller.isGreeted).toBe(well);
  });

  test("shows the certificates between the server's and the client's authority", async () => {
    const between = root.authority("between");
    const leaf = between.issue("server");
    const chain = { ...leaf, certificate: leaf.certificate + between.certificate };
    using whole = await Port.open(optionsOf(chain));
    expect((await whole.call()).isGreeted).toBe(true);
    using lacking = await Port.open(optionsOf(leaf));
    expect((await lacking.call()).isGreeted).toBe(false);
  });

  test("that never begins or never goes on is cut off, and told", async () => {
    using port = await Port.open(optionsOf(server), 50);
    const connected = port.connect();
    await until(() => connected.isGreeted);
    const silent = net.connect(port.listener.port, "127.0.0.1");
    const stuck = net.connect(port.listener.port, "127.0.0.1");
    stuck.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    const over = [silent, stuck].map(
      (socket) => new Promise((resolve) => socket.on("end", resolve)),
    );
    for (const socket of [silent, stuck]) socket.resume();
    await Promise.all(over);
    expect(port.errors.map((error) => (error as { code?: string }).code)).toEqual([
      "ERR_TLS_HANDSHAKE_TIMEOUT",
      "ERR_TLS_HANDSHAKE_TIMEOUT",
    ]);
    connected.socket.write(" again");
    await until(() => connected.text === "hello again");
    connected.socket.end();
  });

  test("of somebody who speaks no TLS is refused, and others go on", async () => {
    using port = await Port.open(optionsOf(server));
    const connected = port.connect();
    await until(() => connected.isGreeted);
    for (const noise of ["PRI * HTTP/2.0\r\n\r\n", "\0".repeat(1000), "\x16\x03\x01\xff\xff"]) {
      const socket = net.connect(port.listener.port, "127.0.0.1");
      socket.resume();
      socket.end(noise);
      await new Promise((resolve) => socket.on("close", resolve));
    }
    await until(() => port.errors.length === 3);
    connected.socket.write(" again");
    await until(() => connected.text === "hello again");
    connected.socket.end();
    expect(port.accepted.length).toBe(1);
  });
});

describe("where clients must show a certificate", () => {
  const stranger = Authority.root("authority").issue("client");
  const expired = root.issue("client", { until: Date.UTC(2021, 0) });
  const shown = ({ certificate, key }: Issued) => ({ cert: certificate, key });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "only known ones get through (%s)",
    async (version) => {
      using port = await Port.open(optionsOf(server, [root]));
      const only = { minVersion: version, maxVersion: version };
      for (const refused of [{}, shown(stranger), shown(expired)]) {
        expect((await port.call({ ...only, ...refused })).isGreeted).toBe(false);
      }
      expect(port.accepted).toEqual([]);
      expect((await port.call({ ...only, ...shown(client) })).isGreeted).toBe(true);
      expect(port.errors.length).toBe(3);
    },
  );

  test.each([
    [["somebody"], "somebody"],
    [["größer"], "größer"],
    [["a\nCN=root"], "a\nCN=root"],
    [["a, CN=root"], "a, CN=root"],
    [["first", "last"], "last"],
    [[""], undefined],
    [[], undefined],
  ])("the common names %p are the client's name %p", async (commonNames, name) => {
    using port = await Port.open(optionsOf(server, [root]));
    expect((await port.call(shown(root.issue("", { commonNames })))).isGreeted).toBe(true);
    expect(port.accepted.map(({ commonName }) => commonName)).toEqual([name]);
  });

  test("one that only a certificate in between vouches for is known", async () => {
    using port = await Port.open(optionsOf(server, [root]));
    const between = root.authority("between");
    const leaf = between.issue("client");
    expect((await port.call(shown(leaf))).isGreeted).toBe(false);
    const chain = { ...leaf, certificate: leaf.certificate + between.certificate };
    expect((await port.call(shown(chain))).isGreeted).toBe(true);
  });

  test("a name is not taken from a certificate that nobody asked for", async () => {
    using port = await Port.open(optionsOf(server));
    await port.call(shown(stranger));
    expect(port.accepted.map(({ commonName }) => commonName)).toEqual([undefined]);
  });
});

describe("certificates that are replaced", () => {
  test("are those of new connections; what is open goes on", async () => {
    using port = await Port.open(optionsOf(server));
    const connected = port.connect();
    await until(() => connected.isGreeted);
    const next = root.issue("server");
    port.listener.replace(optionsOf(next));
    const caller = await port.call();
    expect([caller.serial, caller.socket.alpnProtocol]).toEqual([next.serial, "h2"]);
    expect((await port.call({ maxVersion: "TLSv1.1", minVersion: "TLSv1.1" })).isGreeted).toBe(
      false,
    );
    connected.socket.write(" again");
    await until(() => connected.text === "hello again");
    connected.socket.end();
    expect(connected.serial).toBe(server.serial);
  });

  test("that cannot be used change nothing", async () => {
    using port = await Port.open(optionsOf(server));
    const good = optionsOf(root.issue("server"));
    const noise = Buffer.from("noise");
    for (const bad of [
      { ...good, certificate: noise },
      { ...good, key: noise },
      { ...good, key: Buffer.from(client.key) },
      optionsOf(server, [root]),
    ]) {
      expect(() => port.listener.replace(bad)).toThrow(TlsError);
    }
    const caller = await port.call();
    expect([caller.isGreeted, caller.serial]).toEqual([true, server.serial]);
    await expect(Port.open({ ...good, certificate: noise })).rejects.toThrow(TlsError);
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "are asked of clients, too, and of those that resume a session (%s)",
    async (version) => {
      const other = Authority.root("other");
      const [known, later] = [client, other.issue("client")].map(({ certificate, key }) => ({
        minVersion: version,
        maxVersion: version,
        cert: certificate,
        key,
      }));
      using port = await Port.open(optionsOf(server, [root]));
      const first = await port.call(known);
      await until(() => first.session !== undefined);
      const resumed = { ...known, session: first.session };
      expect((await port.call(resumed)).socket.isSessionReused()).toBe(true);
      expect((await port.call(later)).isGreeted).toBe(false);
      port.listener.replace(optionsOf(server, [root, other]));
      for (const each of [known, later]) expect((await port.call(each)).isGreeted).toBe(true);
      port.listener.replace(optionsOf(server, [other]));
      for (const each of [known, resumed]) expect((await port.call(each)).isGreeted).toBe(false);
      expect((await port.call(later)).isGreeted).toBe(true);
      expect(() => port.listener.replace(optionsOf(server))).toThrow(TlsError);
    },
  );
});

test("certificates replaced twenty times while clients come and go fail nobody", async () => {
  using port = await Port.open(optionsOf(server));
  const open = port.connect();
  await until(() => open.isGreeted);
  let rotating = true;
  let calls = 0;
  const failed: unknown[] = [];
  const clients = Array.from({ length: 8 }, async () => {
    while (rotating) {
      const caller = await port.call();
      if (!caller.isGreeted) failed.push(caller.serial);
      calls++;
    }
  });
  for (let round = 1; round <= 20; round++) {
    const next = root.issue("server");
    port.listener.replace(optionsOf(next));
    expect((await port.call()).serial).toBe(next.serial);
    const callsMin = round * 20;
    await until(() => calls >= callsMin);
  }
  rotating = false;
  await Promise.all(clients);
  expect(failed).toEqual([]);
  open.socket.write(" again");
  await until(() => open.text === "hello again");
  open.socket.end();
});
