/** What comes when it is over: streams behind the last, handlers that have failed. */
import { expect, test } from "bun:test";
import { serve } from "../../src/rpc/server.ts";
import { codes } from "../../src/rpc/status.ts";
import { Bench, refusal } from "./echo.ts";
import { type Answer, answerOf, begin, message, request, textsOf } from "./wire/exchange.ts";
import * as wire from "./wire/frame.ts";
import { Peer } from "./wire/peer.ts";

const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";

function statusOf({ trailers }: Answer): number {
  return Number(trailers["grpc-status"]);
}

/** A server that stops while a call is in progress, and the client that has read its last GOAWAY. */
async function stopping(): Promise<{ bench: Bench; peer: Peer; slow: number; go: () => void }> {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  const bench = await Bench.open(serve, { say: (asked) => gate.then(() => asked) });
  const peer = await Peer.connect(bench.server.port);
  const slow = request(peer, sayPath, "slow");
  await peer.ping();
  void bench.server.stop(60_000);
  await peer.until(() => peer.goAway?.lastStream === slow);
  return { bench, peer, slow, go };
}

const sequels: readonly (readonly [string, (peer: Peer, stream: number) => void])[] = [
  ["nothing", () => undefined],
  ["its message", (peer, id) => peer.send(wire.data(id, message("x"), wire.flags.endStream))],
  ["RST_STREAM", (peer, id) => peer.send(wire.resetStream(id, "CANCEL"))],
  ["WINDOW_UPDATE", (peer, id) => peer.send(wire.windowUpdate(id, 1000))],
  ["trailers", (peer, id) => peer.send(wire.headers(id, Buffer.alloc(0), wire.flags.endStream))],
];

for (const [what, follow] of sequels) {
  test(`a stream behind the last is refused, and harms none, where ${what} follows`, async () => {
    const { bench, go, peer, slow } = await stopping();
    await using _ = peer;
    const late = begin(peer, sayPath);
    follow(peer, late);
    expect(await peer.ping()).toBe(true);
    expect(peer.resetOf(late)).toBe("REFUSED_STREAM");
    expect(peer.goAway).toEqual({ lastStream: slow, error: "NO_ERROR" });
    go();
    const answer = await answerOf(peer, slow);
    expect([statusOf(answer), ...textsOf(answer)]).toEqual([codes.ok, "slow"]);
    await peer.until(() => peer.closed);
    await bench[Symbol.asyncDispose]();
    expect(bench.logged).toEqual([]);
  });
}

test("many streams behind the last are refused, each of them", async () => {
  const { bench, go, peer, slow } = await stopping();
  await using _ = peer;
  const late = Array.from({ length: 100 }, () => request(peer, sayPath, "late"));
  await peer.ping();
  expect(new Set(late.map((stream) => peer.resetOf(stream)))).toEqual(new Set(["REFUSED_STREAM"]));
  go();
  expect(statusOf(await answerOf(peer, slow))).toBe(codes.ok);
  await bench[Symbol.asyncDispose]();
});

test("a stream that was not begun is an error behind the last one, too", async () => {
  const { bench, go, peer } = await stopping();
  await using _ = peer;
  peer.send(wire.data(peer.nextStream(), message("x")));
  await peer.until(() => peer.closed);
  expect(peer.goAway?.error).toBe("PROTOCOL_ERROR");
  go();
  await bench[Symbol.asyncDispose]();
});

for (const [what, error, code] of [
  ["breaks", new Error("broken"), codes.internal],
  ["refuses", refusal("no"), codes.notFound],
] as const) {
  test(`what a streaming handler has set off ends when it ${what}`, async () => {
    let signal: AbortSignal | undefined;
    await using bench = await Bench.open(serve, {
      async chat(stream) {
        ({ signal } = stream);
        while (stream.writable) stream.send({ text: "x".repeat(10_000) });
        for await (const _ of stream.requests) throw error;
      },
    });
    await using peer = await Peer.connect(bench.server.port);
    const stream = begin(peer, chatPath);
    peer.send(wire.data(stream, message("fail")));
    await peer.ping();
    expect(signal?.aborted).toBe(true);
    peer.send(wire.windowUpdate(0, 2 ** 20), wire.windowUpdate(stream, 2 ** 20));
    const answer = await answerOf(peer, stream);
    expect(statusOf(answer)).toBe(code);
    expect(answer.messages.length).toBeGreaterThan(25);
    expect(bench.server.streams).toBe(0);
  });
}

test("a streaming handler that ends well aborts nothing", async () => {
  let signal: AbortSignal | undefined;
  await using bench = await Bench.open(serve, {
    chat(stream) {
      ({ signal } = stream);
      stream.send({ text: "only" });
      return Promise.resolve();
    },
  });
  await using peer = await Peer.connect(bench.server.port);
  const answer = await answerOf(peer, begin(peer, chatPath));
  expect([statusOf(answer), ...textsOf(answer)]).toEqual([codes.ok, "only"]);
  expect(signal?.aborted).toBe(false);
});
