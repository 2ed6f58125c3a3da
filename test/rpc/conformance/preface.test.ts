/** How connections begin: RFC 9113, section 3.4. */
import { expect, test } from "bun:test";
import { court } from "../wire/court.ts";
import { answerOf, message, say, textsOf } from "../wire/exchange.ts";
import { blockOf, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import { expectConnectionError, expectUnharmed } from "../wire/verdict.ts";

const { connect, rule } = court();
const mute = { mute: true };

rule(
  "RFC 9113 3.4: the server's preface is SETTINGS, before anything else",
  async (peer) => {
    peer.write(wire.preface);
    peer.send(wire.settings(), wire.ping(1));
    await peer.until(() => peer.closed || (peer.arrived >= 3 && peer.settings.size > 0));
    expect(peer.referee.violations).toEqual([]);
  },
  mute,
);

rule("RFC 9113 3.4: the client's SETTINGS are acknowledged", async (peer) => {
  await peer.until(() => peer.closed || peer.settled);
  expect(peer.closed).toBe(false);
});

rule(
  "RFC 9113 3.4: frames right behind the preface are answered",
  async (peer) => {
    const stream = peer.nextStream();
    const block = blockOf(requestFields("/test.Echo/Say"));
    peer.write(wire.preface);
    peer.send(
      wire.settings(),
      wire.headers(stream, block),
      wire.data(stream, message("early"), wire.flags.endStream),
    );
    expect(textsOf(await answerOf(peer, stream))).toEqual(["early"]);
  },
  mute,
);

rule(
  "RFC 9113 3.4: a preface may arrive byte by byte",
  async (peer) => {
    for (const byte of wire.preface) {
      peer.write(Buffer.from([byte]));
      await peer.drained();
    }
    const settings = wire.settings([wire.settingIds.enablePush, 0]);
    for (const byte of settings) {
      peer.write(Buffer.from([byte]));
      await peer.drained();
    }
    expect(textsOf(await say(peer, "slow"))).toEqual(["slow"]);
  },
  mute,
);

const strangers: readonly (readonly [string, string])[] = [
  ["HTTP/1.1", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"],
  ["a preface whose end is wrong", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r"],
  ["a preface whose beginning is wrong", "PRJ * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["a preface of HTTP/3", "PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n"],
  ["a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03xxxxxxxxxxxxxxxx"],
  ["frames without a preface", `${wire.settings()}${wire.ping(1)}${wire.ping(2)}`],
];

for (const [what, text] of strangers) {
  // What is no HTTP/2 may be answered in words of its own: only that the connection ends is due.
  test(`RFC 9113 3.4: ${what} is not taken`, async () => {
    await using peer = await connect(mute);
    peer.write(Buffer.from(text, "latin1"));
    peer.send(wire.settings(), wire.ping(1));
    await peer.until(() => peer.closed || peer.settled);
    expect(peer.settled).toBe(false);
  });
}

rule(
  "RFC 9113 3.4: a frame other than SETTINGS behind the preface ends the connection",
  async (peer) => {
    peer.write(wire.preface);
    peer.send(wire.ping(7));
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  },
  mute,
);

rule(
  "RFC 9113 3.4: a request before the client's SETTINGS ends the connection",
  async (peer) => {
    peer.write(wire.preface);
    peer.open(requestFields("/test.Echo/Say"));
    await expectConnectionError(peer, "PROTOCOL_ERROR");
  },
  mute,
);

rule(
  "RFC 9113 3.4: the client's first SETTINGS may say anything that is valid",
  async (peer) => {
    await expectUnharmed(peer);
    expect(textsOf(await say(peer, "well"))).toEqual(["well"]);
  },
  {
    settings: [
      [wire.settingIds.headerTableSize, 65_536],
      [wire.settingIds.enablePush, 1],
      [wire.settingIds.maxConcurrentStreams, 0],
      [wire.settingIds.initialWindowSize, wire.windowMax],
      [wire.settingIds.maxFrameSize, 2 ** 24 - 1],
      [wire.settingIds.maxHeaderListSize, 2 ** 32 - 1],
      [0xf0f0, 1],
    ],
  },
);
