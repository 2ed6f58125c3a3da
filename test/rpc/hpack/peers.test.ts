/**
 * What other encoders made of the same conversation. Before the fourth list they were told that the
 * table has 120 bytes, before the fifth none, before the sixth 4,096; "authorization" was sensitive.
 */
import { expect, test } from "bun:test";
import { decoderOf, read } from "./blocks.ts";
import peers from "./peers.json" with { type: "json" };

test.each(peers.encoders)("blocks of $name are read", ({ blocks }) => {
  const decoder = decoderOf();
  expect(blocks.map((block) => read(decoder, block))).toEqual(peers.lists);
});
