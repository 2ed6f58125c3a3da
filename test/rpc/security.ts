/** What every server must do with TLS, and what it must measure. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import type { Counter } from "../../src/lib/meter.ts";
import type { Meters } from "../../src/rpc/meters.ts";
import { type Code, codeName, codes } from "../../src/rpc/status.ts";
import { Authority, type Issued, selfSigned } from "../support/authority.ts";
import { Client, type ClientTls } from "../support/client.ts";
import { Bench, EchoDefinition, refusal, refusalOf, type Serve, until } from "./echo.ts";

const { chat } = EchoDefinition.methods;

const file = (name: string) => readFileSync(`${import.meta.dir}/../support/tls/${name}`);
const server = { certificate: file("server.crt"), key: file("server.key") };
const anyone: ClientTls = { authority: file("authority.crt") };
const known: ClientTls = {
  ...anyone,
  certificate: file("client.crt"),
  key: file("client.key"),
};

/** Declares the tests of a server made by `serve`. */
export function securityContract(serve: Serve): void {
  encryption(serve);
  trust(serve);
  protocols(serve);
  rotation(serve);
  measures(serve);
}

function encryption(serve: Serve): void {
  describe("with TLS", () => {
    test("calls and streams are served", async () => {
      await using bench = await Bench.open(serve, {}, { tls: server }, anyone);
      expect(await bench.say("hello")).toBe("hello");
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.send({ text: "x".repeat(1e6) });
      expect((await stream.next())?.text.length).toBe(1e6);
    });

    test("a client that speaks plainly is refused, others go on", async () => {
      await using bench = await Bench.open(serve, {}, { tls: server }, anyone);
      const client = new Client(bench.server.port);
      expect(await refusalOf(client.raw("/test.Echo/Say", Buffer.from("x")))).toMatchObject({
        code: codes.unavailable,
      });
      client.close();
      expect(await bench.say("hello")).toBe("hello");
    });

    test("a client with a certificate of the authority is served where one is asked for", async () => {
      const mutual = { ...server, clientAuthority: file("authority.crt") };
      await using bench = await Bench.open(serve, {}, { tls: mutual }, known);
      expect(await bench.say("hello")).toBe("hello");
    });

    test("a client without a certificate is refused where one is asked for", async () => {
      const mutual = { ...server, clientAuthority: file("authority.crt") };
      await using bench = await Bench.open(serve, {}, { tls: mutual }, anyone);
      expect(await refusalOf(bench.say("hello"))).toMatchObject({ code: codes.unavailable });
    });

    test("files that make no sense are refused", async () => {
      const noise = { certificate: Buffer.from("noise"), key: file("server.key") };
      const foreign = { certificate: file("server.crt"), key: file("client.key") };
      for (const tls of [noise, foreign]) {
        const error = await Bench.open(serve, {}, { tls }).catch((error) => error);
        expect(error).toMatchObject({ name: "TlsError" });
      }
    });

    test.each([
      ["TLSv1.1", false],
      ["TLSv1.2", true],
      ["TLSv1.3", true],
    ] as const)("%s is good enough: %p", async (version, enough) => {
      await using bench = await Bench.open(serve, {}, { tls: server }, anyone);
      expect(await handshake(bench.server.port, version)).toBe(enough);
    });
  });
}

const root = Authority.root("authority");
const past = { until: Date.UTC(2021, 0) };

const tlsOf = ({ certificate, key }: Issued) => ({
  certificate: Buffer.from(certificate),
  key: Buffer.from(key),
});

const trusting = (certificate: string): ClientTls => ({ authority: Buffer.from(certificate) });

/** How a call goes: what it says, or the code it is refused with. */
async function outcomeOf(bench: Bench, tls: ClientTls): Promise<string> {
  const client = new Client(bench.server.port, tls);
  try {
    return (await client.unary(EchoDefinition).say({ text: "served" })).text;
  } catch (error) {
    return codeName((error as { code: Code }).code);
  } finally {
    client.close();
  }
}

function trust(serve: Serve): void {
  const between = root.authority("between");
  const inner = between.issue("server");
  const alone = selfSigned("server");
  const chain = { ...inner, certificate: inner.certificate + between.certificate };

  test.each([
    ["that the client's authority signed", root.issue("server"), root.certificate, "served"],
    ["that one in between signed", chain, root.certificate, "served"],
    ["whose signer is not shown", inner, root.certificate, "Unavailable"],
    [
      "of another authority",
      Authority.root("authority").issue("server"),
      root.certificate,
      "Unavailable",
    ],
    [
      "for another name",
      root.issue("server", { names: ["elsewhere"] }),
      root.certificate,
      "Unavailable",
    ],
    ["that has expired", root.issue("server", past), root.certificate, "Unavailable"],
    ["that nobody else signed", alone, root.certificate, "Unavailable"],
    ["that nobody else signed, and that is known", alone, alone.certificate, "served"],
  ])(
    "a server's certificate %s decides what a client does",
    async (_, issued, trusted, outcome) => {
      await using bench = await Bench.open(serve, {}, { tls: tlsOf(issued) });
      for (const wanted of [outcome, outcome]) {
        expect(await outcomeOf(bench, trusting(trusted))).toBe(wanted);
      }
    },
  );

  test("a client's certificate decides whether it is served, one after the other", async () => {
    const clientAuthority = Buffer.from(root.certificate);
    const mine = { ...tlsOf(root.issue("server")), clientAuthority };
    await using bench = await Bench.open(serve, {}, { tls: mine });
    const deep = between.issue("client");
    const cases: [Issued, string][] = [
      [root.issue("client"), "served"],
      [{ ...deep, certificate: deep.certificate + between.certificate }, "served"],
      [deep, "Unavailable"],
      [Authority.root("authority").issue("client"), "Unavailable"],
      [root.issue("client", past), "Unavailable"],
      [selfSigned("client"), "Unavailable"],
      [root.issue("client"), "served"],
    ];
    for (const [issued, outcome] of cases) {
      const shown = { ...trusting(root.certificate), ...tlsOf(issued) };
      expect([issued.serial, await outcomeOf(bench, shown)]).toEqual([issued.serial, outcome]);
    }
  });
}

function protocols(serve: Serve): void {
  /** The type of the first frame that comes; undefined when the connection ends without one. */
  const firstFrame = async (port: number, offered: string[]): Promise<number | undefined> => {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: file("authority.crt"),
      ALPNProtocols: offered,
    });
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    socket.on("data", (bytes: Buffer) => resolve(bytes[3]));
    socket.on("error", () => resolve(undefined));
    socket.on("close", () => resolve(undefined));
    socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings]));
    const type = await promise;
    socket.destroy();
    return type;
  };
  const settingsType = 4;
  const settings = Buffer.from([0, 0, 0, settingsType, 0, 0, 0, 0, 0]);

  test.each([
    [["h2"], settingsType],
    [["http/1.1", "h2"], settingsType],
    [[], settingsType],
    [["spdy/3"], undefined],
  ])(
    "over TLS that offers %p HTTP/2 is answered with a frame of type %p",
    async (offered, type) => {
      await using bench = await Bench.open(serve, {}, { tls: server }, anyone);
      expect(await firstFrame(bench.server.port, offered)).toBe(type);
      expect(await bench.say("hello")).toBe("hello");
    },
  );

  test("over TLS that offers only HTTP/1.1 harms nobody", async () => {
    await using bench = await Bench.open(serve, {}, { tls: server }, anyone);
    await firstFrame(bench.server.port, ["http/1.1"]);
    expect(await bench.say("hello")).toBe("hello");
  });
}

function rotation(serve: Serve): void {
  test("certificates replaced twenty times under load fail no call, and streams go on", async () => {
    const trusted = trusting(root.certificate);
    await using bench = await Bench.open(serve, {}, { tls: tlsOf(root.issue("server")) }, trusted);
    const stream = bench.client.stream(EchoDefinition, chat);
    let rotating = true;
    let calls = 0;
    const others = new Set<string>();
    const clients = Array.from({ length: 4 }, async () => {
      while (rotating) {
        others.add(await outcomeOf(bench, trusted));
        calls++;
      }
    });
    for (let round = 1; round <= 20; round++) {
      const next = root.issue("server");
      bench.server.replaceCertificates(tlsOf(next));
      expect(await serialAt(bench.server.port)).toBe(next.serial);
      stream.send({ text: `${round}` });
      expect(await stream.next()).toEqual({ text: `${round}` });
      const callsMin = round * 4;
      await until(() => calls >= callsMin);
    }
    rotating = false;
    await Promise.all(clients);
    expect([...others]).toEqual(["served"]);
  });

  test("certificates that make no sense replace nothing", async () => {
    const first = root.issue("server");
    const trusted = trusting(root.certificate);
    await using bench = await Bench.open(serve, {}, { tls: tlsOf(first) }, trusted);
    const mixed = { ...tlsOf(root.issue("server")), key: Buffer.from(first.key) };
    expect(() => bench.server.replaceCertificates(mixed)).toThrow("cannot use the TLS certificate");
    expect(await serialAt(bench.server.port)).toBe(first.serial);
    expect(await bench.say("hello")).toBe("hello");
  });
}

/** The serial of the certificate that a new connection is shown. */
function serialAt(port: number): Promise<string> {
  const { promise, reject, resolve } = Promise.withResolvers<string>();
  const ca = root.certificate;
  const socket = tls.connect({ port, host: "127.0.0.1", servername: "localhost", ca });
  socket.on("error", reject);
  socket.on("secureConnect", () => {
    resolve(socket.getPeerCertificate().serialNumber);
    socket.destroy();
  });
  return promise;
}

/** Whether a client that speaks `version` and no other gets through to HTTP/2. */
function handshake(port: number, version: tls.SecureVersion): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      servername: "localhost",
      ca: file("authority.crt"),
      ALPNProtocols: ["h2"],
      minVersion: version,
      maxVersion: version,
    });
    socket.on("secureConnect", () => {
      resolve(socket.alpnProtocol === "h2");
      socket.destroy();
    });
    socket.on("error", () => resolve(false));
  });
}

function measures(serve: Serve): void {
  describe("the meters", () => {
    test("count calls, codes, messages and bytes", async () => {
      const totals: Record<string, number> = {};
      await using bench = await Bench.open(
        serve,
        {
          say: ({ text }) => {
            if (text === "no") throw refusal("no");
            return { text: `${text}!` };
          },
        },
        { meters: metersTo(totals) },
      );
      await bench.say("hello");
      await refusalOf(bench.say("no"));
      const stream = bench.client.stream(EchoDefinition, chat);
      for (const text of ["a", "bc"]) stream.send({ text });
      stream.end();
      await stream.status;
      expect(totals).toEqual({
        "unary test.Echo/Say started": 2,
        "unary test.Echo/Say received": 2,
        "unary test.Echo/Say sent": 1,
        "unary test.Echo/Say OK": 1,
        "unary test.Echo/Say NotFound": 1,
        "unary test.Echo/Say observed": 2,
        "bidiStream test.Echo/Chat started": 1,
        "bidiStream test.Echo/Chat received": 2,
        "bidiStream test.Echo/Chat sent": 2,
        "bidiStream test.Echo/Chat OK": 1,
        "bidiStream test.Echo/Chat observed": 1,
        "bytes received": 10,
        "bytes sent": 9,
      });
    });
  });
}

function metersTo(totals: Record<string, number>): Meters {
  const counter = (name: string): Counter => ({
    add: (amount) => {
      totals[name] = (totals[name] ?? 0) + amount;
    },
  });
  return {
    receivedBytes: counter("bytes received"),
    sentBytes: counter("bytes sent"),
    method: (service, method, kind) => {
      const name = `${kind} ${service}/${method}`;
      const observed = counter(`${name} observed`);
      return {
        started: counter(`${name} started`),
        received: counter(`${name} received`),
        sent: counter(`${name} sent`),
        seconds: { observe: () => observed.add(1) },
        handled: (code) => counter(`${name} ${codeName(code)}`),
      };
    },
  };
}
