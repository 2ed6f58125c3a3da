/** Clients that take their time, stop in the middle, or go without a word. */
import { expect } from "bun:test";
import { serve } from "../../../src/rpc/server.ts";
import { Bench, until } from "../echo.ts";
import { court, courtly } from "../wire/court.ts";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import { blockOf, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import { Peer } from "../wire/peer.ts";
import { HastyClock } from "./hasty-clock.ts";

/** A minute of the server's time is a second. */
const here = court(
  {},
  { clock: new HastyClock(), keepalive: { intervalMs: 30_000, timeoutMs: 10_000 } },
);
const { connect, rule } = here;
/** Two hours pass here before anybody is asked whether he lives: longer than a rule takes. */
const patient = court({}, { clock: new HastyClock() });
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";
const mute = { mute: true };

/** The bytes of a whole session: the preface, and one call. */
const session = Buffer.concat([
  wire.preface,
  wire.settings(),
  wire.headers(1, blockOf(requestFields(sayPath))),
  wire.data(1, message("slowly"), flags.endStream),
]);

/** Resolves when the server has closed all of these connections. */
function closed(peers: readonly Peer[]): Promise<unknown> {
  return Promise.all(peers.map((peer) => peer.until(() => peer.closed)));
}

patient.rule("clients that say nothing are not waited for", async () => {
  const peers = await Promise.all(Array.from({ length: 300 }, () => patient.connect(mute)));
  expect(await patient.bench.say("served")).toBe("served");
  await closed(peers);
});

for (const [what, bytes] of [
  ["half a preface", wire.preface.subarray(0, 12)],
  ["five bytes of a preface", wire.preface.subarray(0, 5)],
  ["a preface without SETTINGS", wire.preface],
  ["a preface and half of SETTINGS", session.subarray(0, 28)],
] as const) {
  patient.rule(`a client that stops behind ${what} is not waited for`, async () => {
    const peer = await patient.connect(mute);
    peer.write(bytes);
    expect(await patient.bench.say("served")).toBe("served");
    await closed([peer]);
  });
}

for (const [what, bytes] of [
  ["a frame's header", wire.ping(1).subarray(0, 5)],
  ["a PING", wire.ping(1).subarray(0, 13)],
  ["HEADERS", wire.headers(3, blockOf(requestFields(sayPath))).subarray(0, 40)],
  ["a field block", wire.frame(types.headers, 0, 3, blockOf(requestFields(sayPath)))],
  [
    "DATA",
    Buffer.concat([
      wire.headers(3, blockOf(requestFields(chatPath))),
      wire.data(3, message("x")).subarray(0, 12),
    ]),
  ],
] as const) {
  rule(`a client that stops in the middle of ${what}, and answers no PING, is closed`, async () => {
    const peer = await connect(mute);
    peer.write(Buffer.concat([session, bytes]));
    expect(textsOf(await answerOf(peer, 1))).toEqual(["slowly"]);
    await closed([peer]);
    await until(() => here.bench.server.streams === 0);
  });
}

rule("a client that says nothing but answers PING stays", async (peer) => {
  const before = peer.arrived;
  await peer.until(() => peer.closed || peer.arrived >= before + 3);
  expect(textsOf(await say(peer, "still here"))).toEqual(["still here"]);
});

rule("clients that send byte by byte are answered", async () => {
  const peers = await Promise.all(Array.from({ length: 20 }, () => connect(mute)));
  for (const byte of session) {
    for (const peer of peers) peer.write(Buffer.from([byte]));
    await Promise.all(peers.map((peer) => peer.drained()));
  }
  for (const peer of peers) expect(textsOf(await answerOf(peer, 1))).toEqual(["slowly"]);
});

rule("a client that closes its half behind a request is answered first", async (peer) => {
  const stream = request(peer, sayPath, "bytes 50000");
  peer.end();
  expect((await answerOf(peer, stream)).messages[0]?.bytes.length).toBe(50_000);
  await closed([peer]);
});

rule(
  "a client that closes its half before its request is complete is not waited for",
  async (peer) => {
    begin(peer, chatPath);
    const stream = begin(peer, sayPath);
    peer.send(wire.data(stream, message("cut").subarray(0, 6)));
    await until(() => here.bench.server.streams === 1);
    peer.end();
    await closed([peer]);
    await until(() => here.bench.server.streams === 0);
  },
);

patient.rule("what no window can come for any more is not kept: a closed half", async () => {
  const peer = await patient.connect({ settings: [[settingIds.initialWindowSize, 10]] });
  request(peer, sayPath, "bytes 50000");
  expect(await peer.ping()).toBe(true);
  peer.end();
  await closed([peer]);
});

patient.rule(
  "what no window can come for any more is not kept: a closed connection's",
  async () => {
    const peer = await patient.connect();
    const streams = Array.from({ length: 10 }, () => request(peer, sayPath, "bytes 50000"));
    await peer.until(() => peer.closed || streams.every((stream) => peer.of(stream).length > 0));
    peer.end();
    await closed([peer]);
  },
);

rule("a call that waits learns that its client has gone", async (peer) => {
  const stream = begin(peer, chatPath);
  peer.send(wire.data(stream, message("x")));
  await peer.until(() => peer.closed || peer.of(stream).length > 1);
  peer.destroy();
  await until(() => here.bench.server.streams === 0);
});

rule("a server that stops waits for none of them", async () => {
  await using bench = await Bench.open(serve, courtly, { clock: new HastyClock() });
  const { port } = bench.server;
  const silent = await Peer.connect(port, mute);
  const halted = await Peer.connect(port, mute);
  halted.write(session.subarray(0, -3));
  const narrow = await Peer.connect(port, { settings: [[settingIds.initialWindowSize, 0]] });
  request(narrow, sayPath, "bytes 50000");
  const deaf = await Peer.connect(port);
  deaf.pause();
  request(deaf, sayPath, "bytes 5000000");
  const waiting = await Peer.connect(port);
  request(waiting, sayPath, "wait");
  begin(waiting, chatPath);
  expect(await waiting.ping()).toBe(true);
  await bench.server.stop(5000);
  deaf.resume();
  await closed([silent, halted, narrow, deaf, waiting]);
});
