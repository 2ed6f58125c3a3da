/** Answers in pieces, and handlers that answer more than once or fail on the way. */
import { expect, test } from "bun:test";
import { serve } from "../../src/rpc/server.ts";
import { behind, type Reply, type Service, serviceOf } from "../../src/rpc/service.ts";
import { codes, StatusError } from "../../src/rpc/status.ts";
import { Bench, EchoDefinition, echo } from "./echo.ts";
import { type Answer, answerOf, request, say, textsOf } from "./wire/exchange.ts";
import * as wire from "./wire/frame.ts";
import { Peer, type PeerOptions } from "./wire/peer.ts";

const pieceBytes = 65_536;

/** So many pieces; in the place of piece `broken` an error. */
function* pieces(count: number, broken?: number): Generator<Uint8Array, undefined> {
  for (let at = 0; at < count; at++) {
    if (at === broken) throw new Error(`piece ${at}`);
    yield new Uint8Array(pieceBytes).fill(120);
  }
  if (broken === count) throw new Error("behind the last piece");
  return undefined;
}

/** What answers test.Odd/Get. */
type Handle = (reply: Reply<string>) => void;

function serviceThat(handle: Handle): Service {
  const codec = {
    decode: () => undefined,
    encode: (text: string, room: number) => {
      if (text === "malformed") throw new Error("cannot be encoded");
      return behind(new TextEncoder().encode(text), room);
    },
  };
  const method = {
    kind: "unary" as const,
    name: "Get",
    codec,
    handle: (_request: unknown, _call: unknown, reply: Reply<string>) => handle(reply),
  };
  return { name: "test.Odd", methods: [method] };
}

function open(handle: Handle): Promise<Bench> {
  return Bench.open(
    serve,
    {},
    { services: [serviceOf(EchoDefinition, echo), serviceThat(handle)] },
  );
}

/** Takes anything at once. */
const wide: PeerOptions = { settings: [[wire.settingIds.initialWindowSize, wire.windowMax]] };
/** Has to be waited for. */
const narrow: PeerOptions = { settings: [[wire.settingIds.initialWindowSize, 1000]] };

interface Outcome {
  readonly answer: Answer;
  /** Bytes of DATA that came. */
  readonly bytes: number;
  readonly faults: readonly unknown[];
  readonly broken: number;
}

/** What becomes of a call that `handle` answers; the connection and others must live on. */
async function outcomeOf(handle: Handle, options: PeerOptions = wide): Promise<Outcome> {
  await using bench = await open(handle);
  await using peer = await Peer.connect(bench.server.port, options);
  peer.send(wire.windowUpdate(0, wire.windowMax - 65_535));
  const stream = request(peer, "/test.Odd/Get", "?");
  await peer.ping();
  if (!peer.isOver(stream)) peer.send(wire.windowUpdate(stream, 2 ** 30));
  const answer = await answerOf(peer, stream);
  expect(textsOf(await say(peer, "on"))).toEqual(["on"]);
  expect(await bench.say("others")).toBe("others");
  expect(peer.referee.violations).toEqual([]);
  const data = peer.of(stream).filter(({ type }) => type === wire.types.data);
  return {
    answer,
    bytes: data.reduce((sum, { payload }) => sum + payload.length, 0),
    faults: bench.logged.map(({ error }) => error),
    broken: bench.broken.length,
  };
}

function statusOf({ answer }: Outcome): number {
  return Number(answer.trailers["grpc-status"]);
}

for (const [how, options] of [
  ["that takes everything", wide],
  ["that has to be waited for", narrow],
] as const) {
  test(`a client ${how} gets all pieces, as one message`, async () => {
    const outcome = await outcomeOf(
      (reply) => reply.sendPieces(8 * pieceBytes, pieces(8)),
      options,
    );
    expect(statusOf(outcome)).toBe(codes.ok);
    expect(outcome.answer.messages.map(({ bytes }) => bytes.length)).toEqual([8 * pieceBytes]);
    expect(outcome.faults).toEqual([]);
  });

  for (const at of [0, 1, 5, 8]) {
    test(`piece ${at} fails: a client ${how} is told, and one fault is logged`, async () => {
      const outcome = await outcomeOf(
        (reply) => reply.sendPieces(8 * pieceBytes, pieces(8, at)),
        options,
      );
      expect(statusOf(outcome)).toBe(codes.internal);
      expect(outcome.answer.trailers["grpc-message"]).toBe("internal error");
      expect(outcome.faults).toEqual([at === 8 ? "behind the last piece" : `piece ${at}`]);
      expect(outcome.broken).toBe(0);
    });
  }

  for (const [count, what] of [
    [7, "shorter"],
    [9, "longer"],
  ] as const) {
    test(`a message ${what} than was said is a broken invariant: a client ${how}`, async () => {
      const outcome = await outcomeOf(
        (reply) => reply.sendPieces(8 * pieceBytes, pieces(count)),
        options,
      );
      expect(statusOf(outcome)).toBe(codes.internal);
      expect(outcome.broken).toBe(1);
      expect(outcome.faults.length).toBe(1);
    });
  }

  test(`a second answer behind pieces is ignored: a client ${how}`, async () => {
    for (const again of [
      (reply: Reply<string>) => reply.send("again"),
      (reply: Reply<string>) => reply.sendPieces(8 * pieceBytes, pieces(8)),
    ]) {
      const outcome = await outcomeOf((reply) => {
        reply.sendPieces(8 * pieceBytes, pieces(8));
        again(reply);
      }, options);
      expect(statusOf(outcome)).toBe(codes.ok);
      expect(outcome.bytes).toBe(8 * pieceBytes + 5);
      expect(outcome.faults).toEqual([]);
    }
  });
}

test("a client that goes in the midst of pieces is no fault, and no piece is made for it", async () => {
  let made = 0;
  function* counted(): Generator<Uint8Array, undefined> {
    for (const piece of pieces(32)) {
      made++;
      yield piece;
    }
    return undefined;
  }
  await using bench = await open((reply) => reply.sendPieces(32 * pieceBytes, counted()));
  await using peer = await Peer.connect(bench.server.port, narrow);
  const stream = request(peer, "/test.Odd/Get", "?");
  await peer.ping();
  peer.send(wire.resetStream(stream, "CANCEL"));
  await peer.ping();
  expect(made).toBeLessThan(3);
  expect(bench.logged).toEqual([]);
});

test("a message longer than any client takes is refused before a piece of it is made", async () => {
  let made = 0;
  const outcome = await outcomeOf((reply) => {
    const counted = {
      next: () => {
        made++;
        return { done: true as const, value: undefined };
      },
    };
    reply.sendPieces(2 ** 31, counted);
  });
  expect(statusOf(outcome)).toBe(codes.resourceExhausted);
  expect(outcome.answer.trailers["grpc-message"]).toBe(
    "trying to send message larger than max (2147483648 vs. 2147483647)",
  );
  expect([made, outcome.bytes, outcome.faults]).toEqual([0, 0, []]);
});

test("of two answers the first counts", async () => {
  const failure = new StatusError(codes.notFound, "no");
  const cases: readonly (readonly [string, Handle, number, readonly string[]])[] = [
    ["send, send", (reply) => [reply.send("a"), reply.send("b")], codes.ok, ["a"]],
    ["send, fail", (reply) => [reply.send("a"), reply.fail(failure)], codes.ok, ["a"]],
    ["fail, send", (reply) => [reply.fail(failure), reply.send("a")], codes.notFound, []],
    [
      "fail, pieces",
      (reply) => [reply.fail(failure), reply.sendPieces(pieceBytes, pieces(1))],
      codes.notFound,
      [],
    ],
    ["send, pieces", (reply) => [reply.send("a"), reply.sendPieces(5, pieces(1))], codes.ok, ["a"]],
  ];
  for (const [name, handle, code, texts] of cases) {
    const outcome = await outcomeOf(handle);
    expect([name, statusOf(outcome), ...textsOf(outcome.answer)]).toEqual([name, code, ...texts]);
    expect(outcome.faults).toEqual([]);
  }
});

test("an answer that cannot be encoded ends the call, and one fault is logged", async () => {
  const outcome = await outcomeOf((reply) => reply.send("malformed"));
  expect(statusOf(outcome)).toBe(codes.internal);
  expect(outcome.faults).toEqual(["cannot be encoded"]);
});
