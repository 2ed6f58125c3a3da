/** Frames and field blocks as such: RFC 9113, sections 4 and 5.5. */
import { expect } from "bun:test";
import { court } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import {
  blockOf,
  indexed,
  literal,
  pseudoFields,
  remembered,
  requestFields,
} from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { expectConnectionError, expectStreamError, expectUnharmed } from "../wire/verdict.ts";

const { rule } = court();
const { flags, types } = wire;
const sayPath = "/test.Echo/Say";
const largest = 16_384;

rule("RFC 9113 4.1: frames of unknown types are ignored, wherever they are", async (peer) => {
  const stream = begin(peer, "/test.Echo/Chat");
  for (const id of [0, stream, stream + 2, 2]) {
    peer.send(wire.frame(0xfa, 0xff, id, Buffer.from("whatever it means")));
  }
  peer.send(wire.frame(0x0a, 0, 0), wire.frame(0xff, 0, stream, Buffer.alloc(largest)));
  await expectUnharmed(peer, stream);
  peer.send(wire.data(stream, message("still open"), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["still open"]);
});

rule("RFC 9113 4.1: flags that a frame type does not have are ignored", async (peer) => {
  const unused = 0xff & ~(flags.endStream | flags.endHeaders | flags.padded | flags.priority);
  const stream = peer.open(requestFields(sayPath), unused);
  peer.send(
    wire.frame(types.ping, 0xfe, 0, Buffer.alloc(8)),
    wire.frame(types.windowUpdate, 0xff, stream, wire.u32(1)),
    wire.frame(types.priority, 0xff, stream, wire.priorityFields(0)),
    wire.frame(types.settings, 0xfe, 0, Buffer.from([0, 3, 0, 0, 0, 9])),
    wire.frame(types.data, 0xf6 | flags.endStream, stream, message("flags")),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["flags"]);
  const canceled = begin(peer, "/test.Echo/Chat");
  peer.send(wire.frame(types.resetStream, 0xff, canceled, wire.u32(wire.errors.CANCEL)));
  await expectUnharmed(peer, canceled);
});

rule("RFC 9113 4.1: the reserved bit of a stream identifier is ignored", async (peer) => {
  const stream = peer.nextStream();
  const reserved = stream + 2 ** 31;
  peer.send(
    wire.frame(types.ping, 0, 2 ** 31, Buffer.alloc(8)),
    wire.headers(reserved, blockOf(requestFields(sayPath))),
    wire.frame(types.data, flags.endStream, reserved, message("reserved")),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["reserved"]);
});

rule("RFC 9113 4.2: DATA of 2^14 octets is taken", async (peer) => {
  const text = "x".repeat(largest - 5);
  expect(textsOf(await say(peer, text))).toEqual([text]);
});

rule("RFC 9113 4.2: HEADERS and CONTINUATION of 2^14 octets are taken", async (peer) => {
  const filler = blockOf([["filler", "x".repeat(2 * largest)]]);
  const block = Buffer.concat([blockOf(requestFields(sayPath)), filler]);
  const stream = peer.nextStream();
  peer.send(
    wire.frame(types.headers, 0, stream, block.subarray(0, largest)),
    wire.frame(types.continuation, 0, stream, block.subarray(largest, 2 * largest)),
    wire.frame(types.continuation, flags.endHeaders, stream, block.subarray(2 * largest)),
    wire.data(stream, message("large"), flags.endStream),
  );
  expect(textsOf(await answerOf(peer, stream))).toEqual(["large"]);
});

rule("RFC 9113 4.2: DATA larger than the maximum is an error", async (peer) => {
  const stream = begin(peer, sayPath);
  peer.send(wire.data(stream, Buffer.alloc(largest + 1)));
  await expectStreamError(peer, stream, "FRAME_SIZE_ERROR");
});

const oversize: readonly (readonly [string, number, number])[] = [
  ["HEADERS", types.headers, 1],
  ["CONTINUATION", types.continuation, 1],
  ["SETTINGS", types.settings, 0],
  ["a PING", types.ping, 0],
  ["WINDOW_UPDATE of the connection", types.windowUpdate, 0],
  ["a GOAWAY", types.goAway, 0],
];
for (const [what, type, stream] of oversize) {
  rule(`RFC 9113 4.2: ${what} larger than the maximum ends the connection`, async (peer) => {
    if (type === types.continuation) {
      peer.send(wire.frame(types.headers, 0, stream, blockOf(requestFields(sayPath))));
    }
    peer.send(wire.frame(type, 0, stream, Buffer.alloc(largest + 2)));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  });
}

rule(
  "RFC 9113 4.2: a frame that says it is too large is refused before it is there",
  async (peer) => {
    const stream = begin(peer, sayPath);
    peer.send(wire.frame(types.data, 0, stream, Buffer.alloc(0), 2 ** 24 - 1));
    await peer.until(() => peer.closed || peer.resetOf(stream) !== undefined);
  },
);

rule("RFC 9113 4.3: a field block that cannot be decoded ends the connection", async (peer) => {
  peer.send(wire.headers(peer.nextStream(), Buffer.from([0x80])));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 9113 4.3: so do trailers that cannot be decoded", async (peer) => {
  const stream = begin(peer, "/test.Echo/Chat");
  peer.send(wire.headers(stream, Buffer.from([0x40, 0x05, 0x61]), flags.endStream));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 9113 4.3: so does a block whose fragments cannot be decoded together", async (peer) => {
  const stream = peer.nextStream();
  const whole = blockOf(requestFields(sayPath));
  peer.send(
    wire.frame(types.headers, 0, stream, whole.subarray(0, 20)),
    wire.frame(types.continuation, flags.endHeaders, stream, whole.subarray(20, -1)),
  );
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 9113 4.3: fragments may be cut anywhere", async (peer) => {
  const block = blockOf(requestFields(sayPath));
  for (let at = 1; at < block.length; at += 7) {
    const stream = peer.nextStream();
    peer.send(
      wire.frame(types.headers, 0, stream, block.subarray(0, at)),
      wire.frame(types.continuation, flags.endHeaders, stream, block.subarray(at)),
      wire.data(stream, message(`${at}`), flags.endStream),
    );
    expect(textsOf(await answerOf(peer, stream))).toEqual([`${at}`]);
  }
});

/** What makes a whole request of the pseudo-header fields that were sent. */
function restOfRequest(stream: number): Buffer[] {
  const rest = blockOf([
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ]);
  return [
    wire.frame(types.continuation, flags.endHeaders, stream, rest),
    wire.data(stream, message("whole"), flags.endStream),
  ];
}

const interlopers: readonly (readonly [string, (open: number, other: number) => Buffer])[] = [
  ["DATA of the same stream", (open) => wire.data(open, Buffer.from("x"))],
  ["DATA of another stream", (_, other) => wire.data(other, Buffer.from("x"))],
  ["HEADERS of the same stream", (open) => wire.headers(open, blockOf(requestFields(sayPath)))],
  ["HEADERS of another", (open) => wire.headers(open + 2, blockOf(requestFields(sayPath)))],
  ["PRIORITY", (open) => wire.frame(types.priority, 0, open, wire.priorityFields(0))],
  ["RST_STREAM", (open) => wire.resetStream(open, "CANCEL")],
  ["SETTINGS", () => wire.settings()],
  ["PING", () => wire.ping(1)],
  ["GOAWAY", () => wire.goAway(0, "NO_ERROR")],
  ["WINDOW_UPDATE", () => wire.windowUpdate(0, 1)],
  ["CONTINUATION of another stream", (_, other) => wire.frame(types.continuation, 4, other)],
];
for (const [what, interloper] of interlopers) {
  rule(`RFC 9113 4.3: ${what} within a field block ends the connection`, async (peer) => {
    const other = begin(peer, "/test.Echo/Chat");
    const stream = peer.nextStream();
    peer.send(
      wire.frame(types.headers, 0, stream, blockOf(pseudoFields(sayPath))),
      interloper(stream, other),
      ...restOfRequest(stream),
    );
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  });
}

rule(
  "RFC 9113 5.5: a frame of unknown type within a field block ends the connection",
  async (peer) => {
    const stream = peer.nextStream();
    peer.send(
      wire.frame(types.headers, 0, stream, blockOf(pseudoFields(sayPath))),
      wire.frame(0xfa, 0, stream, Buffer.from("x")),
      ...restOfRequest(stream),
    );
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  },
);

/** Sends what a test names on a new stream, with a field that the table is to remember. */
const unwanted: readonly (readonly [string, (peer: Peer, field: Buffer) => void])[] = [
  [
    "a malformed request",
    (peer, field) => {
      const block = Buffer.concat([blockOf(requestFields(sayPath)), field, literal("BAD", "x")]);
      peer.send(wire.headers(peer.nextStream(), block));
    },
  ],
  [
    "an unknown method",
    (peer, field) => {
      const block = Buffer.concat([blockOf(requestFields("/test.Echo/Shout")), field]);
      peer.send(wire.headers(peer.nextStream(), block, flags.endStream));
    },
  ],
  [
    "a request that is no gRPC",
    (peer, field) => {
      const block = Buffer.concat([blockOf(pseudoFields(sayPath)), field]);
      peer.send(wire.headers(peer.nextStream(), block, flags.endStream));
    },
  ],
  [
    "trailers",
    (peer, field) => {
      const stream = begin(peer, "/test.Echo/Chat");
      peer.send(wire.headers(stream, field, flags.endStream));
    },
  ],
  [
    "trailers that come when their stream is reset",
    (peer, field) => {
      const stream = peer.open(requestFields(sayPath, [["BAD", "name"]]));
      peer.send(wire.headers(stream, field, flags.endStream));
    },
  ],
  [
    "a request with too many fields",
    (peer, field) => {
      const filler = blockOf([["filler", "x".repeat(15_000)]]);
      const stream = peer.nextStream();
      const first = Buffer.concat([blockOf(requestFields(sayPath)), field]);
      peer.send(wire.frame(types.headers, flags.endStream, stream, first));
      for (let at = 0; at < 4; at++) peer.send(wire.frame(types.continuation, 0, stream, filler));
      peer.send(wire.frame(types.continuation, flags.endHeaders, stream, filler));
    },
  ],
];
for (const [what, send] of unwanted) {
  rule(`RFC 9113 4.3: the field block of ${what} counts for those after it`, async (peer) => {
    send(peer, remembered("grpc-timeout", "1H"));
    const stream = peer.nextStream();
    const block = Buffer.concat([blockOf(requestFields(sayPath)), indexed(62)]);
    peer.send(wire.headers(stream, block), wire.data(stream, message("known"), flags.endStream));
    expect(textsOf(await answerOf(peer, stream))).toEqual(["known"]);
  });
}

rule(
  "RFC 9113 4.3.1: a client's table of no bytes holds nothing",
  async (peer) => {
    for (const text of ["one", "two", "three"]) {
      expect(textsOf(await say(peer, text))).toEqual([text]);
    }
    const failed = await answerOf(peer, request(peer, "/test.Echo/Shout", ""));
    expect(failed.trailers["grpc-status"]).toBe("12");
  },
  { settings: [[wire.settingIds.headerTableSize, 0]], tableBytes: 0 },
);

rule("RFC 9113 4.3.1: a table that shrinks and grows again is followed", async (peer) => {
  for (const size of [4096, 0, 4096, 100, 2 ** 32 - 1, 50]) {
    peer.send(wire.settings([wire.settingIds.headerTableSize, size]));
    expect(textsOf(await say(peer, `${size}`))).toEqual([`${size}`]);
    expect((await answerOf(peer, request(peer, "/no", ""))).trailers["grpc-status"]).toBe("12");
  }
});
