/** Random conversations: what an encoder says is heard, and damage is an error or a list. */
import { expect, test } from "bun:test";
import { type Random, SeededRandom } from "../../../src/lib/random.ts";
import { CompressionError } from "../../../src/rpc/hpack/decoder.ts";
import { Encoder, type HeaderField } from "../../../src/rpc/hpack/encoder.ts";
import { decoderOf, limits, lineOf, randomField, sizeOf, tableOf, write } from "./blocks.ts";

const sizes = [0, 31, 32, 100, 256, 1000, 4095, 4096, 65_536];

function randomFields(random: Random): HeaderField[] {
  return Array.from({ length: random.below(9) }, () => randomField(random));
}

/** Changes the peer's table size, now and then more than once. */
function changeLimit(random: Random, encoder: Encoder): void {
  while (random.below(3) === 0) encoder.limitTable(sizes[random.below(sizes.length)] ?? 0);
}

test("every block is read as it was written, whatever the table's size, for 200 seeds", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const encoder = new Encoder();
    const decoder = decoderOf({ listBytesMax: 10_000_000 });
    for (let block = 0; block < 40; block++) {
      changeLimit(random, encoder);
      const fields = randomFields(random);
      const bytes = write(encoder, fields);
      const heard = decoder.decode(bytes, 0, bytes.length)?.map(lineOf);
      expect({ seed, block, heard }).toEqual({ seed, block, heard: fields.map(lineOf) });
      expect(sizeOf(tableOf(decoder))).toBeLessThanOrEqual(4096);
    }
  }
});

test("a block that was kept means the same until a version grows, on either side", () => {
  let used = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const encoder = new Encoder();
    const decoder = decoderOf({ listBytesMax: 10_000_000 });
    let kept: { bytes: Buffer; lines: string[]; encoder: number; decoder: number } | undefined;
    for (let block = 0; block < 40; block++) {
      if (random.below(10) === 0) changeLimit(random, encoder);
      if (kept?.encoder === encoder.version) {
        used++;
        expect(decoder.version).toBe(kept.decoder);
        expect(decoder.decode(kept.bytes, 0, kept.bytes.length)?.map(lineOf)).toEqual(kept.lines);
      }
      const versions = { encoder: encoder.version, decoder: decoder.version };
      const fields = randomFields(random).filter(({ value }) => value.length < 50);
      const bytes = write(encoder, fields);
      const lines = decoder.decode(bytes, 0, bytes.length)?.map(lineOf) ?? [];
      expect(decoder.version === versions.decoder).toBe(encoder.version === versions.encoder);
      if (encoder.version === versions.encoder) kept = { bytes, lines, ...versions };
    }
  }
  expect(used).toBeGreaterThan(1000);
});

test("20,000 damaged blocks: each is a CompressionError or a list, within the limits", () => {
  const random = new SeededRandom(1);
  const outcomes = { error: 0, list: 0, large: 0 };
  for (let round = 0; round < 20_000; round++) {
    const encoder = new Encoder();
    const decoder = decoderOf({ tableBytesMax: 1000, listBytesMax: 300 });
    encoder.limitTable(1000);
    for (let block = 0; block < 2; block++) {
      const whole = write(encoder, randomFields(random));
      const bytes = block === 0 ? whole : damaged(random, whole);
      try {
        const fields = decoder.decode(bytes, 0, bytes.length);
        outcomes[fields === undefined ? "large" : "list"]++;
        expect(sizeOf(fields ?? [])).toBeLessThanOrEqual(300);
      } catch (error) {
        if (!(error instanceof CompressionError)) throw error;
        outcomes.error++;
      }
    }
    expect(sizeOf(tableOf(decoder))).toBeLessThanOrEqual(1000);
  }
  for (const times of Object.values(outcomes)) expect(times).toBeGreaterThan(2000);
});

test("20,000 blocks of random bytes: each is a CompressionError or a list", () => {
  const random = new SeededRandom(2);
  const decoder = decoderOf();
  let lists = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: random.below(12) }, () => random.below(256)));
    try {
      const fields = decoder.decode(bytes, 0, bytes.length);
      if (fields !== undefined) lists++;
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error;
    }
  }
  expect(lists).toBeGreaterThan(1000);
  expect(sizeOf(tableOf(decoder))).toBeLessThanOrEqual(limits.tableBytesMax);
});

/** A block with one to three bytes changed, lost or added, or its end lost. */
function damaged(random: Random, block: Buffer): Buffer {
  let bytes = Buffer.from(block);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(bytes.length + 1);
    const kind = random.below(5);
    if (kind === 0) bytes = bytes.subarray(0, at);
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    else if (kind === 2) {
      const byte = Buffer.of(random.below(256));
      bytes = Buffer.concat([bytes.subarray(0, at), byte, bytes.subarray(at)]);
    } else if (kind === 3 && at < bytes.length) {
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    } else if (at < bytes.length) bytes[at] = random.below(256);
  }
  return bytes;
}
