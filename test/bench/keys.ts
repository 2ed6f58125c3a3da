/** What is written: 64-byte keys whose order says nothing about their numbers, 256-byte values. */

export const keyBytes = 64;
export const valueBytes = 256;

export const keyPrefix = "/registry/bench/";
/** After every key that begins with keyPrefix. */
export const keyEnd = "/registry/bench0";

const digits = Buffer.from("0123456789abcdef", "latin1");
const idDigits = 16;
const key = Buffer.alloc(keyBytes, "0123456789abcdefghijklmnopqrstuv", "latin1");
key.write(keyPrefix, "latin1");
const template = Buffer.alloc(valueBytes, "the quick brown fox jumps over the lazy dog ", "latin1");

/**
 * The key with this number, 0 to 2^32-1, as a latin1 string. Different numbers have different keys,
 * and neighbours lie far from each other: ascending numbers are a random order of keys.
 */
export function keyOf(number: number): string {
  // Both halves are bijections of 32 bits, so the first alone makes the key unique.
  writeHex(scrambled(number, 0x85ebca6b, 0xc2b2ae35), keyPrefix.length);
  writeHex(scrambled(~number, 0x21f0aaad, 0x735a2d97), keyPrefix.length + idDigits / 2);
  return key.toString("latin1");
}

/** A new value that begins with `number`. */
export function valueFor(number: number): Buffer {
  const value = Buffer.from(template);
  value.writeDoubleLE(number, 0);
  return value;
}

/** The number that valueFor put into a value. */
export function numberIn(value: Uint8Array): number {
  return new DataView(value.buffer, value.byteOffset).getFloat64(0, true);
}

/**
 * Numbers below `count` in another order than ascending, each once: the one at `step`. Any prime that
 * does not divide `count` would do.
 */
export function shuffled(step: number, count: number): number {
  return (step * 15_485_863) % count;
}

function scrambled(number: number, first: number, second: number): number {
  let mix = number >>> 0;
  mix = Math.imul(mix ^ (mix >>> 16), first);
  mix = Math.imul(mix ^ (mix >>> 13), second);
  return (mix ^ (mix >>> 16)) >>> 0;
}

function writeHex(word: number, offset: number): void {
  for (let at = 0; at < 8; at++) {
    key[offset + at] = digits[(word >>> (28 - at * 4)) & 15] as number;
  }
}
