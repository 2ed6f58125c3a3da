/** Compressed messages: gRPC's compression document, and what must not come of it. */
import { expect } from "bun:test";
import zlib from "node:zlib";
import { codes } from "../../../src/rpc/status.ts";
import { court } from "../wire/court.ts";
import { type Answer, answerOf, begin, message, textsOf } from "../wire/exchange.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";

const receiveBytesMax = 2_097_152;
const here = court();
const { rule } = here;

/** Sends a message as it is, under a grpc-encoding (none where it is empty). */
async function ask(
  peer: Peer,
  encoding: string,
  bytes: Buffer,
  flag = 1,
  path = "/test.Echo/Say",
): Promise<Answer> {
  const stream = begin(peer, path, encoding === "" ? [] : [["grpc-encoding", encoding]]);
  await peer.upload(stream, message(bytes, flag), true);
  return await answerOf(peer, stream);
}

function statusOf({ trailers }: Answer): string | undefined {
  return trailers["grpc-status"];
}

for (const [encoding, compress] of [
  ["gzip", zlib.gzipSync],
  ["deflate", zlib.deflateSync],
] as const) {
  rule(`a message in ${encoding} is taken`, async (peer) => {
    for (const text of ["", "hello", "x".repeat(50_000)]) {
      expect(textsOf(await ask(peer, encoding, compress(Buffer.from(text))))).toEqual([text]);
    }
  });
}

rule("a message in gzip may be as large as any", async (peer) => {
  peer.send(wire.windowUpdate(0, 8_000_000));
  peer.send(wire.settings([wire.settingIds.initialWindowSize, 8_000_000]));
  const largest = Buffer.alloc(receiveBytesMax, "x");
  const answer = await ask(peer, "gzip", zlib.gzipSync(largest));
  expect(answer.messages[0]?.bytes.equals(largest)).toBe(true);
  const larger = await ask(peer, "gzip", zlib.gzipSync(Buffer.alloc(receiveBytesMax + 1)));
  expect(statusOf(larger)).toBe(String(codes.resourceExhausted));
});

rule("a message that is not compressed is taken under any encoding", async (peer) => {
  for (const encoding of ["gzip", "deflate", "identity"]) {
    expect(textsOf(await ask(peer, encoding, Buffer.from("plain"), 0))).toEqual(["plain"]);
  }
});

rule("compressed and other messages may be mixed on a stream", async (peer) => {
  const stream = begin(peer, "/test.Echo/Chat", [["grpc-encoding", "gzip"]]);
  for (const text of ["a", "b", "c"]) {
    const bytes = text === "b" ? message(text) : message(zlib.gzipSync(text), 1);
    peer.send(wire.data(stream, bytes));
  }
  peer.send(wire.data(stream, Buffer.alloc(0), wire.flags.endStream));
  expect(textsOf(await answerOf(peer, stream))).toEqual(["a", "b", "c"]);
});

for (const encoding of ["br", "snappy", "GZIP", "x"]) {
  rule(`the encoding ${encoding} is unknown: it is told which are not`, async (peer) => {
    const answer = await ask(peer, encoding, Buffer.from("?"));
    expect(statusOf(answer)).toBe(String(codes.unimplemented));
    const known = (answer.headers["grpc-accept-encoding"] ?? "").split(/, */);
    expect(known).toContain("gzip");
    expect(known).toContain("identity");
  });
}

for (const encoding of ["", "identity"]) {
  rule(`a compressed message is refused where the encoding is "${encoding}"`, async (peer) => {
    const answer = await ask(peer, encoding, zlib.gzipSync("hello"));
    expect(statusOf(answer)).toBe(String(codes.internal));
  });
}

for (const flag of [2, 3, 0x80, 0xff]) {
  rule(`a message whose flag is ${flag} is refused`, async (peer) => {
    expect(statusOf(await ask(peer, "gzip", zlib.gzipSync("x"), flag))).toBe(
      String(codes.internal),
    );
  });
}

for (const [what, bytes] of [
  ["noise", Buffer.from("this is no gzip")],
  ["nothing", Buffer.alloc(0)],
  ["cut off", zlib.gzipSync("x".repeat(1000)).subarray(0, -9)],
  ["damaged", Buffer.concat([zlib.gzipSync("hello").subarray(0, -8), Buffer.alloc(8)])],
] as const) {
  rule(`gzip that is ${what} is refused, on a stream too`, async (peer) => {
    for (const path of ["/test.Echo/Say", "/test.Echo/Chat"]) {
      const answer = await ask(peer, "gzip", bytes, 1, path);
      expect(statusOf(answer)).toBe(String(codes.internal));
      expect(answer.messages).toEqual([]);
    }
  });
}

rule("a message that inflates beyond all measure is refused, and costs no memory", async (peer) => {
  // 1 GiB in a megabyte; as a stream of members, which gzip allows, so that no trick of sizes helps.
  const member = zlib.gzipSync(Buffer.alloc(64 * 2 ** 20), { level: 9 });
  const bomb = Buffer.concat(Array.from({ length: 16 }, () => member));
  await ask(peer, "gzip", bomb);
  const before = process.memoryUsage.rss();
  for (let at = 0; at < 20; at++) {
    expect(statusOf(await ask(peer, "gzip", bomb))).toBe(String(codes.resourceExhausted));
  }
  Bun.gc(true);
  expect(process.memoryUsage.rss() - before).toBeLessThan(200 * 2 ** 20);
});
