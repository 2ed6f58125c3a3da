import { expect, test } from "bun:test";
import {
  Cursor,
  integerBytesMax,
  readInteger,
  writeInteger,
} from "../../../src/rpc/hpack/integer.ts";
import { hex } from "./blocks.ts";

/** The integer that a block begins with, and how many bytes it took. */
function readOf(block: string, prefixMax: number): { value: number; bytes: number } {
  const bytes = hex(block);
  const cursor = new Cursor(bytes, 0, bytes.length);
  return { value: readInteger(cursor, prefixMax), bytes: cursor.at };
}

function written(pattern: number, prefixMax: number, value: number): string {
  const out = Buffer.alloc(integerBytesMax);
  return out.toString("hex", 0, writeInteger(out, 0, pattern, prefixMax, value));
}

test.each([
  ["C.1.1: 10 behind five bits", "0a", 0x1f, 10],
  ["C.1.2: 1337 behind five bits", "1f9a0a", 0x1f, 1337],
  ["C.1.3: 42 at the beginning of a byte", "2a", 0xff, 42],
])("%s", (_, bytes, prefixMax, value) => {
  expect(written(0, prefixMax, value)).toBe(bytes);
  expect(readOf(bytes, prefixMax)).toEqual({ value, bytes: bytes.length / 2 });
});

test("5.1: every value is read as it was written, behind every prefix and pattern", () => {
  const values = [0, 1, 14, 15, 16, 30, 31, 62, 63, 64, 126, 127, 128, 254, 255, 256, 1337];
  for (let bits = 9; bits <= 27; bits++) values.push(2 ** bits - 1, 2 ** bits, 2 ** bits + 1);
  for (const prefixMax of [0x0f, 0x1f, 0x3f, 0x7f]) {
    for (const value of values) {
      const bytes = written(0xff & ~prefixMax, prefixMax, value);
      expect(readOf(bytes, prefixMax)).toEqual({ value, bytes: bytes.length / 2 });
      expect(hex(bytes)[0] ?? 0).toBeGreaterThanOrEqual(0xff & ~prefixMax);
    }
  }
});

test("5.1: zeros behind a value change nothing, as long as they are few", () => {
  expect(readOf("1f9a8a8000", 0x1f)).toEqual({ value: 1337, bytes: 5 });
  expect(readOf("1f9a8a808000", 0x1f).value).toBeNegative();
});

test("5.1: too large a value or too many bytes are an error", () => {
  expect(readOf("7fffffff7f", 0x7f).value).toBe(2 ** 28 - 1 + 127);
  expect(readOf("7f8080808001", 0x7f).value).toBeNegative();
  expect(readOf("7fffffffff0f", 0x7f).value).toBeNegative();
  expect(readOf("7fffffffffffffffffff01", 0x7f).value).toBeNegative();
});

test("5.1: an integer that the block's end cuts off is an error, whatever follows", () => {
  const bytes = hex("1f9a0a");
  for (const to of [0, 1, 2]) {
    expect(readInteger(new Cursor(bytes, 0, to), 0x1f)).toBeNegative();
  }
  expect(readInteger(new Cursor(hex("05"), 0, 0), 0x1f)).toBeNegative();
});
