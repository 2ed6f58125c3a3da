/** Clients that want the server to keep much for little, and those that take nothing of it. */
import { expect } from "bun:test";
import { answerOf, begin, message, request, say, textsOf } from "../wire/exchange.ts";
import { blockOf, indexed, literal, remembered, requestFields } from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { expectConnectionError, expectCutOff } from "../wire/verdict.ts";
import { siege } from "./siege.ts";

const { attack } = siege();
const { flags, settingIds, types } = wire;
const sayPath = "/test.Echo/Say";
const chatPath = "/test.Echo/Chat";
const fields = blockOf(requestFields(sayPath));

/** Sends a whole field block in HEADERS and CONTINUATION. */
function sendBlock(peer: Peer, stream: number, block: Buffer): void {
  const size = 16_384;
  const last = Math.ceil(block.length / size) - 1;
  for (let at = 0; at <= last; at++) {
    const type = at === 0 ? types.headers : types.continuation;
    const flagBits = (at === 0 ? flags.endStream : 0) | (at === last ? flags.endHeaders : 0);
    peer.send(wire.frame(type, flagBits, stream, block.subarray(at * size, (at + 1) * size)));
  }
}

attack("an HPACK bomb: 16,000 times one large field, in 16 KB", async ({ connect }) => {
  const peer = await connect();
  const large = Buffer.concat([fields, remembered("large", "x".repeat(3900))]);
  expect((await answerOf(peer, ask(peer, large))).trailers["grpc-status"]).toBe("13");
  const bomb = Buffer.concat([fields, Buffer.alloc(16_000, indexed(62))]);
  for (let at = 0; at < 200; at++) {
    const answer = await answerOf(peer, ask(peer, bomb));
    expect(answer.trailers["grpc-status"]).not.toBe("0");
  }
  expect(textsOf(await say(peer, "still here"))).toEqual(["still here"]);

  function ask(to: Peer, block: Buffer): number {
    const stream = to.nextStream();
    sendBlock(to, stream, block);
    return stream;
  }
});

attack("field lists of 120 KB, a thousand times", async ({ connect }) => {
  const peer = await connect();
  const block = Buffer.concat([fields, blockOf([["large", "x".repeat(120_000)]])]);
  for (let at = 0; at < 1000 && !peer.closed; at++) {
    const stream = peer.nextStream();
    sendBlock(peer, stream, block);
    expect((await answerOf(peer, stream)).trailers["grpc-status"]).not.toBe("0");
  }
});

attack("field blocks that grow beyond all measure", async ({ connect, flood }) => {
  const peers = await Promise.all(Array.from({ length: 20 }, () => connect()));
  const filler = wire.frame(types.continuation, 0, 1, Buffer.alloc(16_380, literal("a", "b")));
  await Promise.all(
    peers.map(async (peer) => {
      peer.send(wire.frame(types.headers, 0, 1, fields));
      await flood(peer, filler, 10_000);
      await expectCutOff(peer, "ENHANCE_YOUR_CALM");
    }),
  );
});

attack("frames that say they are of 16 MiB", async ({ connect }) => {
  for (const type of [types.data, types.headers, types.settings, types.ping, 0xfa]) {
    const peer = await connect();
    const stream = begin(peer, chatPath);
    peer.send(wire.frame(type, 0, type < 2 ? stream : 0, Buffer.alloc(0), 2 ** 24 - 1));
    await expectConnectionError(peer, "FRAME_SIZE_ERROR");
  }
});

attack("messages that say they are of 4 GiB, on a thousand streams", async ({ connect }) => {
  const peer = await connect();
  for (let at = 0; at < 1000; at++) {
    const stream = begin(peer, at % 2 === 0 ? sayPath : chatPath);
    peer.send(wire.data(stream, message("x", 0, 2 ** 32 - 1)));
    expect((await answerOf(peer, stream)).trailers["grpc-status"]).toBe("8");
  }
});

attack("a message of 2 MiB in frames of one octet", async ({ connect, victim }) => {
  const before = await victim.condition();
  const peer = await connect();
  const stream = begin(peer, sayPath);
  const text = message("x".repeat(2_000_000));
  await peer.upload(stream, text.subarray(0, 5), false);
  const one = wire.data(stream, Buffer.from("x"));
  const many = Buffer.concat(Array.from({ length: 10_000 }, () => one));
  for (let sent = 0; sent < 600_000 && !peer.closed; sent += 10_000) {
    peer.write(many);
    await peer.drained();
  }
  expect(await peer.ping()).toBe(true);
  const { bytes } = await victim.condition();
  expect((bytes - before.bytes) / 2 ** 20).toBeLessThan(48);
});

/** What answers in wait may cost, with what is thrown away on the way. */
const waiting = { growth: 160, peak: 2400 };

attack(
  "answers of 400 MB that nobody has a window for",
  async ({ connect, victim }) => {
    const peer = await connect({ settings: [[settingIds.initialWindowSize, 0]] });
    for (let at = 0; at < 400; at++) request(peer, sayPath, "bytes 1000000");
    expect(await peer.ping()).toBe(true);
    await victim.condition();
  },
  waiting,
);

attack(
  "answers of 400 MB on a connection that is not read",
  async ({ connect, victim }) => {
    const peer = await connect({ settings: [[settingIds.initialWindowSize, wire.windowMax]] });
    peer.send(wire.windowUpdate(0, wire.windowMax - 65_535));
    peer.pause();
    for (let at = 0; at < 400; at++) request(peer, sayPath, "bytes 1000000");
    while ((await victim.condition()).running > 1);
  },
  waiting,
);

attack(
  "large answers that wait on many connections",
  async ({ connect, victim }) => {
    const settings = [[settingIds.initialWindowSize, 0]] as const;
    const peers = await Promise.all(Array.from({ length: 50 }, () => connect({ settings })));
    for (const peer of peers) {
      for (let at = 0; at < 100; at++) request(peer, sayPath, "bytes 80000");
      expect(await peer.ping()).toBe(true);
    }
    await victim.condition();
  },
  waiting,
);

attack(
  "more answers in wait than there is memory for: who has most of them pays",
  async ({ connect }) => {
    const peers = [];
    for (const count of [200, 600, 600]) {
      const peer = await connect({ settings: [[settingIds.initialWindowSize, 0]] });
      for (let at = 0; at < count; at++) request(peer, sayPath, "bytes 1000000");
      await peer.ping();
      peers.push(peer);
    }
    const [modest, ...greedy] = peers;
    expect(greedy.some(({ closed }) => closed)).toBe(true);
    expect(modest?.closed).toBe(false);
  },
  { growth: 160, peak: 5000 },
);

attack("streams that pour, to a hundred clients that read nothing", async ({ connect, victim }) => {
  const peers = await Promise.all(
    Array.from({ length: 100 }, () =>
      connect({ settings: [[settingIds.initialWindowSize, 2 ** 30]] }),
    ),
  );
  for (const peer of peers) {
    peer.send(wire.windowUpdate(0, 2 ** 30));
    peer.pause();
    const stream = begin(peer, chatPath);
    peer.send(wire.data(stream, message("pour")));
  }
  while ((await victim.condition()).streams < peers.length);
  for (let at = 0; at < 20; at++) await victim.condition();
});

attack(
  "streams whose handlers do not read, filled to the brim",
  async ({ connect }) => {
    const peer = await connect();
    const chunk = message("x".repeat(16_000));
    const streams = Array.from({ length: 200 }, () => begin(peer, chatPath));
    for (const stream of streams) peer.send(wire.data(stream, message("deaf")));
    for (const stream of streams) {
      while (!peer.closed && peer.windowOf(stream) > chunk.length) {
        await peer.until(() => peer.closed || peer.windowOf(0) > chunk.length);
        peer.send(wire.data(stream, chunk));
      }
    }
    await peer.ping();
  },
  { growth: 160, peak: 700 },
);

attack("requests of which only half comes, on many connections", async ({ connect }) => {
  const half = Buffer.alloc(16_384);
  half.writeUInt32BE(2_000_000, 1);
  for (let round = 0; round < 20; round++) {
    const peer = await connect();
    const streams = Array.from({ length: 50 }, () => begin(peer, sayPath));
    for (const stream of streams) peer.send(wire.data(stream, half), wire.data(stream, half));
    expect(await peer.ping()).toBe(true);
  }
});

/** Frames of unknown type fill a packet up; they cost a client little. */
const filling = Buffer.concat(Array(3).fill(wire.frame(0xbe, 0, 0, Buffer.alloc(16_000))));

attack(
  "small requests in large packets, which are not kept for them",
  async ({ connect, victim }) => {
    const before = await victim.condition();
    for (let connection = 0; connection < 3; connection++) {
      const peer = await connect();
      for (let at = 0; at < 900; at++) {
        peer.send(filling, wire.data(begin(peer, sayPath), message("x")));
        await peer.drained();
      }
      expect(await peer.ping()).toBe(true);
    }
    const { bytes } = await victim.condition();
    expect((bytes - before.bytes) / 2 ** 20).toBeLessThan(64);
  },
);

attack(
  "small messages in large packets for a handler that reads none",
  async ({ connect, victim }) => {
    const before = await victim.condition();
    const peer = await connect();
    const stream = begin(peer, chatPath);
    peer.send(wire.data(stream, message("deaf")));
    for (let at = 0; at < 2500; at++) {
      peer.send(filling, wire.data(stream, message("x")));
      await peer.drained();
    }
    expect(await peer.ping()).toBe(true);
    const { bytes } = await victim.condition();
    expect((bytes - before.bytes) / 2 ** 20).toBeLessThan(64);
  },
);
