/** HTTP/1.1 that is passed on: all of it arrives, and nobody is kept who does nothing. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import net from "node:net";
import { relayHttp1 } from "../../src/rpc/http1.ts";
import { serve } from "../../src/rpc/server.ts";
import { Bench, until } from "./echo.ts";
import { FakeSocket } from "./far-end.ts";

const host = "127.0.0.1";
const asked = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
const bodyBytes = 20_000_000;

/** Answers with a large body and closes; what it was sent behind the request it counts. */
class Target {
  readonly #server: net.Server;
  readonly connections = new Set<net.Socket>();
  /** How many connections it has had. */
  count = 0;

  private constructor(answer: (socket: net.Socket) => void) {
    this.#server = net.createServer({ allowHalfOpen: true }, (socket) => {
      this.count++;
      this.connections.add(socket);
      let text = "";
      socket.on("error", () => undefined);
      socket.on("close", () => this.connections.delete(socket));
      socket.on("data", (bytes) => {
        text += bytes.toString("latin1");
        if (text.endsWith("\r\n\r\n")) answer(socket);
      });
    });
  }

  static async open(answer: (socket: net.Socket) => void): Promise<Target> {
    const target = new Target(answer);
    await new Promise<void>((resolve) => target.#server.listen(0, host, resolve));
    return target;
  }

  get address(): { host: string; port: number } {
    return { host, port: (this.#server.address() as net.AddressInfo).port };
  }

  close(): void {
    for (const socket of this.connections) socket.destroy();
    this.#server.close();
  }
}

let target: Target;
let bench: Bench;
beforeAll(async () => {
  target = await Target.open((socket) => {
    socket.write(head);
    socket.end(Buffer.alloc(bodyBytes, "x"));
  });
  bench = await Bench.open(serve, {}, { tls: undefined, http1: target.address });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  target.close();
});

interface Habits {
  /** Closes its half behind the request. */
  readonly closesHalf: boolean;
  /** Rests after each packet, for a turn of the event loop. */
  readonly isSlow: boolean;
}

/** Asks through the server; how many bytes came, and how it ended. */
function get({ closesHalf, isSlow }: Habits): Promise<{ bytes: number; end: string }> {
  const socket = net.connect({ port: bench.server.port, host, allowHalfOpen: true });
  let bytes = 0;
  socket.write(asked);
  if (closesHalf) socket.end();
  return new Promise((resolve) => {
    socket.on("data", (part) => {
      bytes += part.length;
      if (!isSlow) return;
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.on("end", () => {
      socket.end();
      resolve({ bytes, end: "end" });
    });
    socket.on("error", (error) => resolve({ bytes, end: error.message }));
    socket.on("close", () => resolve({ bytes, end: "closed" }));
  });
}

for (const closesHalf of [false, true]) {
  for (const isSlow of [false, true]) {
    const who = `${isSlow ? "slow" : "quick"} client${closesHalf ? " that closes its half" : ""}`;
    test(`a ${who} gets all of an answer`, async () => {
      const { bytes, end } = await get({ closesHalf, isSlow });
      expect({ bytes, end }).toEqual({ bytes: head.length + bodyBytes, end: "end" });
    });
  }
}

test("both sides let go of a connection that is over", async () => {
  await get({ closesHalf: true, isSlow: false });
  await until(() => target.connections.size === 0);
});

/** A relayed connection whose client is the test; it has asked and is answered with `answer`. */
async function relayed(answer: string) {
  const far = await Target.open((socket) => socket.write(answer));
  const socket = new FakeSocket();
  const relay = relayHttp1(socket, far.address);
  relay.data(Buffer.from(asked));
  await until(() => socket.taken.length >= answer.length);
  return { far, relay, socket };
}

test("a relayed connection on which nothing moves for a minute is closed", async () => {
  const { far, relay, socket } = await relayed("ok");
  relay.tick(1_000_000);
  relay.tick(1_059_999);
  expect(socket.isDestroyed).toBe(false);
  relay.tick(1_060_000);
  expect(socket.isDestroyed).toBe(true);
  relay.close();
  await until(() => far.connections.size === 0);
  far.close();
});

test("a relayed connection that is used stays", async () => {
  const { far, relay, socket } = await relayed("ok");
  let answered = socket.taken.length;
  for (let now = 0; now < 600_000; now += 50_000) {
    relay.tick(now);
    relay.data(Buffer.from(asked));
    answered += 2;
    await until(() => socket.taken.length === answered);
  }
  expect(socket.isDestroyed).toBe(false);
  relay.close();
  far.close();
});

test("a relayed connection to which only the server speaks stays", async () => {
  const { far, relay, socket } = await relayed("ok");
  for (let now = 0; now < 600_000; now += 50_000) {
    relay.tick(now);
    const { length } = socket.taken;
    for (const connection of far.connections) connection.write("event");
    await until(() => socket.taken.length === length + 5);
  }
  expect(socket.isDestroyed).toBe(false);
  relay.close();
  far.close();
});

test("a relayed connection on which only the client speaks stays", async () => {
  const { far, relay, socket } = await relayed("ok");
  const read = () => [...far.connections].reduce((sum, { bytesRead }) => sum + bytesRead, 0);
  for (let now = 0; now < 600_000; now += 50_000) {
    relay.tick(now);
    const before = read();
    relay.data(Buffer.from("more"));
    await until(() => read() === before + 4);
  }
  expect(socket.isDestroyed).toBe(false);
  relay.close();
  far.close();
});

test("what a client does not take when the server behind has closed is kept for it", async () => {
  const far = await Target.open((socket) => socket.end("0123456789"));
  const socket = new FakeSocket();
  socket.room = 4;
  const relay = relayHttp1(socket, far.address);
  relay.data(Buffer.from(asked));
  relay.end();
  await until(() => far.count === 1 && far.connections.size === 0);
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(socket.isDestroyed).toBe(false);
  expect(socket.isEnded).toBe(false);
  socket.room = 100;
  relay.drain();
  expect(socket.taken.toString()).toBe("0123456789");
  expect(socket.isEnded).toBe(true);
  far.close();
});
