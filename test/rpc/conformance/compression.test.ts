/** HPACK as a client on the wire sees it: RFC 7541. What cannot be decoded ends the connection. */
import { expect } from "bun:test";
import { court } from "../wire/court.ts";
import { answerOf, message, textsOf } from "../wire/exchange.ts";
import {
  blockOf,
  indexed,
  integer,
  literal,
  remembered,
  requestFields,
  string,
  tableSize,
} from "../wire/fields.ts";
import * as wire from "../wire/frame.ts";
import type { Peer } from "../wire/peer.ts";
import { expectConnectionError } from "../wire/verdict.ts";

const { rule } = court();
const fields = blockOf(requestFields("/test.Echo/Say"));

/** Sends a request with this block; its stream. */
function ask(peer: Peer, block: Buffer): number {
  const stream = peer.nextStream();
  peer.send(wire.headers(stream, block));
  peer.send(wire.data(stream, message("hello"), wire.flags.endStream));
  return stream;
}

const undecodable: readonly (readonly [string, Buffer])[] = [
  ["6.1: index 0", Buffer.from([0x80])],
  ["2.3.3: an index that no table has", indexed(62)],
  ["2.3.3: an index far beyond the tables", indexed(100_000)],
  ["5.1: an integer without an end", Buffer.from([0xff, 0xff, 0xff])],
  ["5.1: an integer larger than anything", Buffer.from([0xff, ...Array(10).fill(0xff), 0x7f])],
  ["5.2: a string longer than the block", Buffer.concat([Buffer.from([0, 0x7e]), string("x")])],
  ["5.2: Huffman code that is EOS", Buffer.from([0, 0x84, 0xff, 0xff, 0xff, 0xff, 0])],
  ["5.2: Huffman padding of a whole octet", Buffer.from([0, 0x82, 0x1f, 0xff, 0])],
  ["5.2: Huffman padding that is not ones", Buffer.from([0, 0x81, 0x18, 0])],
  ["6.2: a literal without its value", Buffer.concat([Buffer.from([0]), string("name")])],
  ["6.3: a table larger than was allowed", tableSize(4097)],
  ["4.2: a table size behind a field", tableSize(100)],
  ["6.2.1: a name at an index that no table has", Buffer.concat([integer(63, 6, 64), string("")])],
];
for (const [what, bytes] of undecodable) {
  rule(`RFC 7541 ${what} ends the connection`, async (peer) => {
    ask(peer, what.startsWith("6.3") ? bytes : Buffer.concat([fields, bytes]));
    await expectConnectionError(peer, "COMPRESSION_ERROR");
  });
}

rule("RFC 7541 4.2: a table size at the beginning of a block is taken, twice too", async (peer) => {
  const sizes = Buffer.concat([tableSize(0), tableSize(4096)]);
  expect(textsOf(await answerOf(peer, ask(peer, Buffer.concat([sizes, fields]))))).toHaveLength(1);
});

rule("RFC 7541 4.3: a table of no bytes forgets", async (peer) => {
  const kept = Buffer.concat([fields, remembered("custom", "x")]);
  expect(textsOf(await answerOf(peer, ask(peer, kept)))).toHaveLength(1);
  const asked = Buffer.concat([fields, indexed(62)]);
  expect(textsOf(await answerOf(peer, ask(peer, asked)))).toHaveLength(1);
  ask(peer, Buffer.concat([tableSize(0), fields, indexed(62)]));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 7541 4.4: the oldest entries make room for new ones", async (peer) => {
  const large = (at: number) => remembered(`large-${at}`, "x".repeat(1000));
  for (let at = 0; at < 10; at++) {
    expect(
      textsOf(await answerOf(peer, ask(peer, Buffer.concat([fields, large(at)])))),
    ).toHaveLength(1);
  }
  const newest = Buffer.concat([fields, indexed(62), indexed(64)]);
  expect(textsOf(await answerOf(peer, ask(peer, newest)))).toHaveLength(1);
  ask(peer, Buffer.concat([fields, indexed(65)]));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 7541 4.4: an entry larger than the table empties it", async (peer) => {
  const block = Buffer.concat([fields, remembered("a", "b"), remembered("c", "x".repeat(5000))]);
  expect(textsOf(await answerOf(peer, ask(peer, block)))).toHaveLength(1);
  ask(peer, Buffer.concat([fields, indexed(62)]));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});

rule("RFC 7541 6.2.3: a field never to be indexed is taken, and not remembered", async (peer) => {
  const never = Buffer.concat([Buffer.from([0x10]), string("authorization"), string("secret")]);
  const block = Buffer.concat([fields, never, literal("other", "x")]);
  expect(textsOf(await answerOf(peer, ask(peer, block)))).toHaveLength(1);
  ask(peer, Buffer.concat([fields, indexed(62)]));
  await expectConnectionError(peer, "COMPRESSION_ERROR");
});
