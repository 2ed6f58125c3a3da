/** What every server must do at the level of connections, frames and its own end. */
import { describe, expect, test } from "bun:test";
import http2 from "node:http2";
import net from "node:net";
import { SeededRandom } from "../../src/lib/random.ts";
import { codes } from "../../src/rpc/status.ts";
import { Client } from "../support/client.ts";
import {
  aborted,
  Bench,
  EchoDefinition,
  HeldClock,
  refusalOf,
  type Serve,
  stopped,
  until,
} from "./echo.ts";

const { chat } = EchoDefinition.methods;

/** Declares the tests of a server made by `serve`. */
export function connectionContract(serve: Serve): void {
  frames(serve);
  strangers(serve);
  shutdown(serve);
  afterStop(serve);
  deadClients(serve);
}

/** A request over bare HTTP/2: what came back, trailers included. */
function ask(
  port: number,
  headers: Record<string, string>,
  body: Uint8Array | undefined,
): Promise<Record<string, unknown>> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  session.on("error", () => undefined);
  const request = session.request({
    ":method": "POST",
    ":path": "/test.Echo/Say",
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  return new Promise((resolve) => {
    const seen: Record<string, unknown> = {};
    request.on("error", () => undefined);
    request.on("response", (received) => Object.assign(seen, received));
    request.on("trailers", (received) => Object.assign(seen, received));
    request.on("data", () => undefined);
    request.on("close", () => {
      session.destroy();
      resolve(seen);
    });
    request.end(body);
  });
}

/** A message in its frame: flag, length, bytes. */
function framed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const frame = Buffer.alloc(5 + bytes.length);
  frame.writeUInt32BE(bytes.length, 1);
  bytes.copy(frame, 5);
  return frame;
}

function frames(serve: Serve): void {
  describe("a request over bare HTTP/2", () => {
    test("is answered with headers, a message and trailers", async () => {
      await using bench = await Bench.open(serve);
      const seen = await ask(bench.server.port, {}, framed("hello"));
      expect(seen).toMatchObject({ ":status": 200, "grpc-status": "0" });
      expect(String(seen["content-type"])).toStartWith("application/grpc");
    });

    test("is told how many may be in progress", async () => {
      await using bench = await Bench.open(serve);
      const session = http2.connect(`http://127.0.0.1:${bench.server.port}`);
      const told = await new Promise<http2.Settings>((resolve) => {
        session.on("remoteSettings", resolve);
      });
      session.destroy();
      expect(told.maxConcurrentStreams).toBe(1000);
    });

    test("that is no gRPC is refused by HTTP", async () => {
      await using bench = await Bench.open(serve);
      const seen = await ask(bench.server.port, { "content-type": "text/plain" }, framed("hello"));
      expect(seen[":status"]).toBe(415);
    });

    test("is cut short by its deadline, on the server too", async () => {
      let over = false;
      await using bench = await Bench.open(serve, {
        say: async (request, call) => {
          await aborted(call.signal);
          over = true;
          return request;
        },
      });
      const seen = await ask(bench.server.port, { "grpc-timeout": "20m" }, framed("hello"));
      expect(seen).toMatchObject({
        "grpc-status": String(codes.deadlineExceeded),
        "grpc-message": "context deadline exceeded",
      });
      await until(() => over);
    });

    test("without a message is refused", async () => {
      await using bench = await Bench.open(serve);
      const seen = await ask(bench.server.port, {}, undefined);
      expect(seen["grpc-status"]).toBe(String(codes.internal));
    });

    test("with two messages is answered once", async () => {
      let calls = 0;
      await using bench = await Bench.open(serve, {
        say: (request) => {
          calls++;
          return request;
        },
      });
      const body = Buffer.concat([framed("one"), framed("two")]);
      expect(await ask(bench.server.port, {}, body)).toMatchObject({ "grpc-status": "0" });
      expect(calls).toBe(1);
    });

    test("with more metadata than 64 KiB is refused, and the server lives on", async () => {
      await using bench = await Bench.open(serve);
      const seen = await ask(bench.server.port, { big: "x".repeat(100_000) }, framed("hello"));
      expect(seen["grpc-status"]).not.toBe("0");
      expect(await bench.say("others")).toBe("others");
    });

    test("with less metadata than that is answered", async () => {
      await using bench = await Bench.open(serve);
      const seen = await ask(bench.server.port, { big: "x".repeat(60_000) }, framed("hello"));
      expect(seen["grpc-status"]).toBe("0");
    });
  });
}

function strangers(serve: Serve): void {
  describe("a stranger", () => {
    test.each([1, 2, 3, 4, 5, 6, 7, 8])("who sends noise (seed %d) harms nobody", async (seed) => {
      await using bench = await Bench.open(serve);
      const random = new SeededRandom(seed);
      const preface = seed % 2 === 0 ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" : "";
      const noise = Uint8Array.from({ length: 4096 }, () => random.below(256));
      const socket = net.connect(bench.server.port, "127.0.0.1");
      const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
      socket.on("error", () => undefined);
      socket.resume();
      socket.end(Buffer.concat([Buffer.from(preface), noise]));
      expect(await bench.say("hello")).toBe("hello");
      await closed;
      expect(await bench.say("again")).toBe("again");
    });

    test("who speaks HTTP/1.1 harms nobody", async () => {
      await using bench = await Bench.open(serve);
      const socket = net.connect(bench.server.port, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.resume();
      socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      expect(await bench.say("hello")).toBe("hello");
      socket.destroy();
    });
  });
}

function shutdown(serve: Serve): void {
  describe("a server that stops", () => {
    test("ends its streams at once, and tells their handlers", async () => {
      let over = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          stream.send({ text: "ready" });
          await aborted(stream.signal);
          over = true;
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      await stream.next();
      const end = bench.server.stop(60_000);
      expect(await stream.status).toEqual(stopped);
      await end;
      expect(over).toBe(true);
    });

    test("lets a unary call finish", async () => {
      const go = Promise.withResolvers<void>();
      let begun = false;
      await using bench = await Bench.open(serve, {
        say: async (request) => {
          begun = true;
          await go.promise;
          return request;
        },
      });
      const answer = bench.say("late");
      await until(() => begun);
      const end = bench.server.stop(60_000);
      go.resolve();
      expect(await answer).toBe("late");
      await end;
    });

    test("cuts a unary call that does not finish when its grace is over", async () => {
      const clock = new HeldClock();
      let over = false;
      let begun = false;
      await using bench = await Bench.open(
        serve,
        {
          say: async (request, call) => {
            begun = true;
            await aborted(call.signal);
            over = true;
            return request;
          },
        },
        { clock },
      );
      const refused = refusalOf(bench.say("never"));
      await until(() => begun);
      const end = bench.server.stop(10_000);
      clock.wake();
      await end;
      expect(await refused).toMatchObject({ code: codes.unavailable });
      await until(() => over);
    });
  });
}

function afterStop(serve: Serve): void {
  describe("a server that stops", () => {
    test("takes no connection and no call any more", async () => {
      const go = Promise.withResolvers<void>();
      let begun = false;
      await using bench = await Bench.open(serve, {
        say: async (request) => {
          begun = true;
          await go.promise;
          return request;
        },
      });
      const answer = bench.say("holds the connection open");
      await until(() => begun);
      const end = bench.server.stop(60_000);
      expect(await refusalOf(bench.say("too late"))).toMatchObject({ code: codes.unavailable });
      const socket = net.connect(bench.server.port, "127.0.0.1");
      await new Promise((resolve) => {
        socket.on("error", resolve);
        socket.on("close", resolve);
      });
      go.resolve();
      await answer;
      await end;
    });

    test("leaves its port to the next", async () => {
      const first = await Bench.open(serve);
      const listen = { host: "127.0.0.1", port: first.server.port };
      expect(await Bench.open(serve, {}, { listen }).catch((error) => error)).toMatchObject({
        name: "ListenError",
        code: "EADDRINUSE",
        message: `cannot listen on 127.0.0.1:${listen.port}: EADDRINUSE`,
      });
      await first[Symbol.asyncDispose]();
      await using second = await Bench.open(serve, {}, { listen });
      expect(await second.say("next")).toBe("next");
    });

    test("with nobody there stops at once, and twice is fine", async () => {
      await using bench = await Bench.open(serve, {}, { clock: new HeldClock() });
      await bench.server.stop(60_000);
      await bench.server.stop(60_000);
    });
  });
}

/** An empty SETTINGS frame: length 0, type 4, no flags, stream 0. */
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

/** Passes bytes on until it is cut. */
class Relay {
  readonly port: number;
  readonly #listener: net.Server;
  readonly #sockets: net.Socket[];

  private constructor(port: number, listener: net.Server, sockets: net.Socket[]) {
    this.port = port;
    this.#listener = listener;
    this.#sockets = sockets;
  }

  static async open(target: number): Promise<Relay> {
    const sockets: net.Socket[] = [];
    const listener = net.createServer((near) => {
      const far = net.connect(target, "127.0.0.1");
      sockets.push(near, far);
      near.on("error", () => undefined).pipe(far);
      far.on("error", () => undefined).pipe(near);
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    return new Relay((listener.address() as net.AddressInfo).port, listener, sockets);
  }

  cut(): void {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function deadClients(serve: Serve): void {
  describe("a client that is gone", () => {
    test("without a word ends its stream for the handler", async () => {
      let begun = false;
      let over = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          begun = true;
          await aborted(stream.signal);
          over = true;
        },
      });
      const relay = await Relay.open(bench.server.port);
      const client = new Client(relay.port);
      client.stream(EchoDefinition, chat).send({ text: "hello" });
      await until(() => begun);
      relay.cut();
      await until(() => over);
      await until(() => bench.server.streams === 0);
      client.close();
    });

    test("is found out by pings, and its connection closed", async () => {
      const keepalive = { intervalMs: 10, timeoutMs: 10 };
      await using bench = await Bench.open(serve, {}, { keepalive });
      const mute = net.connect(bench.server.port, "127.0.0.1");
      mute.on("error", () => undefined);
      mute.resume();
      mute.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings]));
      await new Promise<void>((resolve) => mute.on("close", () => resolve()));
    });

    test("does not hold up a server that stops", async () => {
      const clock = new HeldClock();
      await using bench = await Bench.open(serve, {}, { clock });
      const silent = net.connect(bench.server.port, "127.0.0.1");
      silent.on("error", () => undefined);
      await new Promise<void>((resolve) => silent.on("connect", () => resolve()));
      await bench.say("it is accepted by now");
      const end = bench.server.stop(10_000);
      clock.wake();
      await end;
      silent.destroy();
    });

    test("and does not read does not hold up a server that stops", async () => {
      const clock = new HeldClock();
      let stalled = false;
      let over = false;
      await using bench = await Bench.open(
        serve,
        {
          chat: async (stream) => {
            while (!stream.signal.aborted) {
              stream.send({ text: "x".repeat(65_536) });
              stalled = !stream.writable;
              await stream.drained();
            }
            over = true;
          },
        },
        { clock },
      );
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.pause();
      await until(() => stalled);
      const end = bench.server.stop(10_000);
      await until(() => over);
      clock.wake();
      await end;
    });
  });
}
