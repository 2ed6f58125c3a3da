/** What whatever makes byte streams must do: one suite, over TCP and over TLS. */
import { describe, expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { ListenAddress } from "../../src/rpc/socket.ts";
import { until } from "./echo.ts";
import { type Near, Streams, type Transport, transports } from "./streams.ts";

/** Sends all of `bytes` from memory that is used again at once; `stalls` is told when it waits. */
function send(near: Near, bytes: Uint8Array, stalls: () => void): void {
  const scratch = Buffer.alloc(100_000);
  let sent = 0;
  near.onDrain = () => {
    while (sent < bytes.length) {
      const piece = bytes.subarray(sent, sent + 90_000);
      scratch.set(piece, 7);
      const taken = near.socket.write(scratch, 7, 7 + piece.length);
      scratch.fill(0);
      sent += taken;
      if (taken < piece.length) return stalls();
    }
    near.socket.end();
  };
  near.onDrain();
}

const write = (near: Near, text: string) => {
  const bytes = Buffer.from(text);
  return near.socket.write(bytes, 0, bytes.length);
};

const echo = (near: Near) => {
  near.onData = (bytes) => {
    near.socket.write(bytes, 0, bytes.length);
  };
};

describe.each(Object.entries(transports))("a connection over %s", (_, transport) => {
  flow(transport);
  ends(transport);
  gone(transport);
  ports(transport);
});

function flow(transport: Transport): void {
  test("carries 10 MB each way, in order, as fast as the slower end takes them", async () => {
    const random = new SeededRandom(1);
    const block = Buffer.from(Uint8Array.from({ length: 65_521 }, () => random.below(256)));
    const payload = Buffer.alloc(10_000_000, block);
    using streams = await Streams.open(transport);
    const [near, far] = await streams.pair();
    far.socket.pause();
    let stalls = 0;
    send(near, payload, () => stalls++);
    far.socket.end(payload);
    await until(() => near.ends === 1 && stalls > 0);
    far.socket.resume();
    await until(() => far.ended && near.closes === 1);
    expect(near.drains).toBe(stalls);
    expect(Buffer.concat(near.received).equals(payload)).toBe(true);
    expect(Buffer.concat(far.received).equals(payload)).toBe(true);
  });

  test("takes a bounded number of bytes for a client that does not read", async () => {
    using streams = await Streams.open(transport);
    const [near, far] = await streams.pair();
    far.socket.pause();
    const bytes = new Uint8Array(65_536);
    let taken = 0;
    let last = bytes.length;
    while (last === bytes.length && taken < 1e9) {
      last = near.socket.write(bytes, 0, bytes.length);
      taken += last;
    }
    expect(taken).toBeLessThan(32 * 2 ** 20);
    expect(near.socket.write(bytes, 0, bytes.length)).toBe(0);
    far.socket.resume();
    await until(() => near.drains === 1 && far.bytes === taken);
  });

  test("that is paused takes nothing until it is resumed", async () => {
    const payload = Buffer.alloc(16_000_000, "0123456789abcdef");
    using streams = await Streams.open(transport, echo);
    const [near, far] = await streams.pair();
    near.onData = () => near.socket.pause();
    far.socket.write(payload);
    await until(() => near.bytes > 0);
    const before = near.bytes;
    // Others go on meanwhile, and nothing arrives here while they do.
    const [, other] = await streams.pair();
    for (let round = 1; round <= 200; round++) {
      other.socket.write("x");
      await until(() => other.bytes === round);
    }
    expect(near.bytes).toBe(before);
    near.onData = () => undefined;
    near.socket.resume();
    await until(() => near.bytes === payload.length);
    expect(Buffer.concat(near.received).equals(payload)).toBe(true);
  });

  test("that is paused and resumed at each turn loses nothing", async () => {
    const payload = Buffer.alloc(4_000_000, "0123456789abcdef");
    using streams = await Streams.open(transport);
    const [near, far] = await streams.pair();
    near.onData = () => {
      near.socket.pause();
      setImmediate(() => near.socket.resume());
    };
    far.socket.end(payload);
    await until(() => near.ends === 1);
    expect(Buffer.concat(near.received).equals(payload)).toBe(true);
  });
}

function ends(transport: Transport): void {
  describe("that the client ends", () => {
    test("still carries what the server sends", async () => {
      using streams = await Streams.open(transport);
      const [near, far] = await streams.pair();
      far.socket.end("the last");
      await until(() => near.ends === 1);
      expect(Buffer.concat(near.received).toString()).toBe("the last");
      expect([near.closes, write(near, "answer")]).toEqual([0, 6]);
      near.socket.end();
      await until(() => far.closed && near.closes === 1);
      expect([far.text, near.ends, near.late]).toEqual(["answer", 1, 0]);
    });
  });

  describe("that the server ends", () => {
    test("still carries what the client sends", async () => {
      using streams = await Streams.open(transport);
      const [near, far] = await streams.pair();
      write(near, "the last");
      near.socket.end();
      await until(() => far.ended);
      expect([far.text, near.closes, write(near, "more")]).toEqual(["the last", 0, 0]);
      far.socket.end("answer");
      await until(() => far.closed && near.closes === 1);
      expect(Buffer.concat(near.received).toString()).toBe("answer");
      expect(near.late).toBe(0);
    });

    test("behind more than the kernel holds ends behind all of it", async () => {
      using streams = await Streams.open(transport);
      const [near, far] = await streams.pair();
      far.socket.pause();
      const bytes = new Uint8Array(65_536);
      let taken = 0;
      for (let last = 1; last > 0; taken += last) {
        last = near.socket.write(bytes, 0, bytes.length);
      }
      near.socket.end();
      far.socket.resume();
      await until(() => far.ended);
      expect(far.bytes).toBe(taken);
    });
  });
}

function gone(transport: Transport): void {
  test("that the server destroys is closed once, and takes nothing more", async () => {
    using streams = await Streams.open(transport);
    const [near, far] = await streams.pair();
    near.socket.destroy();
    expect(write(near, "late")).toBe(0);
    await until(() => far.over && near.closes === 1);
    near.socket.destroy();
    near.socket.end();
    near.socket.pause();
    near.socket.resume();
    expect([write(near, "later"), near.ends, near.closes, near.late]).toEqual([0, 0, 1, 0]);
  });

  test("that the server destroys where it takes data is closed once", async () => {
    using streams = await Streams.open(transport);
    const [near, far] = await streams.pair();
    near.onData = () => near.socket.destroy();
    far.socket.write(Buffer.alloc(4_000_000));
    await until(() => far.over && near.closes === 1);
    expect(near.late).toBe(0);
  });

  test("that the server destroys where it accepts is closed once", async () => {
    using streams = await Streams.open(transport, (near) => near.socket.destroy());
    const far = streams.connect();
    await until(() => far.over && streams.accepted[0]?.closes === 1);
    expect(streams.accepted[0]?.late).toBe(0);
  });

  test("that the client resets is closed once, and others go on", async () => {
    using streams = await Streams.open(transport, echo);
    const [, other] = await streams.pair();
    const [near, far] = await streams.pair();
    far.socket.pause();
    const bytes = new Uint8Array(65_536);
    while (near.socket.write(bytes, 0, bytes.length) > 0);
    far.socket.resetAndDestroy();
    await until(() => near.closes === 1);
    expect(write(near, "late")).toBe(0);
    other.socket.write("still here");
    await until(() => other.text === "still here");
    expect([near.closes, near.late]).toEqual([1, 0]);
  });

  test("that the client resets while it is paused is closed when it is resumed, at the latest", async () => {
    using streams = await Streams.open(transport, echo);
    const [near, far] = await streams.pair();
    near.onData = () => near.socket.pause();
    far.socket.write(Buffer.alloc(1_000_000));
    await until(() => near.bytes > 0);
    far.socket.resetAndDestroy();
    await until(() => far.closed);
    near.onData = () => undefined;
    near.socket.resume();
    await until(() => near.closes === 1);
    expect(near.late).toBe(0);
  });
}

function ports(transport: Transport): void {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["::1", "[::1]"],
  ])("from %s names its far end", async (host, shown) => {
    using streams = await Streams.open(transport, undefined, { host, port: 0 });
    const [near, far] = await streams.pair(host);
    await until(() => far.socket.localPort !== undefined);
    expect(near.socket.peer).toBe(`${shown}:${far.socket.localPort}`);
  });

  test("to a port that is taken, or an address of elsewhere, cannot be had", async () => {
    using streams = await Streams.open(transport);
    const refused = (address: ListenAddress) =>
      Streams.open(transport, undefined, address).catch((error) => error.code);
    expect(await refused({ host: "127.0.0.1", port: streams.listener.port })).toBe("EADDRINUSE");
    expect(await refused({ host: "192.0.2.1", port: 0 })).toBe("EADDRNOTAVAIL");
  });

  test("is one of many, each with its own bytes", async () => {
    using streams = await Streams.open(transport, echo);
    const clients = Array.from({ length: 300 }, () => streams.connect());
    for (const [at, { socket }] of clients.entries()) socket.write(`client ${at}`);
    await until(() => clients.every(({ text }, at) => text === `client ${at}`));
    for (const near of streams.accepted) near.onEnd = () => near.socket.end();
    for (const { socket } of clients) socket.end();
    await until(() => streams.accepted.every(({ closes }) => closes === 1));
    expect(streams.accepted.length).toBe(300);
  });

  test("that is open outlives the port, which takes no other", async () => {
    using streams = await Streams.open(transport, echo);
    const [, far] = await streams.pair();
    streams.listener.stop();
    const late = streams.connect();
    await until(() => late.closed);
    far.socket.write("still here");
    await until(() => far.text === "still here");
    expect(streams.accepted.length).toBe(1);
  });
}
