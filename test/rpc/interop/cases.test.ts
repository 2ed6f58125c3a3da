/** The interop cases of the gRPC project that concern a server, by grpc-js's client. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as grpc from "@grpc/grpc-js";
import { type Server, serve } from "../../../src/rpc/server.ts";
import { codes } from "../../../src/rpc/status.ts";
import { Bench, EchoDefinition, refusalOf, until } from "../echo.ts";
import { Channel, interopHandlers, specialText } from "./service.ts";

const { chat, join, list } = EchoDefinition.methods;
const noted: string[] = [];
let bench: Bench;
const client = () => bench.client;
const server = (): Server => bench.server;

beforeAll(async () => {
  bench = await Bench.open(
    serve,
    interopHandlers((what) => noted.push(what)),
  );
});
afterAll(() => bench[Symbol.asyncDispose]());

const largeRequest = "\0".repeat(271_828);

describe("unary calls", () => {
  test("empty_unary: nothing is answered with nothing", async () => {
    expect(await bench.say("")).toBe("");
  });

  test("large_unary: 271,828 bytes, and an answer of 314,159", async () => {
    expect(await bench.say(largeRequest)).toBe(largeRequest);
    expect((await bench.say("bytes 314159")).length).toBe(314_159);
  });

  test("client_compressed_unary: a compressed request is taken", async () => {
    using channel = new Channel(server().port, { "grpc.default_compression_algorithm": 2 });
    expect(await channel.say(largeRequest)).toBe(largeRequest);
    using deflating = new Channel(server().port, { "grpc.default_compression_algorithm": 1 });
    expect(await deflating.say(largeRequest)).toBe(largeRequest);
  });

  test("custom_metadata: texts and bytes reach the handler", async () => {
    const texts: (string | undefined)[] = [];
    await using other = await Bench.open(serve, {
      say: (request, call) => {
        texts.push(call.metadata("x-text"), call.metadata("x-bytes-bin"));
        return request;
      },
    });
    using channel = new Channel(other.server.port);
    for (const bytes of [Buffer.from([0xab, 0, 0xff]), Buffer.alloc(0), Buffer.from("a")]) {
      const metadata = new grpc.Metadata();
      metadata.set("x-text", "test_initial_metadata_value");
      metadata.set("x-bytes-bin", bytes);
      await channel.say("", metadata);
      expect(texts.splice(0)).toEqual(["test_initial_metadata_value", bytes.toString("latin1")]);
    }
  });

  test("status_code_and_message: every code arrives with its text", async () => {
    for (const code of Object.values(codes).filter((each) => each !== codes.ok)) {
      const refused = await refusalOf(bench.say(`fail ${code} test status message`));
      expect(refused).toEqual({ code, message: "test status message" });
    }
  });

  test("special_status_message: any text arrives as it was", async () => {
    const refused = await refusalOf(bench.say(`fail 2 ${specialText}`));
    expect(refused).toEqual({ code: codes.unknown, message: specialText });
  });

  test("unimplemented_method, unimplemented_service", async () => {
    for (const path of ["/test.Echo/Nothing", "/test.Nothing/Say"]) {
      const refused = await refusalOf(client().raw(path, Buffer.alloc(0)));
      expect(refused.code).toBe(codes.unimplemented);
    }
  });

  test("timeout_on_sleeping_server: the call is over on both sides", async () => {
    noted.length = 0;
    const { say } = client().unary(EchoDefinition);
    const refused = await refusalOf(say({ text: "wait" }, { deadlineMs: 30 }));
    expect(refused.code).toBe(codes.deadlineExceeded);
    await until(() => noted.includes("aborted") || !noted.includes("waits"));
  });
});

describe("streams", () => {
  test("client_streaming: four requests have one answer", async () => {
    const stream = client().stream(EchoDefinition, join);
    const texts = [27_182, 8, 1828, 45_904].map((length) => "x".repeat(length));
    for (const text of texts) stream.send({ text });
    stream.end();
    expect(await stream.next()).toEqual({ text: texts.join(" ") });
    expect(await stream.next()).toBeUndefined();
    expect(await stream.status).toMatchObject({ code: codes.ok });
  });

  test("client_streaming without a request has an answer, too", async () => {
    const stream = client().stream(EchoDefinition, join);
    stream.end();
    expect(await stream.next()).toEqual({ text: "" });
    expect(await stream.status).toMatchObject({ code: codes.ok });
  });

  test("server_streaming: one request has four answers", async () => {
    const stream = client().stream(EchoDefinition, list);
    const texts = [31_415, 9, 2653, 58_979].map((length) => "y".repeat(length));
    stream.send({ text: texts.join(" ") });
    stream.end();
    for (const text of texts) expect(await stream.next()).toEqual({ text });
    expect(await stream.status).toMatchObject({ code: codes.ok });
  });

  test("ping_pong: each request is answered before the next is sent", async () => {
    const stream = client().stream(EchoDefinition, chat);
    for (const length of [31_415, 9, 2653, 58_979]) {
      stream.send({ text: `bytes ${length}` });
      expect((await stream.next())?.text.length).toBe(length);
    }
    stream.end();
    expect(await stream.status).toMatchObject({ code: codes.ok });
  });

  test("empty_stream: no request has no answer", async () => {
    const stream = client().stream(EchoDefinition, chat);
    stream.end();
    expect(await stream.next()).toBeUndefined();
    expect(await stream.status).toEqual({ code: codes.ok, message: "" });
  });

  test("status_code_and_message, special_status_message: on a stream, too", async () => {
    for (const message of ["test status message", specialText]) {
      const stream = client().stream(EchoDefinition, chat);
      stream.send({ text: `fail 2 ${message}` });
      expect(await stream.status).toEqual({ code: codes.unknown, message });
    }
  });

  test("cancel_after_begin: the call is over before it began", async () => {
    const before = server().streams;
    const stream = client().stream(EchoDefinition, join);
    stream.cancel();
    expect(await stream.status).toMatchObject({ code: codes.cancelled });
    await until(() => server().streams === before);
  });

  test("cancel_after_first_response: the handler learns of it", async () => {
    noted.length = 0;
    const stream = client().stream(EchoDefinition, chat);
    stream.send({ text: "bytes 31415" });
    expect((await stream.next())?.text.length).toBe(31_415);
    stream.cancel();
    expect(await stream.status).toMatchObject({ code: codes.cancelled });
    await until(() => noted.includes("aborted"));
  });

  test("timeout_on_sleeping_server: a stream ends with its deadline", async () => {
    const before = server().streams;
    const stream = client().stream(EchoDefinition, chat, { deadlineMs: 30 });
    stream.send({ text: "wait" });
    expect(await stream.status).toMatchObject({ code: codes.deadlineExceeded });
    await until(() => server().streams === before);
  });

  test("concurrent_large_unary: a thousand at once", async () => {
    const text = "z".repeat(27_182);
    const answers = await Promise.all(Array.from({ length: 1000 }, () => bench.say(text)));
    expect(answers.every((answer) => answer === text)).toBe(true);
  });
});

test("nothing of it was a fault of the server's", () => {
  expect(bench.logged).toEqual([]);
});
