/** What one client does to the account of all: nothing that another would notice. */
import { expect, test } from "bun:test";
import { serve } from "../../../src/rpc/server.ts";
import { behind, type Reply, type Service, serviceOf } from "../../../src/rpc/service.ts";
import { codes } from "../../../src/rpc/status.ts";
import { Bench, EchoDefinition, echo } from "../echo.ts";
import { answerOf, begin, message, request, textsOf } from "../wire/exchange.ts";
import * as wire from "../wire/frame.ts";
import { Peer } from "../wire/peer.ts";

const sayPath = "/test.Echo/Say";
const heldBytesMax = 2 ** 20;
const pieceBytes = 65_536;

/** Answers test.Large/Get with 2 MiB, in pieces. */
const large: Service = {
  name: "test.Large",
  methods: [
    {
      kind: "unary",
      name: "Get",
      codec: { decode: () => undefined, encode: () => behind(new Uint8Array(0), 5) },
      handle(_request: unknown, _call: unknown, reply: Reply<unknown>) {
        reply.sendPieces(32 * pieceBytes, pieces());
      },
    },
  ],
};

function* pieces(): Generator<Uint8Array, undefined> {
  for (let at = 0; at < 32; at++) yield new Uint8Array(pieceBytes);
  return undefined;
}

function open(): Promise<Bench> {
  return Bench.open(
    serve,
    {},
    {
      services: [serviceOf(EchoDefinition, echo), large],
      limits: {
        receiveBytesMax: 2_097_152,
        sendQueueBytesMax: 262_144,
        concurrentStreamsMax: 1000,
        heldBytesMax,
      },
    },
  );
}

/** Whether a client is served for whom something has to be kept: its message comes in two frames. */
async function isServed(bench: Bench): Promise<boolean> {
  await using peer = await Peer.connect(bench.server.port);
  const stream = begin(peer, sayPath);
  const asked = message("x".repeat(1000));
  peer.send(wire.data(stream, asked.subarray(0, 800)));
  if (!(await peer.ping())) return false;
  peer.send(wire.data(stream, asked.subarray(800), wire.flags.endStream));
  const [text] = textsOf(await answerOf(peer, stream));
  return text === "x".repeat(1000);
}

const namesOfObjects = [
  "constructor",
  "hasOwnProperty",
  "toString",
  "valueOf",
  "__proto__",
  "__defineGetter__",
];

for (const encoding of namesOfObjects) {
  test(`the encoding ${encoding} is one that nobody knows`, async () => {
    await using bench = await open();
    await using peer = await Peer.connect(bench.server.port);
    const other = begin(peer, "/test.Echo/Chat");
    for (const path of [sayPath, "/test.Echo/Chat"]) {
      const stream = begin(peer, path, [["grpc-encoding", encoding]]);
      peer.send(wire.data(stream, message("hello", 1)));
      const { messages, trailers } = await answerOf(peer, stream);
      expect(trailers["grpc-status"]).toBe(String(codes.unimplemented));
      expect(messages).toEqual([]);
    }
    peer.send(wire.data(other, message("on"), wire.flags.endStream));
    expect(textsOf(await answerOf(peer, other))).toEqual(["on"]);
    expect(await isServed(bench)).toBe(true);
    expect(bench.logged).toEqual([]);
    expect(peer.referee.violations).toEqual([]);
  });
}

test("who was cut off, again and again, leaves nothing on the account", async () => {
  await using bench = await open();
  const half = message(new Uint8Array(1_500_000)).subarray(0, 900_000);
  for (let round = 0; round < 40; round++) {
    await using peer = await Peer.connect(bench.server.port);
    const streams = [begin(peer, sayPath), begin(peer, sayPath)];
    await Promise.all(streams.map((stream) => peer.upload(stream, half, false)));
    await peer.until(() => peer.closed);
  }
  expect(bench.logged.length).toBe(40);
  for (const { heldBytes, level } of bench.logged) {
    expect(level).toBe("warn");
    expect(heldBytes).toBeGreaterThan(heldBytesMax);
    expect(heldBytes).toBeLessThan(2 * heldBytesMax);
  }
  expect(await isServed(bench)).toBe(true);
});

test("who is cut off for an answer in pieces leaves nothing on the account", async () => {
  await using bench = await open();
  for (let round = 0; round < 10; round++) {
    await using peer = await Peer.connect(bench.server.port);
    await answerOf(peer, request(peer, "/test.Large/Get", "?"));
    expect(peer.closed).toBe(true);
  }
  expect(bench.logged.map(({ heldBytes }) => heldBytes)).toEqual(Array(10).fill(32 * pieceBytes));
  expect(await isServed(bench)).toBe(true);
});

test("who keeps most is cut off, and not who comes last", async () => {
  await using bench = await open();
  const settings = [[wire.settingIds.initialWindowSize, 2 ** 20]] as const;
  await using modest = await Peer.connect(bench.server.port, { settings });
  modest.send(wire.windowUpdate(0, 2 ** 20));
  await using greedy = await Peer.connect(bench.server.port);
  const asked = message(new Uint8Array(900_000));
  const small = begin(modest, sayPath);
  await greedy.upload(begin(greedy, sayPath), asked.subarray(0, 800_000), false);
  await greedy.ping();
  await modest.upload(small, asked.subarray(0, 400_000), false);
  await greedy.until(() => greedy.closed);
  await modest.upload(small, asked.subarray(400_000), true);
  expect((await answerOf(modest, small)).trailers["grpc-status"]).toBe(String(codes.ok));
  expect(bench.logged.length).toBe(1);
});
