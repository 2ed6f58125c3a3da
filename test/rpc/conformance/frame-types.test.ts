/** Each type of frame: RFC 9113, sections 6.1 to 6.8, 6.10 and 7. */
import { expect } from "bun:test";
import { until } from "../echo.ts";
import { court } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import { blockOf, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import { expectConnectionError, expectStreamError, expectUnharmed } from "../wire/verdict.ts";

const here = court();
const { rule } = here;
const { flags, types } = wire;
const sayPath = "/test.Echo/Say";
const chat = "/test.Echo/Chat";
const block = blockOf(requestFields(sayPath));

rule("RFC 9113 6.1: DATA of stream 0 ends the connection", async (peer) => {
  peer.send(wire.data(0, message("x"), flags.endStream));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.1: padding is taken off", async (peer) => {
  const stream = begin(peer, chat);
  const bytes = message("padded");
  peer.send(
    wire.data(stream, wire.padded(bytes.subarray(0, 3), 0), flags.padded),
    wire.data(stream, wire.padded(Buffer.alloc(0), 255), flags.padded),
    wire.data(stream, wire.padded(bytes.subarray(3), 17), flags.padded | flags.endStream),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["padded"]);
});

for (const [what, payload] of [
  ["as long as the payload", wire.padded(Buffer.alloc(4), 0, 5)],
  ["longer than the payload", wire.padded(Buffer.alloc(4), 0, 200)],
] as const) {
  rule(`RFC 9113 6.1: padding ${what} ends the connection`, async (peer) => {
    peer.send(wire.data(begin(peer, chat), payload, flags.padded));
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  });
}

rule("RFC 9113 6.1: a pad length that is not there is an error", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.data(stream, Buffer.alloc(0), flags.padded));
  await expectStreamError(peer, stream, "PROTOCOL_ERROR", "FRAME_SIZE_ERROR");
});

rule("RFC 9113 6.2: HEADERS may have padding and a priority", async (peer) => {
  const signal = Buffer.concat([wire.priorityFields(0), block]);
  const variants: readonly (readonly [Buffer, number])[] = [
    [wire.padded(block, 9), flags.padded],
    [signal, flags.priority],
    [wire.padded(signal, 255), flags.padded | flags.priority],
  ];
  for (const [payload, flagBits] of variants) {
    const stream = peer.nextStream();
    peer.send(
      wire.headers(stream, payload, flagBits),
      wire.data(stream, message("padded"), flags.endStream),
    );
    expect(textsOf(await answerOf(peer, stream))).toEqual(["padded"]);
  }
});

rule("RFC 9113 6.2: HEADERS whose padding is too long end the connection", async (peer) => {
  peer.send(wire.headers(1, wire.padded(block, 0, block.length + 1), flags.padded));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const [what, payload, flagBits] of [
  ["a priority", Buffer.alloc(4), flags.priority],
  ["a pad length", Buffer.alloc(0), flags.padded],
  ["both", Buffer.alloc(5), flags.padded | flags.priority],
] as const) {
  rule(`RFC 9113 4.2: HEADERS too short for ${what} end the connection`, async (peer) => {
    peer.send(wire.headers(1, payload, flagBits));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR", "PROTOCOL_ERROR");
  });
}

rule("RFC 9113 6.2: END_STREAM may be followed by CONTINUATION", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(
    wire.data(stream, message("x")),
    wire.frame(types.headers, flags.endStream, stream, blockOf([["a", "b"]])),
    wire.frame(types.continuation, flags.endHeaders, stream, blockOf([["c", "d"]])),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["x"]);
});

rule("RFC 9113 6.3: PRIORITY of stream 0 ends the connection", async (peer) => {
  peer.send(wire.frame(types.priority, 0, 0, wire.priorityFields(1)));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const length of [0, 4, 6]) {
  rule(`RFC 9113 6.3: PRIORITY of ${length} octets is an error of its stream`, async (peer) => {
    const stream = begin(peer, chat);
    peer.send(wire.frame(types.priority, 0, stream, Buffer.alloc(length)));
    await expectStreamError(peer, stream, "FRAME_SIZE_ERROR");
  });
}

rule("RFC 9113 6.4: RST_STREAM of stream 0 ends the connection", async (peer) => {
  peer.send(wire.resetStream(0, "CANCEL"));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const length of [0, 3, 5]) {
  rule(`RFC 9113 6.4: RST_STREAM of ${length} octets ends the connection`, async (peer) => {
    const stream = begin(peer, chat);
    peer.send(wire.frame(types.resetStream, 0, stream, Buffer.alloc(length)));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  });
}

rule("RFC 9113 6.4, 7: RST_STREAM of any error ends the call", async (peer) => {
  for (const code of [...Object.values(wire.errors), 0xffff_ffff]) {
    const stream = begin(peer, chat);
    await peer.ping();
    peer.send(wire.frame(types.resetStream, 0, stream, wire.u32(code)));
    await expectUnharmed(peer, stream);
  }
  await until(() => here.bench.server.streams === 0);
});

rule("RFC 9113 6.6, 8.4: PUSH_PROMISE ends the connection", async (peer) => {
  const stream = begin(peer, chat);
  const payload = Buffer.concat([wire.u32(2), block]);
  peer.send(wire.frame(types.pushPromise, flags.endHeaders, stream, payload));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.6: so it does on stream 0", async (peer) => {
  const payload = Buffer.concat([wire.u32(2), block]);
  peer.send(wire.frame(types.pushPromise, flags.endHeaders, 0, payload));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.7: PING is answered with its own payload", async (peer) => {
  for (let at = 0; at < 10; at++) expect(await peer.ping()).toBe(true);
});

rule("RFC 9113 6.7: the answer to a PING is not answered", async (peer) => {
  const before = peer.arrived;
  peer.send(wire.ping(99, flags.acknowledge), wire.ping(98, flags.acknowledge));
  expect(await peer.ping()).toBe(true);
  expect(peer.arrived).toBe(before + 1);
});

rule("RFC 9113 6.7: PING of a stream ends the connection", async (peer) => {
  peer.send(wire.frame(types.ping, 0, begin(peer, chat), Buffer.alloc(8)));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

for (const [length, flagBits] of [
  [0, flags.none],
  [7, flags.none],
  [9, flags.none],
  [4, flags.acknowledge],
] as const) {
  rule(`RFC 9113 6.7: PING of ${length} octets ends the connection`, async (peer) => {
    peer.send(wire.frame(types.ping, flagBits, 0, Buffer.alloc(length)));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  });
}

rule("RFC 9113 6.8: GOAWAY of a stream ends the connection", async (peer) => {
  const payload = Buffer.alloc(8);
  peer.send(wire.frame(types.goAway, 0, begin(peer, chat), payload));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 4.2: GOAWAY that is too short ends the connection", async (peer) => {
  peer.send(wire.frame(types.goAway, 0, 0, Buffer.alloc(7)));
  await expectConnectionError(peer, "FRAME_SIZE_ERROR");
});

for (const error of ["NO_ERROR", "ENHANCE_YOUR_CALM"] as const) {
  rule(
    `RFC 9113 6.8: calls that run when the client says GOAWAY ${error} end well`,
    async (peer) => {
      const stream = begin(peer, chat);
      peer.send(wire.data(stream, message("before")));
      peer.send(wire.goAway(0, error, "debug data of any kind"));
      peer.send(wire.data(stream, message("after"), flags.endStream));
      expect(textsOf(await answerOf(peer, stream))).toEqual(["before", "after"]);
    },
  );
}

rule("RFC 9113 7: GOAWAY of an unknown error is no error", async (peer) => {
  const stream = request(peer, sayPath, "unknown");
  const payload = Buffer.concat([wire.u32(0), wire.u32(0xabcd)]);
  peer.send(wire.frame(types.goAway, 0, 0, payload));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["unknown"]);
});

rule("RFC 9113 6.10: a field block may come in many fragments, empty ones too", async (peer) => {
  const stream = peer.nextStream();
  const fragments = Array.from(block, (byte) => Buffer.from([byte]));
  peer.send(
    wire.frame(types.headers, 0, stream),
    wire.frame(types.continuation, 0, stream),
    wire.frame(types.continuation, 0, stream, block.subarray(0, -5)),
    ...fragments.slice(-5).map((byte) => wire.frame(types.continuation, 0, stream, byte)),
    wire.frame(types.continuation, flags.endHeaders, stream),
    wire.data(stream, message("pieces"), flags.endStream),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["pieces"]);
});

rule("RFC 9113 6.10: CONTINUATION of stream 0 ends the connection", async (peer) => {
  peer.send(wire.frame(types.headers, 0, 1, block), wire.frame(types.continuation, 4, 0));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.10: CONTINUATION behind a whole field block ends the connection", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.frame(types.continuation, flags.endHeaders, stream, blockOf([["a", "b"]])));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 6.10: CONTINUATION behind DATA ends the connection", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.data(stream, message("x")));
  peer.send(wire.frame(types.continuation, flags.endHeaders, stream, blockOf([["a", "b"]])));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule(
  "RFC 9113 6.10: CONTINUATION behind the last CONTINUATION ends the connection",
  async (peer) => {
    const more = wire.frame(types.continuation, flags.endHeaders, 1, blockOf([["a", "b"]]));
    peer.send(wire.frame(types.headers, 0, 1, block), more, more);
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  },
);

rule("RFC 9113 6.10: CONTINUATION with no HEADERS before it ends the connection", async (peer) => {
  await say(peer, "stream 1 is over");
  peer.send(wire.frame(types.continuation, flags.endHeaders, 1, blockOf([["a", "b"]])));
  await expectConnectionError(peer, "PROTOCOL_ERROR", "STREAM_CLOSED");
});
