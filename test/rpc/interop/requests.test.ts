/** Requests as gRPC's protocol description has them, and those that are none. */
import { expect } from "bun:test";
import { codes } from "../../../src/rpc/status.ts";
import { court } from "../wire/court.ts";
import { type Answer, answerOf, begin, message, request, textsOf } from "../wire/exchange.ts";
import { type Field, pseudoFields, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { interopHandlers, specialText } from "./service.ts";

const { say, chat } = interopHandlers();
const { rule } = court({
  chat,
  say: (asked, call) =>
    asked.text === "deadline" ? { text: String(call.deadlineMs) } : say(asked, call),
});
const { flags } = wire;
const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";
const listPath = "/test.Echo/List";

/** Asks for `text` with these fields in place of a client's usual ones. */
function ask(peer: Peer, fields: readonly Field[], text = "hello"): Promise<Answer> {
  const stream = peer.open(fields);
  peer.send(wire.data(stream, message(text), flags.endStream));
  return answerOf(peer, stream);
}

/** Asks test.Echo/Say with more fields. */
function askWith(peer: Peer, more: readonly Field[], text?: string): Promise<Answer> {
  return ask(peer, requestFields(sayPath, more), text);
}

rule("a response has a head, messages and trailers", async (peer) => {
  const answer = await askWith(peer, []);
  expect(answer.headers).toMatchObject({ ":status": "200" });
  expect(answer.headers["content-type"]).toMatch(/^application\/grpc($|\+proto$)/);
  expect(answer.headers["grpc-status"]).toBeUndefined();
  expect(answer.trailers["grpc-status"]).toBe("0");
  expect(answer.messages.map(({ compressed }) => compressed)).toEqual([false]);
});

rule("a call that fails at once is answered with trailers only", async (peer) => {
  const answer = await askWith(peer, [], "fail 5 gone");
  expect(answer.headers).toBe(answer.trailers);
  expect(answer.trailers).toMatchObject({ "grpc-status": "5", "grpc-message": "gone" });
});

rule("grpc-message is per cent encoded, all but printable ASCII", async (peer) => {
  const { trailers } = await askWith(peer, [], `fail 2 ${specialText}`);
  const text = trailers["grpc-message"] ?? "";
  expect(text).toMatch(/^[ -~]+$/);
  expect(text).toStartWith("%09%0Atest with whitespace%0D%0Aand");
  expect(text).toContain("100%25");
  expect(decodeURIComponent(text)).toBe(specialText);
});

for (const [text, milliseconds] of [
  ["99999999H", 99_999_999 * 3_600_000],
  ["100M", 6_000_000],
  ["12345678S", 12_345_678_000],
  ["30000m", 30_000],
  ["12345678u", 12_345.678],
  ["99999999n", 99.999_999],
  ["00000060S", 60_000],
] as const) {
  rule(`grpc-timeout ${text} is ${milliseconds} ms`, async (peer) => {
    const answer = await askWith(peer, [["grpc-timeout", text]], "deadline");
    expect(Number(textsOf(answer)[0])).toBeCloseTo(milliseconds, 3);
  });
}

for (const text of ["", "5", "S", "123456789S", "-1S", "1.5S", "1s", "1X", "1 S", "0x1S", "1SS"]) {
  rule(`grpc-timeout "${text}" is malformed`, async (peer) => {
    const answer = await askWith(peer, [["grpc-timeout", text]]);
    expect(answer.trailers["grpc-status"]).toBe(String(codes.internal));
    expect(answer.messages).toEqual([]);
  });
}

for (const text of ["0S", "1n", "1u", "20m"]) {
  rule(`a call that waits is over when grpc-timeout ${text} has passed`, async (peer) => {
    const answer = await askWith(peer, [["grpc-timeout", text]], "wait");
    expect(answer.trailers["grpc-status"]).toBe(String(codes.deadlineExceeded));
  });
}

for (const type of [
  "application/grpc",
  "application/grpc+proto",
  "application/grpc+json",
  "application/grpc;charset=utf-8",
]) {
  rule(`content-type ${type} is gRPC`, async (peer) => {
    const answer = await ask(peer, [
      ...pseudoFields(sayPath),
      ["content-type", type],
      ["te", "trailers"],
    ]);
    expect(textsOf(answer)).toEqual(["hello"]);
  });
}

for (const type of ["application/json", "application/grpc-web", "text/html", "", "grpc"]) {
  rule(`content-type "${type}" is none: 415`, async (peer) => {
    const answer = await ask(peer, [...pseudoFields(sayPath), ["content-type", type]]);
    expect(answer.status).toBe("415");
    expect(answer.messages).toEqual([]);
  });
}

rule("a request without a content-type is none: 415", async (peer) => {
  expect((await ask(peer, pseudoFields(sayPath))).status).toBe("415");
});

for (const method of ["GET", "HEAD", "PUT", "post"]) {
  rule(`a request with the method ${method} is none`, async (peer) => {
    const fields = requestFields(sayPath).map(
      (field): Field => (field[0] === ":method" ? [":method", method] : field),
    );
    const answer = await ask(peer, fields);
    expect(answer.status).toMatch(/^(200|4\d\d)$/);
    expect(answer.trailers["grpc-status"]).not.toBe("0");
    expect(answer.messages).toEqual([]);
  });
}

rule("a request without te is answered", async (peer) => {
  const fields = requestFields(sayPath).filter(([name]) => name !== "te");
  expect(textsOf(await ask(peer, fields))).toEqual(["hello"]);
});

rule("fields that begin with grpc- and mean nothing are ignored", async (peer) => {
  const fields: Field[] = [
    ["grpc-trace-bin", "AAA"],
    ["grpc-accept-encoding", "br,identity"],
    ["grpc-previous-rpc-attempts", "3"],
    ["grpc-whatever", "x"],
  ];
  expect(textsOf(await askWith(peer, fields))).toEqual(["hello"]);
});

rule("a message may be cut into any DATA frames", async (peer) => {
  const bytes = message("cut");
  for (let at = 1; at < bytes.length; at++) {
    const stream = begin(peer, sayPath);
    peer.send(
      wire.data(stream, bytes.subarray(0, at)),
      wire.data(stream, Buffer.alloc(0)),
      wire.data(stream, bytes.subarray(at), flags.endStream),
    );
    expect(textsOf(await answerOf(peer, stream))).toEqual(["cut"]);
  }
  const stream = begin(peer, sayPath);
  for (const byte of bytes) peer.send(wire.data(stream, Buffer.from([byte])));
  peer.send(wire.data(stream, Buffer.alloc(0), flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["cut"]);
});

rule("many messages may come in one DATA frame, and in odd cuts", async (peer) => {
  const texts = Array.from({ length: 300 }, (_, at) => "m".repeat(at % 37));
  const bytes = Buffer.concat(texts.map((text) => message(text)));
  const whole = begin(peer, chatPath);
  peer.send(wire.data(whole, bytes, flags.endStream));
  expect(textsOf(await answerOf(peer, whole))).toEqual(texts);
  const cut = begin(peer, chatPath);
  for (let at = 0; at < bytes.length; at += 13) {
    peer.send(wire.data(cut, wire.padded(bytes.subarray(at, at + 13), at % 7), flags.padded));
  }
  peer.send(wire.data(cut, Buffer.alloc(0), flags.endStream));
  expect(textsOf(await answerOf(peer, cut))).toEqual(texts);
});

rule("a message that is not whole when the client ends is refused", async (peer) => {
  for (const path of [sayPath, chatPath, "/test.Echo/Join"]) {
    for (const part of [Buffer.from([0]), message("cut").subarray(0, -1)]) {
      const stream = begin(peer, path);
      peer.send(wire.data(stream, part, flags.endStream));
      const { messages, trailers } = await answerOf(peer, stream);
      expect(trailers["grpc-status"]).toBe(String(codes.internal));
      expect(messages).toEqual([]);
    }
  }
});

rule("a message larger than is taken is refused when its length is known", async (peer) => {
  const stream = begin(peer, sayPath);
  peer.send(wire.data(stream, message("x", 0, 2_097_153)));
  const { trailers } = await answerOf(peer, stream);
  expect(trailers).toMatchObject({
    "grpc-status": String(codes.resourceExhausted),
    "grpc-message": "grpc: received message larger than max (2097153 vs. 2097152)",
  });
});

rule("a unary call without a message is refused", async (peer) => {
  const { trailers } = await answerOf(peer, peer.open(requestFields(sayPath), flags.endStream));
  expect(trailers["grpc-status"]).toBe(String(codes.internal));
});

rule("a call of one request and many answers without a message is refused", async (peer) => {
  const { trailers } = await answerOf(peer, peer.open(requestFields(listPath), flags.endStream));
  expect(trailers["grpc-status"]).toBe(String(codes.internal));
});

rule("the answer to many messages may come before they end", async (peer) => {
  const stream = begin(peer, chatPath);
  peer.send(wire.data(stream, message("fail 9 enough")));
  const { trailers } = await answerOf(peer, stream);
  expect(trailers).toMatchObject({ "grpc-status": "9", "grpc-message": "enough" });
  expect(["NO_ERROR", undefined]).toContain(peer.resetOf(stream));
  expect(textsOf(await answerOf(peer, request(peer, sayPath, "next")))).toEqual(["next"]);
});
