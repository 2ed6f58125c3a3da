/** What is written is what msgpackr would write, which reads it. */
import { expect, test } from "bun:test";
import { Packr } from "msgpackr";
import { MsgpackWriter } from "../../src/lib/msgpack.ts";
import { SeededRandom } from "../../src/lib/random.ts";

const packr = new Packr({ useRecords: false, int64AsType: "bigint", variableMapSize: true });

type Value = number | bigint | string | Uint8Array | readonly Value[];

function write(writer: MsgpackWriter, value: Value): void {
  if (typeof value === "number") writer.number(value);
  else if (typeof value === "bigint") writer.bigint(value);
  else if (typeof value === "string") writer.text(value);
  else if (value instanceof Uint8Array) writer.binary(value);
  else {
    writer.array(value.length);
    for (const each of value) write(writer, each);
  }
}

const writer = new MsgpackWriter();

function written(value: Value): Buffer {
  writer.begin();
  write(writer, value);
  return writer.end();
}

/** Lengths at which another head begins, in bytes or in characters of two bytes. */
const lengths = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257].concat([
  300, 32_767, 32_768, 65_535, 65_536, 65_537, 5_000_000,
]);

test("numbers, at every size", () => {
  const numbers = [0, 1, 31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 31 - 1];
  numbers.push(2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40 + 1, 9_000_000_000, 2 ** 53 - 1);
  for (const number of numbers) expect(written(number)).toEqual(packr.pack(number));
  for (const number of [0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n), 1234567890123n]) {
    expect(written(number)).toEqual(packr.pack(number));
  }
  expect(() => written(-1)).toThrow("from 0 on");
});

test("text and binary data, at every length", () => {
  for (const length of lengths) {
    for (const one of ["a", "\0", "\x7f", "\x80", "\xff"]) {
      const text = one.repeat(length);
      expect(written(text).equals(packr.pack(text))).toBe(true);
      const mixed = `${"k".repeat(length >> 1)}${text.slice(length >> 1)}`;
      expect(written(mixed).equals(packr.pack(mixed))).toBe(true);
    }
    const binary = Buffer.alloc(length, 7);
    expect(written(binary).equals(packr.pack(binary))).toBe(true);
    expect(written(Uint8Array.from(binary)).equals(packr.pack(binary))).toBe(true);
  }
});

test("arrays in arrays, one message after the other", () => {
  const random = new SeededRandom(1);
  const value = (depth: number): Value => {
    const kind = random.below(depth > 4 ? 4 : 6);
    if (kind === 0) return random.below(2 ** 32) * random.below(3);
    if (kind === 1) return BigInt.asIntN(64, random.u64());
    if (kind === 2) return String.fromCharCode(random.below(256)).repeat(random.below(70));
    if (kind === 3) return Buffer.alloc(random.below(300), random.below(256));
    return Array.from({ length: random.below(20) }, () => value(depth + 1));
  };
  for (let at = 0; at < 2000; at++) {
    const message = value(0);
    expect(written(message).equals(packr.pack(message))).toBe(true);
  }
});
