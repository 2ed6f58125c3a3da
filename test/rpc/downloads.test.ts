/**
 * Long answers to honest clients, whose WINDOW_UPDATEs are many and no flood. Time stands still, so
 * that a client's credit does not come of it.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { serve } from "../../src/rpc/server.ts";
import { Bench } from "./echo.ts";
import { StillClock } from "./far-end.ts";
import { request } from "./wire/exchange.ts";
import * as wire from "./wire/frame.ts";
import { Peer } from "./wire/peer.ts";
import { expectCutOff } from "./wire/verdict.ts";

/** Of messages with their headers. */
const answerBytes = 160 * 2 ** 20;

let bench: Bench;
beforeAll(async () => {
  bench = await Bench.open(
    serve,
    {
      /** An answer of messages that are, with their headers, as long as the request says. */
      async list(stream) {
        for await (const { text } of stream.requests) {
          const length = Number(text);
          const message = { text: "x".repeat(length - 5) };
          for (let at = 0; at < answerBytes / length; at++) {
            if (!stream.writable) await stream.drained();
            stream.send(message);
          }
        }
      },
    },
    { clock: new StillClock() },
  );
});
afterAll(() => bench[Symbol.asyncDispose]());

/** Gives back the bytes of a frame, on the connection and on its stream. */
type GiveBack = (peer: Peer, stream: number, bytes: number) => void;

/** Reads an answer to its end, giving back what it takes; how many bytes that was. */
async function download(peer: Peer, messageBytes: number, giveBack: GiveBack): Promise<number> {
  const stream = request(peer, "/test.Echo/List", `${messageBytes}`);
  let taken = 0;
  for (let isOver = false; !isOver; ) {
    await peer.until(() => peer.closed || peer.of(stream).length > 0);
    const frames = peer.of(stream);
    isOver = peer.closed || peer.isOver(stream);
    peer.forget(stream);
    for (const { payload, type } of frames) {
      if (type !== wire.types.data) continue;
      taken += payload.length;
      giveBack(peer, stream, payload.length);
    }
  }
  return taken;
}

/** Gives back what is owed, on both windows, when it is this much. */
function each(bytesMin: number): GiveBack {
  let owed = 0;
  return (peer, stream, bytes) => {
    owed += bytes;
    if (owed < bytesMin) return;
    peer.send(wire.windowUpdate(0, owed), wire.windowUpdate(stream, owed));
    owed = 0;
  };
}

/** Windows that frames of 16 KiB fill without a rest. */
const whole = { settings: [[wire.settingIds.initialWindowSize, 65_536]] } as const;

for (const [who, messageBytes, giveBack] of [
  ["gives back each frame of 16 KiB", 2 ** 20, each(1)],
  ["gives back 16 KiB, however they are cut", 2 ** 20 + 5, each(16_384)],
  ["gives back half its window", 100_000, each(32_768)],
] as const) {
  test(`160 MiB reach a client that ${who}, on both windows`, async () => {
    await using peer = await Peer.connect(bench.server.port, whole);
    peer.send(wire.windowUpdate(0, 1));
    const bytes = Math.ceil(answerBytes / messageBytes) * messageBytes;
    expect(await download(peer, messageBytes, giveBack)).toBe(bytes);
    expect(peer.goAway).toBeUndefined();
    expect(await peer.ping()).toBe(true);
    expect(peer.referee.violations).toEqual([]);
    expect(bench.logged).toEqual([]);
  });
}

/** Widens the connection's window by 20,000, one at a time. */
async function widenByOnes(peer: Peer): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 1000 }, () => wire.windowUpdate(0, 1)));
  for (let at = 0; at < 20 && !peer.closed; at++) {
    peer.write(many);
    await peer.drained();
  }
}

test("a client that takes no DATA may not widen its windows without end", async () => {
  await using peer = await Peer.connect(bench.server.port);
  await widenByOnes(peer);
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});

test("nor may one that has taken much, when it takes no more", async () => {
  await using peer = await Peer.connect(bench.server.port, whole);
  await download(peer, 2 ** 20, each(32_768));
  expect(await peer.ping()).toBe(true);
  await widenByOnes(peer);
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});
