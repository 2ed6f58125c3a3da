/** What every server must do. A server's test hands its `serve` in. */
import { describe, expect, test } from "bun:test";
import { InvariantError } from "../../src/lib/assert.ts";
import { codes, StatusError } from "../../src/rpc/status.ts";
import { aborted, Bench, EchoDefinition, refusal, refusalOf, type Serve, until } from "./echo.ts";

const { chat, list } = EchoDefinition.methods;

/** Declares the tests of a server made by `serve`. */
export function serverContract(serve: Serve): void {
  unaryAnswers(serve);
  unaryFailures(serve);
  unaryContext(serve);
  streamMessages(serve);
  streamEnds(serve);
  streamClients(serve);
}

function unaryAnswers(serve: Serve): void {
  describe("a unary call", () => {
    test("is answered", async () => {
      await using bench = await Bench.open(serve);
      expect(await bench.say("hello")).toBe("hello");
      expect(await bench.say("")).toBe("");
    });

    test("is answered beside a thousand others", async () => {
      await using bench = await Bench.open(serve);
      const words = Array.from({ length: 1000 }, (_, at) => `word ${at}`);
      expect(await Promise.all(words.map((word) => bench.say(word)))).toEqual(words);
    });

    test("may be answered with much more than may be asked", async () => {
      await using bench = await Bench.open(serve, { say: () => ({ text: "x".repeat(20e6) }) });
      expect((await bench.say("go")).length).toBe(20e6);
    });

    test("may be as large as the limit", async () => {
      await using bench = await Bench.open(serve, {
        say: ({ text }) => ({ text: `${text.length}` }),
      });
      expect(await bench.say("x".repeat(2_097_152))).toBe("2097152");
    });

    test("one byte larger than the limit is refused, and the connection lives on", async () => {
      await using bench = await Bench.open(serve);
      expect(await refusalOf(bench.say("x".repeat(2_097_153)))).toEqual({
        code: codes.resourceExhausted,
        message: "grpc: received message larger than max (2097153 vs. 2097152)",
      });
      expect(await bench.say("still here")).toBe("still here");
    });
  });
}

function unaryFailures(serve: Serve): void {
  describe("a unary call that goes wrong", () => {
    test("ends with the status its handler throws", async () => {
      await using bench = await Bench.open(serve, {
        say: ({ text }) => {
          throw refusal(text);
        },
      });
      for (const message of ["plain", "100 % of it: a/b?c=d&e", "naïve – ünïcode ✓"]) {
        expect(await refusalOf(bench.say(message))).toEqual({ code: codes.notFound, message });
      }
      expect(bench.logged).toEqual([]);
    });

    test("hides what went wrong inside from the client, and logs it once", async () => {
      await using bench = await Bench.open(serve, {
        say: () => {
          throw new Error("secret", { cause: new Error("deeper") });
        },
      });
      expect(await refusalOf(bench.say("go"))).toEqual({
        code: codes.internal,
        message: "internal error",
      });
      expect(bench.logged).toEqual([
        expect.objectContaining({
          level: "error",
          msg: "call failed",
          call: "/test.Echo/Say",
          error: "secret: deeper",
        }),
      ]);
      expect(bench.broken).toEqual([]);
    });

    test("reports a broken invariant to whoever stops the process", async () => {
      const broken = new InvariantError("two is one");
      await using bench = await Bench.open(serve, {
        say: () => Promise.reject(broken),
      });
      expect(await refusalOf(bench.say("go"))).toMatchObject({ code: codes.internal });
      expect(bench.broken).toEqual([broken]);
    });

    test("whose bytes are malformed is refused", async () => {
      await using bench = await Bench.open(serve);
      expect(await refusalOf(bench.client.raw("/test.Echo/Say", Buffer.from([0xff])))).toEqual({
        code: codes.internal,
        message: "grpc: error unmarshalling request: begins with 0xff",
      });
      expect(bench.logged).toEqual([]);
    });

    test.each([
      ["/test.Echo/Shout", "unknown method Shout for service test.Echo"],
      ["/test.Choir/Sing", "unknown service test.Choir"],
      ["/test.Echo.Say/x/y", "unknown service test.Echo.Say/x"],
      ["/test.Echo", 'malformed method name: "/test.Echo"'],
    ])("of %s is unimplemented", async (path, message) => {
      await using bench = await Bench.open(serve);
      const code = codes.unimplemented;
      expect(await refusalOf(bench.client.raw(path, Buffer.alloc(3)))).toEqual({ code, message });
    });
  });
}

function unaryContext(serve: Serve): void {
  describe("the handler of a unary call", () => {
    test("knows its metadata, size, peer and deadline", async () => {
      await using bench = await Bench.open(serve, {
        say: (_, call) => ({
          text: JSON.stringify([
            call.metadata("hasleader"),
            call.metadata("absent"),
            call.requestBytes,
            call.peer.replace(/\d+$/, "port"),
            call.deadlineMs !== undefined && call.deadlineMs > 0 && call.deadlineMs <= 60_000,
          ]),
        }),
      });
      const { say } = bench.client.unary(EchoDefinition);
      const options = { metadata: { hasleader: "true" }, deadlineMs: 60_000 };
      const { text } = await say({ text: "four" }, options);
      expect(JSON.parse(text)).toEqual(["true", null, 4, "127.0.0.1:port", true]);
    });

    test("without a deadline has none", async () => {
      await using bench = await Bench.open(serve, {
        say: (_, call) => ({ text: String(call.deadlineMs) }),
      });
      expect(await bench.say("")).toBe("undefined");
    });

    test("aborts when the client cancels", async () => {
      let begun = false;
      let over = false;
      await using bench = await Bench.open(serve, {
        say: async (request, call) => {
          begun = true;
          await aborted(call.signal);
          over = true;
          return request;
        },
      });
      const cancel = new AbortController();
      const call = bench.client.unary(EchoDefinition).say({ text: "" }, { signal: cancel.signal });
      const refused = refusalOf(call);
      await until(() => begun);
      cancel.abort();
      expect(await refused).toMatchObject({ code: codes.cancelled });
      await until(() => over);
    });

    test("does not abort when it is answered", async () => {
      const signals: AbortSignal[] = [];
      await using bench = await Bench.open(serve, {
        say: (request, call) => {
          signals.push(call.signal);
          return request;
        },
      });
      await bench.say("one");
      await bench.say("two");
      expect(signals.map((signal) => signal.aborted)).toEqual([false, false]);
    });
  });
}

function streamMessages(serve: Serve): void {
  describe("a stream", () => {
    test("carries messages both ways, in order", async () => {
      await using bench = await Bench.open(serve);
      const stream = bench.client.stream(EchoDefinition, chat);
      for (let at = 0; at < 1000; at++) stream.send({ text: `${at}` });
      for (let at = 0; at < 1000; at++) expect(await stream.next()).toEqual({ text: `${at}` });
      stream.end();
      expect(await stream.status).toEqual({ code: codes.ok, message: "" });
    });

    test("answers one request with many messages", async () => {
      await using bench = await Bench.open(serve);
      const stream = bench.client.stream(EchoDefinition, list);
      stream.send({ text: "a b c" });
      stream.end();
      for (const text of ["a", "b", "c"]) expect(await stream.next()).toEqual({ text });
      expect(await stream.next()).toBeUndefined();
      expect(await stream.status).toMatchObject({ code: codes.ok });
    });

    test("goes on after the client has closed its side", async () => {
      let closed = false;
      const more = Promise.withResolvers<void>();
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          for await (const request of stream.requests) stream.send(request);
          closed = true;
          await more.promise;
          stream.send({ text: `late ${stream.signal.aborted}` });
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.send({ text: "early" });
      stream.end();
      expect(await stream.next()).toEqual({ text: "early" });
      await until(() => closed);
      more.resolve();
      expect(await stream.next()).toEqual({ text: "late false" });
      expect(await stream.status).toMatchObject({ code: codes.ok });
    });

    test("may speak before it is spoken to, and end while it is", async () => {
      await using bench = await Bench.open(serve, {
        chat: (stream) => {
          stream.send({ text: "first" });
          return Promise.resolve();
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      expect(await stream.next()).toEqual({ text: "first" });
      expect(await stream.status).toMatchObject({ code: codes.ok });
    });
  });
}

function streamEnds(serve: Serve): void {
  describe("a stream that ends", () => {
    test("ends with the status its handler throws, behind its messages", async () => {
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          for await (const request of stream.requests) {
            stream.send(request);
            if (request.text === "last") throw refusal("no more");
          }
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.send({ text: "first" });
      stream.send({ text: "last" });
      expect(await stream.next()).toEqual({ text: "first" });
      expect(await stream.next()).toEqual({ text: "last" });
      expect(await stream.status).toEqual({ code: codes.notFound, message: "no more" });
    });

    test("that fails does not disturb the others of its connection", async () => {
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          for await (const { text } of stream.requests) {
            if (text === "die") throw refusal("dead");
            stream.send({ text });
          }
        },
      });
      const one = bench.client.stream(EchoDefinition, chat);
      const two = bench.client.stream(EchoDefinition, chat);
      one.send({ text: "die" });
      expect(await one.status).toMatchObject({ code: codes.notFound });
      two.send({ text: "alive" });
      expect(await two.next()).toEqual({ text: "alive" });
    });

    test("ends when the handler throws before it waits for anything", async () => {
      await using bench = await Bench.open(serve, {
        chat: () => {
          throw new StatusError(codes.unavailable, "at once");
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      expect(await stream.status).toEqual({ code: codes.unavailable, message: "at once" });
    });

    test.each([
      [
        "malformed",
        Buffer.from([0xff]),
        {
          code: codes.internal,
          message: "grpc: failed to unmarshal the received message: begins with 0xff",
        },
      ],
      [
        "too large",
        Buffer.alloc(2_097_153),
        {
          code: codes.resourceExhausted,
          message: "grpc: received message larger than max (2097153 vs. 2097152)",
        },
      ],
    ])("ends when a message is %s, and its handler learns of it", async (_, bytes, status) => {
      let over = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          for await (const request of stream.requests) stream.send(request);
          over = stream.signal.aborted;
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.send({ text: "good" });
      expect(await stream.next()).toEqual({ text: "good" });
      stream.sendBytes(bytes);
      expect(await stream.status).toEqual(status);
      await until(() => over);
    });
  });
}

function streamClients(serve: Serve): void {
  describe("the client of a stream", () => {
    test("may cancel, and the handler learns of it", async () => {
      let over = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          stream.send({ text: "ready" });
          for await (const _ of stream.requests);
          await aborted(stream.signal);
          over = true;
          stream.send({ text: "into the void" });
          await stream.drained();
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      await stream.next();
      expect(bench.server.streams).toBe(1);
      stream.cancel();
      await until(() => over);
      expect(bench.server.streams).toBe(0);
    });

    test("whose client does not read queues a bounded amount, and loses nothing", async () => {
      const text = "x".repeat(65_536);
      const total = 400;
      let sent = 0;
      let stalled = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          while (sent < total) {
            if (!stream.writable) {
              stalled = true;
              await stream.drained();
            }
            stream.send({ text: `${sent++}:${text}` });
          }
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.pause();
      await until(() => stalled);
      const sentWhenStalled = sent;
      // What the client's window, the sockets and our own queue hold, with room to spare.
      expect(sentWhenStalled * text.length).toBeLessThan(8 * 1024 * 1024);
      expect(await bench.say("others are served")).toBe("others are served");
      stream.resume();
      for (let at = 0; at < total; at++) {
        const message = await stream.next();
        expect(message?.text.startsWith(`${at}:`)).toBe(true);
      }
      expect(await stream.status).toMatchObject({ code: codes.ok });
    });

    test("lets a handler that waits for a slow client go when the client goes", async () => {
      let waiting = false;
      let over = false;
      await using bench = await Bench.open(serve, {
        chat: async (stream) => {
          while (!stream.signal.aborted) {
            stream.send({ text: "x".repeat(65_536) });
            waiting = !stream.writable;
            await stream.drained();
          }
          over = true;
        },
      });
      const stream = bench.client.stream(EchoDefinition, chat);
      stream.pause();
      await until(() => waiting);
      stream.cancel();
      await until(() => over);
    });
  });
}
