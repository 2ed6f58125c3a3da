import { expect, test } from "bun:test";
import { InvariantError } from "../../../src/lib/assert.ts";
import { Encoder, type HeaderField } from "../../../src/rpc/hpack/encoder.ts";
import { decoderOf, fieldOf, lineOf, read, tableOf, write } from "./blocks.ts";

const status = fieldOf(":status: 200");
const token = fieldOf("x-token: 1");

function written(encoder: Encoder, ...fields: readonly HeaderField[]): string {
  return write(encoder, fields).toString("hex");
}

/** The block that `fields` become when an encoder sends them again. */
function again(...fields: readonly HeaderField[]): string {
  const encoder = new Encoder();
  write(encoder, fields);
  return written(encoder, ...fields);
}

test("6: each way to send a field", () => {
  expect(again(status)).toBe("88");
  expect(again({ ...status, how: "plain" })).toBe("88");
  expect(again(token)).toBe("be");
  expect(again({ ...token, how: "plain" })).toBe("0086f2b24fd4b57f0131");
  expect(again(fieldOf(":path: ~", "plain"))).toBe("04017e");
  expect(again(fieldOf("age: ~", "plain"))).toBe("0f06017e");
});

test("6.2.1: a field that repeats goes out once, and then as its index", () => {
  const encoder = new Encoder();
  const fields = [status, token, fieldOf("x-token: 2"), fieldOf("content-type: application/grpc")];
  const decoder = decoderOf();
  expect(read(decoder, write(encoder, fields))).toEqual(fields.map(lineOf));
  expect(written(encoder, ...fields)).toBe("88c0bfbe");
  expect(read(decoder, "88c0bfbe")).toEqual(fields.map(lineOf));
});

test("6.2.1: a name that is in the table goes out as its index", () => {
  const encoder = new Encoder();
  write(encoder, [token]);
  expect(written(encoder, fieldOf("x-token: ~"))).toBe("7e017e");
  expect(written(encoder, fieldOf("x-token: }", "plain"))).toBe("0f2f017d");
});

test("7.1.3: a never-indexed field is a literal each time, though a table has it", () => {
  expect(again(fieldOf("authorization: ~", "never"))).toBe("1f08017e");
  expect(again(fieldOf("authorization: ", "never"))).toBe("1f0800");
  const encoder = new Encoder();
  write(encoder, [fieldOf("x-token: ~")]);
  expect(written(encoder, fieldOf("x-token: ~", "never"))).toBe("1f2f017e");
});

test("4.4: a field larger than the table is not remembered, and evicts nothing", () => {
  const encoder = new Encoder();
  const decoder = decoderOf();
  const large = fieldOf(`x-large: ${"~".repeat(4096)}`);
  const { version } = encoder;
  read(decoder, write(encoder, [token]));
  expect(read(decoder, write(encoder, [large]))).toEqual([lineOf(large)]);
  expect(tableOf(decoder).map(lineOf)).toEqual([lineOf(token)]);
  expect(encoder.version).toBe(version + 1);
});

test("4.3: no update goes out while the peer's table is at least as large as ours", () => {
  const encoder = new Encoder();
  for (const bytes of [4096, 65_536, 4097, 2 ** 32 - 1]) encoder.limitTable(bytes);
  expect(written(encoder, status)).toBe("88");
  expect(encoder.version).toBe(0);
});

test("4.2: a smaller table is said once, at the beginning of the next block", () => {
  const encoder = new Encoder();
  write(encoder, [token]);
  encoder.limitTable(100);
  expect(written(encoder, status, token)).toBe("3f4588be");
  expect(written(encoder, status, token)).toBe("88be");
});

test("4.2: of several changes the smallest and the last are said", () => {
  const encoder = new Encoder();
  for (const bytes of [1000, 0, 50, 20, 4096]) encoder.limitTable(bytes);
  expect(written(encoder, status)).toBe("203fe11f88");
  for (const bytes of [1000, 100]) encoder.limitTable(bytes);
  expect(written(encoder, status)).toBe("3f4588");
  for (const bytes of [50, 100]) encoder.limitTable(bytes);
  expect(written(encoder, status)).toBe("3f133f4588");
  encoder.limitTable(300);
  expect(written(encoder, status)).toBe("3f8d0288");
});

test("4.2: in a table of no bytes nothing is remembered", () => {
  const encoder = new Encoder();
  encoder.limitTable(0);
  expect(written(encoder, token).slice(0, 4)).toBe("2000");
  expect(written(encoder, token).slice(0, 2)).toBe("00");
  encoder.limitTable(4096);
  write(encoder, [token]);
  expect(written(encoder, token)).toBe("be");
});

test("a block is as it was, while the version has not grown", () => {
  const encoder = new Encoder();
  write(encoder, [status, token]);
  const { version } = encoder;
  expect(written(encoder, status, token)).toBe("88be");
  expect(written(encoder, fieldOf("x-token: 2", "plain"))).toStartWith("0f2f");
  expect(written(encoder, fieldOf("x-token: 2", "never"))).toStartWith("1f2f");
  expect(encoder.version).toBe(version);
  write(encoder, [fieldOf("x-token: 3")]);
  expect(encoder.version).toBe(version + 1);
  expect(written(encoder, status, token)).toBe("88bf");
});

test("a new table size makes old blocks void: before it is said, and the block that says it", () => {
  const encoder = new Encoder();
  const { version } = encoder;
  encoder.limitTable(100);
  expect(encoder.version).toBeGreaterThan(version);
  const told = encoder.version;
  write(encoder, [status]);
  expect(encoder.version).toBeGreaterThan(told);
});

test("a block begins where it is told to, and ends where it says", () => {
  const encoder = new Encoder();
  const out = Buffer.alloc(40, 0xee);
  const end = encoder.encode([status, fieldOf("x-token: ~~~")], out, 3);
  expect(out.subarray(0, 3).toString("hex")).toBe("eeeeee");
  expect(read(decoderOf(), out.subarray(3, end))).toEqual([":status: 200", "x-token: ~~~"]);
  expect(out.subarray(end).every((byte) => byte === 0xee)).toBeTrue();
});

test("a char that is no byte is a broken invariant", () => {
  for (const line of ["x-€: 1", "x: €"]) {
    expect(() => write(new Encoder(), [fieldOf(line)])).toThrow(InvariantError);
  }
});
