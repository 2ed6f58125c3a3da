/**
 * A Bloom filter over the prefixes of a table's keys: says "not here" for sure, or "maybe". All bits
 * of one prefix lie in the same 64 bytes, so a question touches one line of the processor's cache.
 *
 *   +--------------+--------------+-   -+--------------+
 *   | line, 64 B   | line, 64 B   | ... | line, 64 B   |    ten bits for each prefix, rounded up
 *   +--------------+--------------+-   -+--------------+
 *
 * A hash picks its line by its high bits (hash * lines / 2^32). Mixed once more, it gives a start
 * (nine bits) and a step (the next ones, made odd): the prefix has the bits `(start + n * step) mod
 * 512`, n from 0 to 5; bit b is bit b mod 8 of byte b / 8. About 1.5 in 100 absent prefixes get a
 * "maybe".
 */
import type { ByteString } from "../lib/bytes.ts";
import type { KeyView } from "./view.ts";

const lineBytes = 64;
const bitsPerPrefix = 10;
const probes = 6;

/**
 * The hash of the first `length` bytes of `key`, unsigned 32 bits. It is part of the format of
 * tables: MurmurHash3 for 32 bits (Appleby, public domain), seed 0.
 */
export function prefixHash(key: ByteString, length: number): number {
  let hash = 0;
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    const word =
      key.charCodeAt(at) |
      (key.charCodeAt(at + 1) << 8) |
      (key.charCodeAt(at + 2) << 16) |
      (key.charCodeAt(at + 3) << 24);
    hash ^= scrambled(word);
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64;
  }
  let rest = 0;
  for (let at = length - 1; at >= whole; at--) rest = (rest << 8) | key.charCodeAt(at);
  return mixed(hash ^ scrambled(rest) ^ length);
}

/** As `prefixHash`, of the first `length` bytes of a key. */
export function bytesHash({ keyAt, keyBytes, keyWords }: KeyView, length: number): number {
  let hash = 0;
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    hash ^= scrambled(keyWords.getInt32(keyAt + at, true));
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64;
  }
  let rest = 0;
  for (let at = length - 1; at >= whole; at--)
    rest = (rest << 8) | (keyBytes[keyAt + at] as number);
  return mixed(hash ^ scrambled(rest) ^ length);
}

/** A filter's bytes for these hashes; at least one line. */
export function buildFilter(hashes: Uint32Array): Buffer {
  const lines = Math.max(1, Math.ceil((hashes.length * bitsPerPrefix) / (lineBytes * 8)));
  const filter = Buffer.alloc(lines * lineBytes);
  for (const hash of hashes) {
    const line = lineOf(filter, hash);
    const second = mixed(hash ^ 0x9e3779b9);
    for (let probe = 0; probe < probes; probe++) {
      const bit = bitOf(second, probe);
      const at = line + (bit >> 3);
      filter[at] = (filter[at] as number) | (1 << (bit & 7));
    }
  }
  return filter;
}

/** False when no prefix with this hash went into the filter. */
export function filterMayHave(filter: Buffer, hash: number): boolean {
  const line = lineOf(filter, hash);
  const second = mixed(hash ^ 0x9e3779b9);
  for (let probe = 0; probe < probes; probe++) {
    const bit = bitOf(second, probe);
    if (((filter[line + (bit >> 3)] as number) & (1 << (bit & 7))) === 0) return false;
  }
  return true;
}

function lineOf(filter: Buffer, hash: number): number {
  return Math.floor((hash * (filter.length / lineBytes)) / 2 ** 32) * lineBytes;
}

/** The step is odd, so the six bits of a prefix are different ones. */
function bitOf(second: number, probe: number): number {
  return ((second & 511) + probe * ((second >>> 9) | 1)) & 511;
}

function scrambled(word: number): number {
  const product = Math.imul(word, 0xcc9e2d51);
  return Math.imul((product << 15) | (product >>> 17), 0x1b873593);
}

/** Spreads every bit of `hash` over all bits. Unsigned. */
function mixed(hash: number): number {
  let mix = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return (mix ^ (mix >>> 16)) >>> 0;
}
