/** What every server must do with TLS, and what it must measure. */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import type { Counter } from "../../src/lib/meter.ts";
import type { Meters } from "../../src/rpc/meters.ts";
import { codeName, codes } from "../../src/rpc/status.ts";
import { Client, type ClientTls } from "../support/client.ts";
import { Bench, EchoDefinition, refusal, refusalOf, type Serve } from "./echo.ts";

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
