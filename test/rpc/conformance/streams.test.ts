/** The life of streams: RFC 9113, sections 5.1 and 5.4. */
import { expect } from "bun:test";
import { court } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import { blockOf, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import {
  expectConnectionError,
  expectMalformed,
  expectStreamError,
  expectUnharmed,
  fateOf,
} from "../wire/verdict.ts";

const here = court();
const { rule } = here;
const { flags, types } = wire;
const sayPath = "/test.Echo/Say";
const block = blockOf(requestFields(sayPath));
const chat = "/test.Echo/Chat";

const idle: readonly (readonly [string, Buffer])[] = [
  ["DATA", wire.data(1, Buffer.from("x"))],
  ["RST_STREAM", wire.resetStream(1, "CANCEL")],
  ["WINDOW_UPDATE", wire.windowUpdate(1, 100)],
  ["CONTINUATION", wire.frame(types.continuation, flags.endHeaders, 1, block)],
];
for (const [what, frame] of idle) {
  rule(`RFC 9113 5.1: ${what} of an idle stream ends the connection`, async (peer) => {
    peer.send(frame);
    await expectConnectionError(peer, "PROTOCOL_ERROR", "STREAM_CLOSED");
  });
}

rule("RFC 9113 5.1: PRIORITY of an idle stream opens nothing", async (peer) => {
  peer.send(wire.frame(types.priority, 0, 9, wire.priorityFields(7)));
  expect(textsOf(await say(peer, "stream 1 is still to be had"))).toHaveLength(1);
});

for (const [what, frame] of [
  ["HEADERS", wire.headers(2, block)],
  ["DATA", wire.data(2, Buffer.from("x"))],
  ["RST_STREAM", wire.resetStream(2, "CANCEL")],
  ["WINDOW_UPDATE", wire.windowUpdate(2, 1)],
] as const) {
  rule(
    `RFC 9113 5.1: ${what} of a stream that is the server's ends the connection`,
    async (peer) => {
      await say(peer, "stream 3 comes next");
      peer.nextStream();
      await say(peer, "and 2 is below it");
      peer.send(frame);
      await expectConnectionError(peer, "PROTOCOL_ERROR");
    },
  );
}

for (const [what, frame] of [
  ["WINDOW_UPDATE", (stream: number) => wire.windowUpdate(stream, 10)],
  ["PRIORITY", (stream: number) => wire.frame(types.priority, 0, stream, wire.priorityFields(0))],
] as const) {
  rule(`RFC 9113 5.1: ${what} of a half-closed stream is no error`, async (peer) => {
    const stream = request(peer, sayPath, "wait");
    peer.send(frame(stream));
    await expectUnharmed(peer, stream);
  });
}

rule("RFC 9113 5.1: RST_STREAM of a half-closed stream ends it", async (peer) => {
  const stream = request(peer, sayPath, "wait");
  peer.send(wire.resetStream(stream, "CANCEL"));
  await expectUnharmed(peer, stream);
  expect(peer.of(stream).filter(({ type }) => type !== types.windowUpdate)).toEqual([]);
});

for (const [what, frame] of [
  ["DATA", (stream: number) => wire.data(stream, Buffer.from("x"))],
  ["HEADERS", (stream: number) => wire.headers(stream, block, flags.endStream)],
] as const) {
  rule(`RFC 9113 5.1: ${what} of a half-closed stream is an error of the stream`, async (peer) => {
    const stream = request(peer, sayPath, "wait");
    peer.send(frame(stream));
    await expectStreamError(peer, stream, "STREAM_CLOSED");
  });
}

rule("RFC 9113 5.1: CONTINUATION of a half-closed stream ends the connection", async (peer) => {
  const stream = request(peer, sayPath, "wait");
  peer.send(wire.frame(types.continuation, flags.endHeaders, stream, block));
  await expectConnectionError(peer, "PROTOCOL_ERROR", "STREAM_CLOSED");
});

/** The ways a stream comes to its end. */
const endings: readonly (readonly [string, (peer: Peer) => number | Promise<number>])[] = [
  [
    "that both sides have ended",
    async (peer) => {
      const stream = request(peer, sayPath, "over");
      await answerOf(peer, stream);
      return stream;
    },
  ],
  [
    "that the client has reset",
    (peer) => {
      const stream = begin(peer, chat);
      peer.send(wire.resetStream(stream, "CANCEL"));
      return stream;
    },
  ],
];
for (const [how, end] of endings) {
  for (const [what, frame] of [
    ["WINDOW_UPDATE", (stream: number) => wire.windowUpdate(stream, 10)],
    ["RST_STREAM", (stream: number) => wire.resetStream(stream, "NO_ERROR")],
    ["PRIORITY", (stream: number) => wire.frame(types.priority, 0, stream, wire.priorityFields(0))],
  ] as const) {
    rule(`RFC 9113 5.1: ${what} of a stream ${how} is no error`, async (peer) => {
      const stream = await end(peer);
      const before = peer.of(stream).length;
      peer.send(frame(stream));
      await expectUnharmed(peer);
      expect(peer.of(stream)).toHaveLength(before);
    });
  }

  rule(`RFC 9113 5.1: DATA of a stream ${how} is discarded or an error`, async (peer) => {
    const stream = await end(peer);
    peer.send(wire.data(stream, Buffer.from("x")));
    const fate = await fateOf(peer, stream);
    const discarded = ["nothing", ":status 200"];
    expect([...discarded, "RST_STREAM STREAM_CLOSED", "GOAWAY STREAM_CLOSED"]).toContain(fate);
  });

  rule(`RFC 9113 5.1: HEADERS of a stream ${how} are discarded or an error`, async (peer) => {
    const stream = await end(peer);
    const answers = peer.of(stream).length;
    peer.send(wire.headers(stream, block, flags.endStream));
    const fate = await fateOf(peer, stream);
    const allowed = ["nothing", ":status 200", "RST_STREAM STREAM_CLOSED", "GOAWAY STREAM_CLOSED"];
    expect([...allowed, "GOAWAY PROTOCOL_ERROR"]).toContain(fate);
    expect(
      peer
        .of(stream)
        .slice(answers)
        .map(({ type }) => type),
    ).not.toContain(types.headers);
  });

  rule(`RFC 9113 5.1: CONTINUATION of a stream ${how} ends the connection`, async (peer) => {
    const stream = await end(peer);
    peer.send(wire.frame(types.continuation, flags.endHeaders, stream, block));
    await expectConnectionError(peer, "PROTOCOL_ERROR", "STREAM_CLOSED");
  });
}

rule(
  "RFC 9113 5.1: DATA that is discarded comes back as window of the connection",
  async (peer) => {
    const chunk = Buffer.alloc(16_384);
    let left = peer.windowOf(0) + 20 * chunk.length;
    while (left > 0 && !peer.closed) {
      const stream = peer.open(requestFields(chat, [["BAD", "name"]]));
      for (let at = 0; at < 32 && left > 0; at++) {
        await peer.until(() => peer.closed || peer.windowOf(0) >= chunk.length);
        peer.send(wire.data(stream, chunk));
        left -= chunk.length;
      }
      await peer.ping();
    }
    await expectUnharmed(peer);
  },
);

rule(
  "RFC 9113 5.1.1: a stream identifier below one that was used ends the connection",
  async (peer) => {
    await answerOf(peer, request(peer, sayPath, "1"));
    peer.send(wire.headers(7, block), wire.headers(5, block));
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  },
);

rule("RFC 9113 5.1.1: a stream identifier that is skipped is closed", async (peer) => {
  peer.send(wire.headers(5, block), wire.data(3, Buffer.from("x")));
  const fate = await fateOf(peer, 3);
  expect(fate).toMatch(/^(nothing|closed|(RST_STREAM|GOAWAY) (STREAM_CLOSED|PROTOCOL_ERROR))$/);
});

rule("RFC 9113 5.1.1: HEADERS of stream 0 end the connection", async (peer) => {
  peer.send(wire.headers(0, block));
  await expectConnectionError(peer, "PROTOCOL_ERROR");
});

rule("RFC 9113 5.1.1: the last identifier there is can be used", async (peer) => {
  peer.send(
    wire.headers(wire.windowMax, block),
    wire.data(wire.windowMax, message("last"), flags.endStream),
  );
  expect(textsOf(await answerOf(peer, wire.windowMax))).toEqual(["last"]);
});

rule("RFC 9113 5.3: priorities are taken and change nothing", async (peer) => {
  const stream = peer.nextStream();
  const fields = wire.priorityFields(2 ** 31 + 5, 255);
  peer.send(
    wire.headers(stream, Buffer.concat([fields, block]), flags.priority),
    wire.frame(types.priority, 0, stream, wire.priorityFields(0, 0)),
    wire.frame(types.priority, 0, stream + 100, wire.priorityFields(stream, 1)),
    wire.data(stream, message("first come"), flags.endStream),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["first come"]);
});

rule("RFC 9113 5.4.1: GOAWAY names the newest stream that may have been handled", async (peer) => {
  await say(peer, "stream 1");
  begin(peer, chat);
  peer.send(wire.frame(types.ping, 0, 0, Buffer.alloc(3)));
  await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  if (peer.goAway !== undefined) expect(peer.goAway.lastStream).toBe(3);
});

rule("RFC 9113 5.4.2: an error of one stream leaves the others alone", async (peer) => {
  const [one, two] = [begin(peer, chat), begin(peer, chat)];
  peer.send(wire.data(one, message("a")), wire.data(two, message("b")));
  peer.send(wire.headers(one, block));
  await expectMalformed(peer, one);
  peer.send(wire.data(two, message("c"), flags.endStream));
  expect(textsOf(await answerOf(peer, two))).toEqual(["b", "c"]);
});

rule(
  "RFC 9113 5.4.2: what was sent before its stream's error was known is no error",
  async (peer) => {
    const stream = peer.nextStream();
    peer.send(
      wire.headers(stream, blockOf(requestFields(sayPath, [["BAD", "name"]]))),
      wire.data(stream, message("on")),
      wire.windowUpdate(stream, 5),
      wire.data(stream, message("its way"), flags.endStream),
    );
    await expectMalformed(peer, stream);
    expect(textsOf(await say(peer, "next"))).toEqual(["next"]);
  },
);

rule("RFC 9113 5.4.2: nothing comes on a stream after the client has reset it", async (peer) => {
  const stream = begin(peer, chat);
  for (let at = 0; at < 20; at++) peer.send(wire.data(stream, message(`${at}`)));
  peer.send(wire.resetStream(stream, "CANCEL"));
  await peer.ping();
  const arrived = peer.of(stream).length;
  await expectUnharmed(peer);
  expect(peer.of(stream)).toHaveLength(arrived);
});

rule("RFC 9113 5.4.3: a connection that closes ends its streams", async (peer) => {
  request(peer, sayPath, "wait");
  begin(peer, chat);
  await peer.ping();
  peer.destroy();
  while (here.bench.server.streams > 0) await new Promise((resolve) => setImmediate(resolve));
});
