/**
 * Frames that cost a client nothing and a server something (RFC 9113, section 10.5), by the hundred
 * thousand: the connection is ended with ENHANCE_YOUR_CALM before they are all taken.
 */
import { expect } from "bun:test";
import { begin, message, request } from "../wire/exchange.ts";
import { blockOf, literal, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { expectCutOff } from "../wire/verdict.ts";
import { type Field, siege } from "./siege.ts";

const { attack } = siege();
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";
const floodFrames = 100_000;
const batch = 500;

/** Sends frames in batches, each made by `make`, until there were enough or the connection ends. */
async function rain(
  peer: Peer,
  make: () => readonly Buffer[],
  frames = floodFrames,
): Promise<void> {
  for (let sent = 0; sent < frames && !peer.closed; sent += batch) {
    peer.write(Buffer.concat(Array.from({ length: batch }, make).flat()));
    await peer.drained();
  }
}

/** The same frame, again and again, on a connection that has a stream. */
function same(frame: (stream: number) => Buffer) {
  return async ({ connect, flood }: Field): Promise<void> => {
    const peer = await connect();
    const stream = begin(peer, chatPath);
    const frames = Buffer.concat(Array.from({ length: batch }, () => frame(stream)));
    await flood(peer, frames, floodFrames / batch);
    await expectCutOff(peer, "ENHANCE_YOUR_CALM");
  };
}

attack("rapid reset (CVE-2023-44487): streams that are begun and reset", async ({ connect }) => {
  const peer = await connect();
  const block = blockOf(requestFields(chatPath));
  await rain(peer, () => {
    const stream = peer.nextStream();
    return [wire.headers(stream, block), wire.resetStream(stream, "CANCEL")];
  });
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});

attack("rapid reset of calls that their handlers are at work on", async ({ connect, victim }) => {
  const peer = await connect();
  const block = blockOf(requestFields(sayPath));
  await rain(peer, () => {
    const stream = peer.nextStream();
    return [
      wire.headers(stream, block),
      wire.data(stream, message("wait"), flags.endStream),
      wire.resetStream(stream, "CANCEL"),
    ];
  });
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
  expect((await victim.condition()).running).toBeLessThanOrEqual(1000);
});

/** What a client can do to a stream to have the server reset it. */
const provocations: readonly (readonly [string, (stream: number) => Buffer])[] = [
  ["WINDOW_UPDATE by 0", (stream) => wire.windowUpdate(stream, 0)],
  ["a window that overflows", (stream) => wire.windowUpdate(stream, wire.windowMax)],
  ["DATA behind the end", (stream) => wire.data(stream, Buffer.from("x"))],
  ["HEADERS behind the end", (stream) => wire.headers(stream, blockOf([]), flags.endStream)],
  ["half a PRIORITY", (stream) => wire.frame(types.priority, 0, stream, Buffer.alloc(4))],
];
for (const [what, provocation] of provocations) {
  attack(`resets provoked by ${what} (CVE-2025-8671)`, async ({ connect, victim }) => {
    const peer = await connect();
    const block = blockOf(requestFields(sayPath));
    await rain(peer, () => {
      const stream = peer.nextStream();
      return [
        wire.headers(stream, block),
        wire.data(stream, message("wait"), flags.endStream),
        provocation(stream),
      ];
    });
    await expectCutOff(peer, "ENHANCE_YOUR_CALM");
    expect((await victim.condition()).running).toBeLessThanOrEqual(1000);
  });
}

attack("resets provoked by malformed requests", async ({ connect }) => {
  const peer = await connect();
  const block = blockOf(requestFields(sayPath, [["BAD", "name"]]));
  await rain(peer, () => [wire.headers(peer.nextStream(), block, flags.endStream)]);
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});

attack("resets provoked by more streams than are taken", async ({ connect }) => {
  const peer = await connect();
  const block = blockOf(requestFields(chatPath));
  await rain(peer, () => [wire.headers(peer.nextStream(), block)]);
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});

for (const [what, fragment] of [
  ["empty CONTINUATION", Buffer.alloc(0)],
  ["CONTINUATION of one octet", Buffer.from([0x88])],
  ["CONTINUATION full of fields", Buffer.alloc(16_380, literal("a", "b"))],
] as const) {
  attack(`${what} without an end (CVE-2024-27983)`, async ({ connect, flood }) => {
    const peer = await connect();
    peer.send(wire.frame(types.headers, 0, 1, blockOf(requestFields(sayPath))));
    const frames = Array.from({ length: 10 }, () => wire.frame(types.continuation, 0, 1, fragment));
    await flood(peer, Buffer.concat(frames), floodFrames / 10);
    await expectCutOff(peer, "ENHANCE_YOUR_CALM");
  });
}

attack(
  "SETTINGS (CVE-2019-9515)",
  same(() => wire.settings()),
);
attack(
  "SETTINGS with many values",
  same(() => wire.settings(...Array(100).fill([0xf000, 1]))),
);
attack(
  "acknowledgements of nothing",
  same(() => wire.settingsAcknowledged),
);
attack(
  "PING (CVE-2019-9512)",
  same(() => wire.ping(1)),
);
attack(
  "answers to no PING",
  same(() => wire.ping(1, flags.acknowledge)),
);
attack(
  "empty DATA (CVE-2019-9518)",
  same((stream) => wire.data(stream, Buffer.alloc(0))),
);
attack(
  "DATA of padding only",
  same((stream) => wire.data(stream, wire.padded(Buffer.alloc(0), 0), flags.padded)),
);
attack(
  "WINDOW_UPDATE of the connection",
  same(() => wire.windowUpdate(0, 1)),
);
attack(
  "WINDOW_UPDATE of a stream",
  same((stream) => wire.windowUpdate(stream, 1)),
);
attack(
  "WINDOW_UPDATE of a closed stream",
  same(() => wire.windowUpdate(1, 1)),
);
attack(
  "PRIORITY (CVE-2019-9513)",
  same((stream) => wire.frame(types.priority, 0, stream + 2, wire.priorityFields(stream))),
);
attack(
  "frames of unknown types",
  same((stream) => wire.frame(0xbe, 0xff, stream)),
);
attack(
  "GOAWAY",
  same(() => wire.goAway(0, "NO_ERROR")),
);
attack(
  "RST_STREAM of a closed stream",
  same((stream) => wire.resetStream(stream, "CANCEL")),
);

attack(
  "initial windows that grow and shrink under a thousand streams",
  async ({ connect, flood }) => {
    const peer = await connect();
    for (let at = 0; at < 1000; at++) begin(peer, chatPath);
    const frames = [70_000, 60_000].map((size) =>
      wire.settings([settingIds.initialWindowSize, size]),
    );
    await flood(peer, Buffer.concat(Array(50).fill(frames).flat()), 1000);
    await expectCutOff(peer, "ENHANCE_YOUR_CALM");
  },
);

for (const [what, frame] of [
  ["SETTINGS", wire.settings()],
  ["PING", wire.ping(1)],
] as const) {
  attack(`${what} of a client that reads no answer`, async ({ connect, flood }) => {
    const peers = await Promise.all(Array.from({ length: 10 }, () => connect()));
    for (const peer of peers) peer.pause();
    const frames = Buffer.concat(Array.from({ length: 1000 }, () => frame));
    // Nobody hears GOAWAY, nor the end: what is left is that the server bears it.
    await Promise.all(
      peers.map(async (peer) => {
        for (let at = 0; at < 50; at++) peer.write(frames);
        peer.resume();
        await Promise.race([flood(peer, frames, 200), peer.until(() => peer.closed)]);
        await peer.until(() => peer.closed);
      }),
    );
  });
}

attack("a response that is asked for octet by octet (CVE-2019-9511)", async ({ connect }) => {
  const peer = await connect({ settings: [[settingIds.initialWindowSize, 0]] });
  const streams = Array.from({ length: 10 }, () => request(peer, sayPath, "bytes 100000"));
  for (let sent = 0; sent < 100_000 && !peer.closed; sent += 10) {
    peer.send(...streams.map((stream) => wire.windowUpdate(stream, 1)));
    await peer.drained();
  }
  await expectCutOff(peer, "ENHANCE_YOUR_CALM");
});
