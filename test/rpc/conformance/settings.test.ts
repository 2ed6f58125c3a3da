/** SETTINGS: RFC 9113, sections 5.1.2 and 6.5, and the end of a server that stops, section 6.8. */
import { expect, test } from "bun:test";
import { serve } from "../../../src/rpc/server.ts";
import { Bench } from "../echo.ts";
import { court, courtly } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import * as wire from "../wire/frame.ts";
import { Peer } from "../wire/peer.ts";
import { expectConnectionError, expectStreamError, expectUnharmed } from "../wire/verdict.ts";

const concurrentStreamsMax = 3;
const { rule } = court(
  {},
  {
    limits: {
      receiveBytesMax: 2_097_152,
      sendQueueBytesMax: 262_144,
      concurrentStreamsMax,
      heldBytesMax: 2 ** 29,
    },
  },
);
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";

rule("RFC 9113 6.5: SETTINGS of a stream end the connection", async (peer) => {
  const payload = Buffer.from([0, 3, 0, 0, 0, 9]);
  peer.send(wire.frame(types.settings, 0, begin(peer, "/test.Echo/Chat"), payload));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const length of [1, 5, 7]) {
  rule(`RFC 9113 6.5: SETTINGS of ${length} octets end the connection`, async (peer) => {
    peer.send(wire.frame(types.settings, 0, 0, Buffer.alloc(length)));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  });
}

rule("RFC 9113 6.5: an acknowledgement with a payload ends the connection", async (peer) => {
  peer.send(wire.frame(types.settings, flags.acknowledge, 0, Buffer.from([0, 3, 0, 0, 0, 9])));
  await expectConnectionError(peer, "FRAME_SIZE_ERROR");
});

const invalid: readonly (readonly [string, number, number, wire.ErrorName])[] = [
  ["ENABLE_PUSH", settingIds.enablePush, 2, "PROTOCOL_ERROR"],
  ["INITIAL_WINDOW_SIZE", settingIds.initialWindowSize, 2 ** 31, "FLOW_CONTROL_ERROR"],
  ["MAX_FRAME_SIZE", settingIds.maxFrameSize, 16_383, "PROTOCOL_ERROR"],
  ["MAX_FRAME_SIZE", settingIds.maxFrameSize, 2 ** 24, "PROTOCOL_ERROR"],
];
for (const [name, id, value, error] of invalid) {
  rule(`RFC 9113 6.5.2: SETTINGS_${name} ${value} ends the connection`, async (peer) => {
    peer.send(wire.settings([settingIds.maxConcurrentStreams, 5], [id, value]));
    await expectConnectionError(peer, error);
  });
}

const valid: readonly (readonly [string, number, number])[] = [
  ["HEADER_TABLE_SIZE", settingIds.headerTableSize, 2 ** 32 - 1],
  ["ENABLE_PUSH", settingIds.enablePush, 0],
  ["ENABLE_PUSH", settingIds.enablePush, 1],
  ["MAX_CONCURRENT_STREAMS", settingIds.maxConcurrentStreams, 0],
  ["INITIAL_WINDOW_SIZE", settingIds.initialWindowSize, 2 ** 31 - 1],
  ["MAX_FRAME_SIZE", settingIds.maxFrameSize, 16_384],
  ["MAX_FRAME_SIZE", settingIds.maxFrameSize, 2 ** 24 - 1],
  ["MAX_HEADER_LIST_SIZE", settingIds.maxHeaderListSize, 2 ** 32 - 1],
];
for (const [name, id, value] of valid) {
  rule(`RFC 9113 6.5.2: SETTINGS_${name} ${value} is taken`, async (peer) => {
    peer.send(wire.settings([id, value]));
    await peer.until(() => peer.closed || peer.settled);
    expect(textsOf(await say(peer, "settled"))).toEqual(["settled"]);
  });
}

rule("RFC 9113 6.5.2: unknown settings are ignored and acknowledged", async (peer) => {
  peer.send(wire.settings([0, 1], [7, 2], [8, 1], [9, 9], [0xffff, 2 ** 32 - 1]));
  await peer.until(() => peer.closed || peer.settled);
  await expectUnharmed(peer);
});

rule("RFC 9113 6.5.3: each SETTINGS frame is acknowledged once", async (peer) => {
  const before = peer.arrived;
  for (let at = 0; at < 10; at++) peer.send(wire.settings());
  await peer.until(() => peer.closed || peer.settled);
  expect(await peer.ping()).toBe(true);
  expect(peer.arrived).toBe(before + 11);
});

rule("RFC 9113 6.5: of several values of a setting the last one counts", async (peer) => {
  const id = settingIds.initialWindowSize;
  peer.send(wire.settings([id, 0], [id, 100_000], [id, 7]));
  await peer.until(() => peer.closed || peer.settled);
  const stream = request(peer, sayPath, "seven");
  await expectUnharmed(peer, stream);
  const arrived = peer.of(stream).filter(({ type }) => type === types.data);
  expect(Buffer.concat(arrived.map(({ payload }) => payload))).toHaveLength(7);
  peer.send(wire.windowUpdate(stream, 100));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["seven"]);
});

rule("RFC 9113 6.5.2: the server tells how many streams it takes", async (peer) => {
  await peer.until(() => peer.closed || peer.settings.size > 0);
  expect(peer.settings.get(settingIds.maxConcurrentStreams)).toBe(concurrentStreamsMax);
});

rule("RFC 9113 5.1.2: a stream beyond the limit is refused, the others go on", async (peer) => {
  const waiting = [1, 2].map(() => request(peer, sayPath, "wait"));
  const open = begin(peer, "/test.Echo/Chat");
  const beyond = request(peer, sayPath, "one too many");
  await expectStreamError(peer, beyond, "REFUSED_STREAM", "PROTOCOL_ERROR");
  peer.send(wire.data(open, message("goes on"), flags.endStream));
  expect(textsOf(await answerOf(peer, open))).toEqual(["goes on"]);
  expect(textsOf(await say(peer, "room again"))).toEqual(["room again"]);
  for (const stream of waiting) peer.send(wire.resetStream(stream, "CANCEL"));
});

rule("RFC 9113 5.1.2: streams that end make room, whoever ends them", async (peer) => {
  for (let round = 0; round < 20; round++) {
    const streams = [1, 2, 3].map(() => begin(peer, "/test.Echo/Chat"));
    for (const [at, stream] of streams.entries()) {
      if (at === 0) peer.send(wire.resetStream(stream, "CANCEL"));
      else peer.send(wire.data(stream, message("x"), flags.endStream));
    }
    for (const stream of streams.slice(1)) {
      expect(textsOf(await answerOf(peer, stream))).toEqual(["x"]);
    }
  }
});

test("RFC 9113 6.8: a server that stops says GOAWAY, and ends what runs", async () => {
  const go = Promise.withResolvers<void>();
  let begun = false;
  await using bench = await Bench.open(serve, {
    ...courtly,
    say: async (request) => {
      begun = true;
      await go.promise;
      return request;
    },
  });
  await using peer = await Peer.connect(bench.server.port);
  const stream = request(peer, sayPath, "in progress");
  while (!begun) await new Promise((resolve) => setImmediate(resolve));
  const end = bench.server.stop(60_000);
  await peer.until(() => peer.closed || peer.goAway !== undefined);
  expect(peer.goAway?.error).toBe("NO_ERROR");
  expect(peer.goAway?.lastStream).toBeGreaterThanOrEqual(stream);
  go.resolve();
  expect(textsOf(await answerOf(peer, stream))).toEqual(["in progress"]);
  await peer.until(() => peer.closed);
  await end;
  expect(peer.referee.violations).toEqual([]);
});
