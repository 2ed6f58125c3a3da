/** Requests as lists of fields and bodies: RFC 9113, sections 8.1 to 8.5 and 10.5.1. */
import { expect } from "bun:test";
import { echo } from "../echo.ts";
import { court } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import { blockOf, type Field, pseudoFields, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { expectMalformed, expectStreamError, expectUnharmed, fateOf } from "../wire/verdict.ts";

let said = 0;
const { rule } = court({
  say: (asked) => {
    said++;
    return asked;
  },
  chat: echo.chat,
});
const { flags, types } = wire;
const sayPath = "/test.Echo/Say";
const chat = "/test.Echo/Chat";
const grpc: readonly Field[] = [
  ["content-type", "application/grpc"],
  ["te", "trailers"],
];

/** Sends a whole request with these fields; its stream. */
function ask(peer: Peer, fields: readonly Field[]): number {
  const stream = peer.open(fields);
  peer.send(wire.data(stream, message("hello"), flags.endStream));
  return stream;
}

/** The pseudo-header fields of a request, but for `name`. */
function without(name: string): Field[] {
  return pseudoFields(sayPath).filter(([each]) => each !== name);
}

/** The pseudo-header fields of a request, with another `value` of `name`. */
function withValue(name: string, value: string): Field[] {
  return pseudoFields(sayPath).map((field) => (field[0] === name ? [name, value] : field));
}

/** Declares that a request with these fields is refused and reaches no handler. */
function malformed(name: string, fields: readonly Field[]): void {
  rule(`RFC 9113 ${name} is malformed`, async (peer) => {
    const before = said;
    await expectMalformed(peer, ask(peer, fields));
    expect(said).toBe(before);
  });
}

/** Declares that a request with these fields is answered. */
function wellFormed(name: string, fields: readonly Field[]): void {
  rule(`RFC 9113 ${name} is taken`, async (peer) => {
    expect(textsOf(await answerOf(peer, ask(peer, fields)))).toEqual(["hello"]);
  });
}

rule("RFC 9113 8.1: trailers end a request", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.data(stream, message("body")));
  peer.send(wire.headers(stream, blockOf([["checksum", "1"]]), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["body"]);
});

rule("RFC 9113 8.1: trailers without END_STREAM are malformed", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.data(stream, message("body")), wire.headers(stream, blockOf([["a", "b"]])));
  await expectMalformed(peer, stream);
});

for (const field of [
  [":path", sayPath],
  [":status", "200"],
  [":other", "x"],
] as const) {
  rule(`RFC 9113 8.1: trailers with ${field[0]} are malformed`, async (peer) => {
    const stream = begin(peer, chat);
    peer.send(wire.headers(stream, blockOf([["a", "b"], field]), flags.endStream));
    await expectMalformed(peer, stream);
  });
}

rule("RFC 9113 8.2.1: trailers with an invalid name are malformed", async (peer) => {
  const stream = begin(peer, chat);
  peer.send(wire.headers(stream, blockOf([["Checksum", "1"]]), flags.endStream));
  await expectMalformed(peer, stream);
});

rule("RFC 9113 8.1: DATA behind the trailers is an error", async (peer) => {
  const stream = request(peer, "/test.Echo/List", "");
  peer.send(wire.data(stream, Buffer.from("x")));
  const fate = await fateOf(peer, stream);
  expect(fate).toMatch(/^(:status 200|closed|(RST_STREAM|GOAWAY) STREAM_CLOSED)$/);
});

rule("RFC 9113 8.1: an answer may come before the request is complete", async (peer) => {
  const stream = begin(peer, "/test.Echo/Shout");
  expect((await answerOf(peer, stream)).trailers["grpc-status"]).toBe("12");
  expect(["NO_ERROR", undefined]).toContain(peer.resetOf(stream));
  peer.send(wire.data(stream, message("nobody hears this"), flags.endStream));
  await expectUnharmed(peer);
});

const length = (value: string): Field => ["content-length", value];
wellFormed("8.1.1: a content-length that is right", requestFields(sayPath, [length("10")]));
malformed("8.1.1: a content-length that is too large", requestFields(sayPath, [length("11")]));
malformed("8.1.1: a content-length that is too small", requestFields(sayPath, [length("9")]));
malformed("8.1.1: a content-length of 0 with a body", requestFields(sayPath, [length("0")]));
malformed("8.1.1: a content-length that is no number", requestFields(sayPath, [length("x")]));
malformed("8.1.1: a negative content-length", requestFields(sayPath, [length("-10")]));
malformed("8.1.1: two content-lengths", requestFields(sayPath, [length("10"), length("11")]));

rule("RFC 9113 8.1.1: a content-length without a body is malformed", async (peer) => {
  await expectMalformed(
    peer,
    peer.open(requestFields(sayPath, [length("5")]), wire.flags.endStream),
  );
});

rule(
  "RFC 9113 8.1.1: a content-length is held against all DATA frames, not padding",
  async (peer) => {
    const stream = begin(peer, sayPath, [length("10")]);
    const bytes = message("hello");
    peer.send(
      wire.data(stream, wire.padded(bytes.subarray(0, 4), 20), flags.padded),
      wire.data(stream, bytes.subarray(4)),
      wire.data(stream, Buffer.alloc(0), flags.endStream),
    );
    expect(textsOf(await answerOf(peer, stream))).toEqual(["hello"]);
  },
);

const badNames: readonly (readonly [string, string])[] = [
  ["an uppercase name", "Accept"],
  ["a name with one uppercase letter", "acceptZ"],
  ["a name with a space", "a b"],
  ["a name with a tab", "a\tb"],
  ["a name with a NUL", "a\0b"],
  ["a name with a line feed", "a\nb"],
  ["a name with a carriage return", "a\rb"],
  ["a name with DEL", "a\x7f"],
  ["a name beyond ASCII", "n\xe4me"],
  ["a name with a colon within", "a:b"],
  ["a name that ends with a colon", "a:"],
  ["an empty name", ""],
];
for (const [what, name] of badNames) {
  malformed(`8.2.1: ${what}`, requestFields(sayPath, [[name, "x"]]));
}

const badValues: readonly (readonly [string, string])[] = [
  ["a value with a NUL", "a\0b"],
  ["a value with a line feed", "a\nb"],
  ["a value with a carriage return", "a\rb"],
  ["a value that begins with a space", " a"],
  ["a value that ends with a space", "a "],
  ["a value that begins with a tab", "\ta"],
  ["a value that ends with a tab", "a\t"],
];
for (const [what, value] of badValues) {
  malformed(`8.2.1: ${what}`, requestFields(sayPath, [["custom", value]]));
}
wellFormed("8.2.1: an empty value", requestFields(sayPath, [["custom", ""]]));
wellFormed("8.2.1: a value with blanks within", requestFields(sayPath, [["custom", "a \t b"]]));
wellFormed("8.2.1: a name of all signs", requestFields(sayPath, [["!#$%&'*+-.^_`|~0a", "x"]]));

for (const name of [
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]) {
  malformed(`8.2.2: ${name}`, requestFields(sayPath, [[name, "x"]]));
}
for (const value of ["gzip", "trailers, deflate", "trailers;q=0.5", ""]) {
  malformed(`8.2.2: te: "${value}"`, [
    ...pseudoFields(sayPath),
    ["content-type", "application/grpc"],
    ["te", value],
  ]);
}
wellFormed(
  "8.2.3: a cookie in several fields",
  requestFields(sayPath, [
    ["cookie", "a=b"],
    ["cookie", "c=d"],
  ]),
);

malformed("8.3: an unknown pseudo-header field", [
  ...pseudoFields(sayPath),
  [":protocol", "x"],
  ...grpc,
]);
malformed("8.3: :status in a request", [...pseudoFields(sayPath), [":status", "200"], ...grpc]);
malformed("8.3: a pseudo-header field with no name", [
  ...pseudoFields(sayPath),
  [":", "x"],
  ...grpc,
]);
malformed("8.3: a pseudo-header field with an uppercase name", [
  ...without(":path"),
  [":Path", sayPath],
  ...grpc,
]);
for (const [name, value] of pseudoFields(sayPath)) {
  malformed(`8.3: ${name} behind other fields`, [...without(name), ...grpc, [name, value]]);
  malformed(`8.3: ${name} twice`, [...pseudoFields(sayPath), [name, value], ...grpc]);
}
for (const name of [":method", ":scheme", ":path"]) {
  malformed(`8.3.1: a request without ${name}`, [...without(name), ...grpc]);
}
malformed("8.3.1: an empty :path", [...withValue(":path", ""), ...grpc]);
malformed("8.2.1: a :path with a line feed", [...withValue(":path", `${sayPath}\n`), ...grpc]);
malformed("8.2.1: an :authority with a NUL", [...withValue(":authority", "a\0"), ...grpc]);
wellFormed("8.3.1: a request without :authority", [...without(":authority"), ...grpc]);
wellFormed("8.3.1: a request with host in place of :authority", [
  ...without(":authority"),
  ["host", "localhost"],
  ...grpc,
]);
wellFormed("8.3.1: a scheme of another kind", [...withValue(":scheme", "https"), ...grpc]);
wellFormed("8.3: pseudo-header fields in any order", [...pseudoFields(sayPath).reverse(), ...grpc]);

malformed("8.5: CONNECT with a path", [...withValue(":method", "CONNECT"), ...grpc]);
malformed("8.5: CONNECT without :authority", [[":method", "CONNECT"], ...grpc]);

rule("RFC 9113 8.5: CONNECT is not done", async (peer) => {
  const stream = peer.open([
    [":method", "CONNECT"],
    [":authority", "127.0.0.1:22"],
  ]);
  expect(await fateOf(peer, stream)).toMatch(/^(:status [45]\d\d|RST_STREAM \w+)$/);
});

rule(
  "RFC 9113 10.5.1: more fields than are taken are refused, and the connection lives",
  async (peer) => {
    const stream = peer.nextStream();
    const filler = blockOf([["filler", "x".repeat(16_000)]]);
    peer.send(wire.frame(types.headers, flags.endStream, stream, blockOf(requestFields(sayPath))));
    for (let at = 0; at < 4; at++) peer.send(wire.frame(types.continuation, 0, stream, filler));
    peer.send(wire.frame(types.continuation, flags.endHeaders, stream, filler));
    expect(await fateOf(peer, stream)).toMatch(/^(:status (431|200)|RST_STREAM \w+)$/);
    expect((await answerOf(peer, stream)).trailers["grpc-status"]).not.toBe("0");
    expect(textsOf(await say(peer, "next"))).toEqual(["next"]);
  },
);

rule("RFC 9113 10.5.1: so are many small ones", async (peer) => {
  const fields = Array.from({ length: 2000 }, (_, at): Field => [`f${at}`, ""]);
  const block = blockOf([...requestFields(sayPath), ...fields]);
  const stream = peer.nextStream();
  peer.send(wire.frame(types.headers, flags.endStream, stream, block.subarray(0, 16_000)));
  peer.send(wire.frame(types.continuation, flags.endHeaders, stream, block.subarray(16_000)));
  expect(await fateOf(peer, stream)).toMatch(/^(:status (431|200)|RST_STREAM \w+)$/);
  expect((await answerOf(peer, stream)).trailers["grpc-status"]).not.toBe("0");
  expect(textsOf(await say(peer, "next"))).toEqual(["next"]);
});

rule("RFC 9113 8.1: DATA before HEADERS have ended a stream is no request", async (peer) => {
  const stream = peer.open(requestFields(sayPath), flags.endStream);
  peer.send(wire.data(stream, message("late"), flags.endStream));
  await fateOf(peer, stream);
  await expectStreamErrorOrAnswer(peer, stream);
});

/** The request without a message was answered already, or its late DATA is an error. */
async function expectStreamErrorOrAnswer(peer: Peer, stream: number): Promise<void> {
  if (peer.isOver(stream) && peer.resetOf(stream) === undefined) {
    expect((await answerOf(peer, stream)).trailers["grpc-status"]).toBe("13");
  } else await expectStreamError(peer, stream, "STREAM_CLOSED");
}
