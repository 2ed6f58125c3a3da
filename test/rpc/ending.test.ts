/** How connections end: those that end well, those that fail, those that cannot go on. */
import { expect, test } from "bun:test";
import { ok } from "../../src/rpc/status.ts";
import { responseHead, trailersOf } from "../../src/rpc/trailers.ts";
import { FarEnd } from "./far-end.ts";
import * as wire from "./wire/frame.ts";

const trailers = trailersOf(ok);

const endings: readonly (readonly [string, (far: FarEnd) => void])[] = [
  ["whose client has closed its half", ({ connection }) => connection.end()],
  ["whose client has sent GOAWAY", (far) => far.send(wire.goAway(0, "NO_ERROR"))],
  [
    "that the server shuts down",
    (far) => {
      far.connection.shutDown();
      far.send(wire.frame(wire.types.ping, wire.flags.acknowledge, 0, Buffer.from("go away!")));
    },
  ],
];

for (const [which, end] of endings) {
  test(`a connection ${which} waits for a client that takes its answer slowly`, async () => {
    const far = new FarEnd();
    const stream = far.ask();
    await far.settled();
    far.socket.room = 1000;
    stream.answer(responseHead, new Uint8Array(60_000), trailers);
    end(far);
    await far.settled();
    for (let second = 0; second < 9; second++) far.pass(1000);
    expect(far.socket.isDestroyed).toBe(false);
    expect(far.socket.isEnded).toBe(false);
    await far.take();
    expect(far.dataOf(stream)).toBe(60_000);
    expect(far.hasEnd(stream)).toBe(true);
    expect(far.socket.isEnded).toBe(true);
  });

  test(`a connection ${which} does not wait for ever`, async () => {
    const far = new FarEnd();
    const stream = far.ask();
    await far.settled();
    far.socket.room = 1000;
    stream.answer(responseHead, new Uint8Array(60_000), trailers);
    end(far);
    await far.settled();
    far.pass(60_000);
    expect(far.socket.isDestroyed).toBe(true);
  });

  test(`a connection ${which} ends when its last call does`, async () => {
    const far = new FarEnd();
    const stream = far.ask();
    end(far);
    await far.settled();
    expect(far.socket.isEnded).toBe(false);
    stream.answer(responseHead, new Uint8Array(10), trailers);
    await far.settled();
    expect(far.hasEnd(stream)).toBe(true);
    expect(far.socket.isEnded).toBe(true);
  });
}

test("a connection that has failed is not waited for so long", async () => {
  const far = new FarEnd();
  await far.settled();
  far.socket.room = 0;
  far.send(wire.frame(wire.types.ping, 0, 1, Buffer.alloc(8)));
  await far.settled();
  far.pass(1000);
  expect(far.socket.isDestroyed).toBe(true);
});

test("a client that takes all, and does not close its end, is not waited for", async () => {
  const far = new FarEnd();
  far.send(wire.goAway(0, "NO_ERROR"));
  await far.settled();
  expect(far.socket.isEnded).toBe(true);
  far.pass(60_000);
  expect(far.socket.isDestroyed).toBe(true);
});

/** Of 65,535 bytes that the client takes, these two answers want more. */
for (const lengths of [
  [32_868, 32_767],
  [32_867, 32_768],
  [40_000, 40_000],
  [65_535, 1],
  [1, 65_535],
] as const) {
  const [first, second] = lengths;
  const what = `answers of ${first} and ${second} bytes, of which a closed half's window takes one`;

  test(`${what}, do not keep the connection: answered later`, async () => {
    const far = new FarEnd();
    const streams = [far.ask(), far.ask()];
    far.connection.end();
    for (const [at, stream] of streams.entries()) {
      stream.answer(responseHead, new Uint8Array(lengths[at] ?? 0), trailers);
    }
    await far.take();
    expect(far.socket.isEnded).toBe(true);
    expect(far.frames().filter(({ type }) => type === wire.types.data).length).toBeGreaterThan(0);
  });

  test(`${what}, do not keep the connection: answered before`, async () => {
    const far = new FarEnd();
    const streams = [far.ask(), far.ask()];
    for (const [at, stream] of streams.entries()) {
      stream.answer(responseHead, new Uint8Array(lengths[at] ?? 0), trailers);
    }
    far.connection.end();
    await far.take();
    expect(far.socket.isEnded).toBe(true);
  });
}

test("what the windows of a closed half take is delivered", async () => {
  const far = new FarEnd();
  const streams = [far.ask(), far.ask()];
  far.connection.end();
  for (const stream of streams) stream.answer(responseHead, new Uint8Array(32_767), trailers);
  await far.take();
  expect(streams.map((stream) => far.dataOf(stream))).toEqual([32_767, 32_767]);
  expect(streams.every((stream) => far.hasEnd(stream))).toBe(true);
  expect(far.socket.isEnded).toBe(true);
});

/** Counts how often anybody asks how long it is. */
class Looked extends Uint8Array {
  static looks = 0;

  override get length(): number {
    Looked.looks++;
    return super.length;
  }
}

test("to queue a message costs the same however many are queued, and so does to send it", async () => {
  const count = 10_000;
  const far = new FarEnd();
  far.send(wire.settings([wire.settingIds.initialWindowSize, 0]));
  const stream = far.ask();
  Looked.looks = 0;
  let taken = 0;
  stream.respond(responseHead, false);
  for (let at = 0; at < count; at++) stream.write(new Looked(6), () => taken++);
  expect(Looked.looks / count).toBeLessThan(20);
  expect(taken).toBe(0);
  far.send(wire.windowUpdate(stream.id, 6 * count));
  for (let turn = 0; taken < count && turn < count; turn++) await far.take();
  expect(taken).toBe(count);
  expect(Looked.looks / count).toBeLessThan(60);
});
