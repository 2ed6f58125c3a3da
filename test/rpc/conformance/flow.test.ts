/** Flow control: RFC 9113, sections 5.2 and 6.9. */
import { expect } from "bun:test";
import { aborted } from "../echo.ts";
import { court } from "../wire/court.ts";
import { answerOf, begin, message, messagesIn, request, say, textsOf } from "../wire/exchange.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import {
  expectConnectionError,
  expectStreamError,
  expectUnharmed,
  fateOf,
} from "../wire/verdict.ts";

/** A server whose Chat reads nothing, and whose List reads and answers nothing but a total. */
const here = court({
  chat: async (stream) => aborted(stream.signal),
  list: async (stream) => {
    let total = 0;
    for await (const { text } of stream.requests) total += text.length;
    stream.send({ text: `${total}` });
  },
});
const { rule } = here;
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";
const chat = "/test.Echo/Chat";
const initial = 65_535;

/** How many bytes of DATA have arrived on a stream. */
function received(peer: Peer, stream: number): number {
  const frames = peer.of(stream).filter(({ type }) => type === types.data);
  return frames.reduce((sum, { payload }) => sum + payload.length, 0);
}

rule(
  "RFC 9113 5.2.1: a response stops where the windows end, and goes on with them",
  async (peer) => {
    const stream = request(peer, sayPath, "bytes 200000");
    await peer.until(() => peer.closed || received(peer, stream) === initial);
    await expectUnharmed(peer, stream);
    expect(received(peer, stream)).toBe(initial);
    peer.send(wire.windowUpdate(0, 50_000));
    await expectUnharmed(peer, stream);
    expect(received(peer, stream)).toBe(initial);
    peer.send(wire.windowUpdate(stream, 30_000));
    await peer.until(() => peer.closed || received(peer, stream) === initial + 30_000);
    peer.send(wire.windowUpdate(stream, 1_000_000), wire.windowUpdate(0, 1_000_000));
    expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(200_000);
  },
);

rule(
  "RFC 9113 6.9.1: a window of one octet is used, octet by octet",
  async (peer) => {
    const stream = request(peer, sayPath, "hi");
    for (let sent = 1; sent <= 7; sent++) {
      await peer.until(() => peer.closed || received(peer, stream) === sent);
      if (sent < 7) peer.send(wire.windowUpdate(stream, 1));
    }
    expect(textsOf(await answerOf(peer, stream))).toEqual(["hi"]);
  },
  { settings: [[settingIds.initialWindowSize, 1]] },
);

rule(
  "RFC 9113 5.2.1: frames other than DATA need no window",
  async (peer) => {
    const failed = await answerOf(peer, request(peer, "/test.Echo/Shout", ""));
    expect(failed.trailers["grpc-status"]).toBe("12");
    const stream = request(peer, sayPath, "held back");
    await expectUnharmed(peer, stream);
    expect(received(peer, stream)).toBe(0);
    peer.send(wire.windowUpdate(stream, 100));
    expect(textsOf(await answerOf(peer, stream))).toEqual(["held back"]);
  },
  { settings: [[settingIds.initialWindowSize, 0]] },
);

rule("RFC 9113 6.9.1: an empty DATA frame that ends a stream needs no window", async (peer) => {
  const stream = begin(peer, "/test.Echo/List");
  const length = peer.windowOf(stream) - 5;
  await peer.upload(stream, message("x".repeat(length)), false);
  peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual([`${length}`]);
});

rule("RFC 9113 6.9: an increment of 0 is an error of its stream", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.windowUpdate(stream, 0));
  await expectStreamError(peer, stream, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.9: an increment of 0 for the connection ends it", async (peer) => {
  peer.send(wire.windowUpdate(0, 0));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const length of [0, 3, 5, 8]) {
  rule(`RFC 9113 6.9: WINDOW_UPDATE of ${length} octets ends the connection`, async (peer) => {
    const stream = begin(peer, chat);
    const target = length === 5 ? stream : 0;
    peer.send(wire.frame(types.windowUpdate, 0, target, Buffer.alloc(length, 1)));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  });
}

rule("RFC 9113 6.9: the reserved bit of an increment is ignored", async (peer) => {
  const stream = request(peer, sayPath, "bytes 70000");
  peer.send(wire.windowUpdate(0, 2 ** 31 + 10_000), wire.windowUpdate(stream, 2 ** 31 + 10_000));
  expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(70_000);
});

rule("RFC 9113 6.9.1: a connection window above 2^31-1 ends the connection", async (peer) => {
  peer.send(wire.windowUpdate(0, wire.windowMax));
  await expectConnectionError(peer, "FLOW_CONTROL_ERROR");
});

rule("RFC 9113 6.9.1: so it does in several steps", async (peer) => {
  const half = 2 ** 30;
  peer.send(wire.windowUpdate(0, half), wire.windowUpdate(0, half - 1 - initial));
  await expectUnharmed(peer);
  peer.send(wire.windowUpdate(0, 1));
  await expectConnectionError(peer, "FLOW_CONTROL_ERROR");
});

rule("RFC 9113 6.9.1: a stream's window above 2^31-1 is an error of the stream", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.windowUpdate(stream, wire.windowMax - initial));
  await expectUnharmed(peer, stream);
  peer.send(wire.windowUpdate(stream, 1));
  await expectStreamError(peer, stream, "FLOW_CONTROL_ERROR");
});

rule(
  "RFC 9113 6.9.2: a larger initial window opens streams that wait",
  async (peer) => {
    const stream = request(peer, sayPath, "wait for more");
    await expectUnharmed(peer, stream);
    expect(received(peer, stream)).toBe(3);
    peer.send(wire.settings([settingIds.initialWindowSize, 10]));
    await peer.until(() => peer.closed || received(peer, stream) === 10);
    peer.send(wire.settings([settingIds.initialWindowSize, initial]));
    expect(textsOf(await answerOf(peer, stream))).toEqual(["wait for more"]);
  },
  { settings: [[settingIds.initialWindowSize, 3]] },
);

rule("RFC 9113 6.9.2: a window can become negative, and is earned back", async (peer) => {
  peer.send(wire.windowUpdate(0, 1_000_000));
  const stream = request(peer, sayPath, "bytes 100000");
  await peer.until(() => peer.closed || received(peer, stream) === initial);
  peer.send(wire.settings([settingIds.initialWindowSize, 1000]));
  await peer.until(() => peer.closed || peer.settled);
  peer.send(wire.windowUpdate(stream, initial - 1000));
  await expectUnharmed(peer, stream);
  expect(received(peer, stream)).toBe(initial);
  peer.send(wire.windowUpdate(stream, 7));
  await peer.until(() => peer.closed || received(peer, stream) === initial + 7);
  await expectUnharmed(peer, stream);
  expect(received(peer, stream)).toBe(initial + 7);
  peer.send(wire.windowUpdate(stream, 100_000));
  expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(100_000);
});

rule(
  "RFC 9113 6.9.2: SETTINGS do not change the connection's window",
  async (peer) => {
    const stream = request(peer, sayPath, "bytes 100000");
    await peer.until(() => peer.closed || received(peer, stream) === initial);
    peer.send(wire.settings([settingIds.initialWindowSize, wire.windowMax - 1]));
    await expectUnharmed(peer, stream);
    expect(received(peer, stream)).toBe(initial);
    peer.send(wire.windowUpdate(0, initial));
    expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(100_000);
  },
  { settings: [[settingIds.initialWindowSize, 2 ** 30]] },
);

rule(
  "RFC 9113 6.9.2: an initial window that makes a stream's too large ends the connection",
  async (peer) => {
    const stream = begin(peer, chat);
    peer.send(wire.windowUpdate(stream, wire.windowMax - initial));
    peer.send(wire.settings([settingIds.initialWindowSize, initial + 1]));
    await expectConnectionError(peer, "FLOW_CONTROL_ERROR");
  },
);

rule("RFC 9113 5.2: streams share the connection's window, and each gets some", async (peer) => {
  const streams = Array.from({ length: 8 }, () => request(peer, sayPath, "bytes 40000"));
  const total = () => streams.reduce((sum, stream) => sum + received(peer, stream), 0);
  await peer.until(() => peer.closed || total() === initial);
  await expectUnharmed(peer);
  peer.send(wire.windowUpdate(0, 8 * 40_005 + 100 - initial));
  for (const stream of streams) {
    expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(40_000);
  }
});

rule("RFC 9113 6.9.1: more DATA than a stream's window is an error", async (peer) => {
  const stream = begin(peer, chat);
  const chunk = Buffer.alloc(16_384);
  let left = peer.windowOf(stream) + chunk.length;
  for (; left > 0 && !peer.closed && peer.resetOf(stream) === undefined; left -= chunk.length) {
    await peer.until(
      () => peer.closed || peer.windowOf(0) >= chunk.length || left < 2 * chunk.length,
    );
    peer.send(wire.data(stream, chunk.subarray(0, Math.min(left, chunk.length))));
  }
  // A server may open the windows before they are used up, for a handler that reads nothing, too.
  for (let more = 0; more < 1000 && (await fateOf(peer, stream)) === "nothing"; more++) {
    peer.send(wire.data(stream, chunk));
  }
  await expectStreamError(peer, stream, "FLOW_CONTROL_ERROR");
});

rule("RFC 9113 6.9: an upload of many windows goes through", async (peer) => {
  const stream = begin(peer, "/test.Echo/List");
  const text = message("x".repeat(100_000));
  for (let at = 0; at < 50; at++) await peer.upload(stream, text, false);
  peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["5000000"]);
});

rule("RFC 9113 6.1: padding counts, and its window comes back", async (peer) => {
  const stream = begin(peer, "/test.Echo/List");
  const text = message("x".repeat(9_000));
  for (let at = 0; at < text.length; at++) {
    const room = () => Math.min(peer.windowOf(0), peer.windowOf(stream));
    await peer.until(() => peer.closed || room() >= 257);
    peer.send(wire.data(stream, wire.padded(text.subarray(at, at + 1), 255), flags.padded));
  }
  peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["9000"]);
});

rule("RFC 9113 5.2.2: a handler that reads nothing holds up nobody else", async (peer) => {
  const stuck = begin(peer, chat);
  const chunk = message("x".repeat(16_000));
  while (peer.windowOf(stuck) > chunk.length && peer.windowOf(0) > 2 * chunk.length) {
    await peer.upload(stuck, chunk, false);
  }
  expect(textsOf(await say(peer, "others are read"))).toEqual(["others are read"]);
  expect(messagesIn(peer.of(stuck))).toEqual([]);
});
