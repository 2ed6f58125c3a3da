/** Clients for whom more is kept than there is memory set aside for: they go, and nobody else does. */
import { expect } from "bun:test";
import zlib from "node:zlib";
import { answerOf, begin, message, request, textsOf } from "../wire/exchange.ts";
import { blockOf, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { siege } from "./siege.ts";

const mebibyte = 2 ** 20;
const { attack } = siege({
  receiveBytesMax: 2_097_152,
  sendQueueBytesMax: 4 * mebibyte,
  concurrentStreamsMax: 100_000,
  heldBytesMax: 32 * mebibyte,
});
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";
/** More than is kept by far, and less than what would be used without a limit. */
const bounds = { growth: 128, peak: 192 };

/** 2,000,000 bytes in 2 KB. */
const bomb = message(zlib.gzipSync(Buffer.alloc(2_000_000), { level: 9 }), 1);
const gzip = [["grpc-encoding", "gzip"]] as const;

/** A stream whose handler reads one message, and no more. */
function deafStream(peer: Peer, more: readonly (readonly [string, string])[] = []): number {
  const stream = begin(peer, chatPath, more);
  peer.send(wire.data(stream, message("deaf")));
  return stream;
}

attack(
  "compressed messages that nobody reads count as what they are inflated",
  async ({ connect }) => {
    const peer = await connect();
    const stream = deafStream(peer, gzip);
    for (let at = 0; at < 200 && !peer.closed; at++) {
      peer.send(wire.data(stream, bomb));
      await peer.ping();
    }
    expect(peer.closed).toBe(true);
  },
  bounds,
);

attack(
  "compressed messages that nobody reads, fewer than there is memory for",
  async ({ connect }) => {
    const peer = await connect();
    const stream = deafStream(peer, gzip);
    for (let at = 0; at < 10; at++) peer.send(wire.data(stream, bomb));
    expect(await peer.ping()).toBe(true);
  },
  bounds,
);

attack(
  "messages of no bytes that nobody reads count as what they take",
  async ({ connect }) => {
    const peer = await connect();
    const empties = Buffer.alloc(16_380);
    for (let at = 0; at < 20 && !peer.closed; at++) {
      const stream = deafStream(peer);
      for (let sent = 0; sent < 60 && !peer.closed; sent++) {
        await peer.until(() => peer.closed || peer.windowOf(0) > empties.length);
        peer.send(wire.data(stream, empties));
      }
      await peer.ping();
    }
    expect(peer.closed).toBe(true);
  },
  bounds,
);

attack(
  "what comes behind the request of a unary call is not even inflated",
  async ({ connect }) => {
    const peer = await connect();
    const stream = begin(peer, sayPath, gzip);
    peer.send(wire.data(stream, message("asked")));
    const torn = message(Buffer.from("no gzip at all"), 1);
    for (const behind of [bomb, torn, Buffer.from([2, 255, 255, 255, 255])]) {
      peer.send(wire.data(stream, behind));
    }
    peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
    const answer = await answerOf(peer, stream);
    expect([answer.trailers["grpc-status"], ...textsOf(answer)]).toEqual(["0", "asked"]);
  },
);

attack("as much as one likes may come behind it: it is given back", async ({ connect }) => {
  const peer = await connect();
  const stream = begin(peer, sayPath);
  peer.send(wire.data(stream, message("asked")));
  await peer.upload(stream, Buffer.alloc(8 * mebibyte), true);
  expect(textsOf(await answerOf(peer, stream))).toEqual(["asked"]);
});

/** Opens a call with 60 KB of metadata that waits for its message. */
function beginLarge(peer: Peer): void {
  const stream = peer.nextStream();
  const more = ["a", "b", "c", "d"].map((name) => [name, "x".repeat(15_000)] as const);
  const block = blockOf(requestFields(sayPath, more));
  for (let from = 0; from < block.length; from += 16_384) {
    const type = from === 0 ? types.headers : types.continuation;
    const isLast = from + 16_384 >= block.length;
    const part = block.subarray(from, from + 16_384);
    peer.send(wire.frame(type, isLast ? flags.endHeaders : 0, stream, part));
  }
}

attack(
  "metadata of calls that wait counts",
  async ({ connect }) => {
    const peer = await connect();
    for (let at = 0; at < 2000 && !peer.closed; at++) {
      beginLarge(peer);
      if (at % 50 === 0) await peer.ping();
    }
    await peer.ping();
    expect(peer.closed).toBe(true);
  },
  bounds,
);

attack(
  "metadata of calls that are over counts no more",
  async ({ connect }) => {
    const peer = await connect();
    for (let at = 0; at < 1000; at++) {
      beginLarge(peer);
      peer.send(wire.resetStream(2 * at + 1, "CANCEL"));
      if (at % 50 === 0) await peer.ping();
    }
    expect(await peer.ping()).toBe(true);
  },
  bounds,
);

attack(
  "80,000 messages in wait for a client without a window keep nobody else waiting",
  async ({ connect, victim }) => {
    const peer = await connect({ settings: [[settingIds.initialWindowSize, 0]] });
    const stream = begin(peer, chatPath);
    peer.send(wire.data(stream, message("drizzle 80000")));
    expect(await peer.ping()).toBe(true);
    const other = await victim.connect();
    for (let at = 0; at < 100; at++) {
      const answer = await answerOf(other, request(other, sayPath, `question ${at}`));
      expect(textsOf(answer)).toEqual([`question ${at}`]);
    }
    other.destroy();
    peer.send(wire.windowUpdate(0, wire.windowMax - 65_535), wire.windowUpdate(stream, 2 ** 30));
    peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
    const { messages, trailers } = await answerOf(peer, stream);
    expect(trailers["grpc-status"]).toBe("0");
    expect(messages.length).toBe(80_001);
  },
);
