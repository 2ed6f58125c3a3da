import { expect, test } from "bun:test";
import { SeededRandom } from "../../../src/lib/random.ts";
import { decodeHuffman, encodeHuffman, huffmanBytes } from "../../../src/rpc/hpack/huffman.ts";
import { hex, randomText } from "./blocks.ts";

function decoded(block: string | Uint8Array): string | undefined {
  const bytes = typeof block === "string" ? hex(block) : block;
  return decodeHuffman(bytes, 0, bytes.length);
}

function encoded(text: string): Buffer {
  const out = Buffer.alloc(huffmanBytes(text) + 1, 0xee);
  const end = encodeHuffman(text, out, 0);
  expect(end).toBe(out.length - 1);
  expect(out[end]).toBe(0xee);
  return out.subarray(0, end);
}

/** The bytes that these bits are, each byte but the last full. */
function bits(text: string): Buffer {
  return Buffer.from(text.match(/.{1,8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
}

/** The codes of the bytes 0 to 255, one behind the other, as Python's hpack writes them. */
const allCodes = `
  ffc7fffd8fffffe2fffffe3fffffe4fffffe5fffffe6fffffe7fffffe8ffffeafffffff3fffffa7fffffabffff
  ffdfffffebfffffecfffffedfffffeefffffefffffff0ffffff1ffffff2fffffffbfffffcffffffd3fffffd7ff
  fffdbfffffdffffffe3fffffe7fffffebfffffed4fe3f9ffaffcabf1febfafefe7fdfd2cbb00089969b71d79fb
  9f7fff20ffbff3ff50ddbd7f061c58f265cd9f469d5af66dddbf871e5f9cff7ff7fffc3ff9ffe45fff4719242c
  b34e6e9d68a6a3d7dac426defe3cfaf7fffbfe7ffbffdffffffcfffe6ffff4bfff9ffffa3fffd3ffff53fffd5f
  fffb3fffeb7fffdaffffb7ffff73fffeeffffdeffffebffffbfffffd9ffffdbfffebffffe0ffffeeffffc3ffff
  8bffff1ffffe4fffee7fffb1ffff97fffd9ffffcdffff9fffffbffffdafffeeffff4ffffb7fffee7fffe8ffffd
  3fffdeffffd5fffeeffffbdffffe1fffdfffff7fffff5ffffecffff07fff87fffe0ffff17fffedffff87ffff77
  fffeffffeaffff8bfffe3ffff93ffff87fffcbffff37ffff1fffff83ffffe1fffebfffe3ffff3fffff2ffffa3f
  fffd9fffff17ffffc7fffff27ffffdefffffbffffff2fffff8fffffb7fff97fff8fffffe6fffffc1fffff87fff
  fe7fffffc5ffffe5fffe4ffff2fffffd1fffff4ffffffefffffe3fffffc9fffff97fffb3ffffcffffb7fffcdff
  ff4ffff9ffffd1ffffcffffeaffffafffffddffffeffffff4fffff5fffffabffffa7ffffd7fffff9bffffecfff
  ffb7fffff3fffffe8fffffd3fffffabfffff5fffffff7ffffecfffffdbfffffbbfffff7ffffff0fffffbbf`;

test("Appendix B: the codes of all bytes are those of the table", () => {
  const text = String.fromCharCode(...Array(256).keys());
  expect(encoded(text).toString("hex")).toBe(hex(allCodes).toString("hex"));
  expect(decoded(allCodes)).toBe(text);
});

test("5.2: every byte, alone and beside every other, is read as it was written", () => {
  for (let first = 0; first < 256; first++) {
    expect(decoded(encoded(String.fromCharCode(first)))).toBe(String.fromCharCode(first));
    for (let second = 0; second < 256; second++) {
      const text = String.fromCharCode(first, second);
      if (decoded(encoded(text)) !== text) throw new Error(`${first} ${second}`);
    }
  }
});

test("5.2: random text is read as it was written, longer than any buffer, too", () => {
  const random = new SeededRandom(1);
  for (let round = 0; round < 3000; round++) {
    const text = randomText(random);
    expect(decoded(encoded(text))).toBe(text);
  }
  for (const long of ["e".repeat(8192), "e".repeat(12_000), "\x16".repeat(100_000)]) {
    expect(decoded(encoded(long))).toBe(long);
  }
  expect(decoded("")).toBe("");
});

test("5.2: a part of a buffer is read, and nothing around it", () => {
  const bytes = hex("ffff f1e3c2e5f23a6ba0ab90f4ff 0000");
  expect(decodeHuffman(bytes, 2, bytes.length - 2)).toBe("www.example.com");
});

test("5.2: up to seven bits of padding are taken", () => {
  for (let symbols = 1; symbols <= 8; symbols++) {
    // Five bits each: all lengths of padding there are.
    const text = "a".repeat(symbols);
    expect(decoded(encoded(text))).toBe(text);
  }
});

test("5.2: padding longer than seven bits is an error", () => {
  expect(decoded("ff")).toBeUndefined();
  expect(decoded(bits("00000" + "111" + "11111111"))).toBeUndefined();
  expect(decoded(bits("11111000" + "11111111"))).toBeUndefined();
});

test("5.2: padding that is not all ones is an error", () => {
  expect(decoded(bits("00000" + "000"))).toBeUndefined();
  expect(decoded(bits("00000" + "110"))).toBeUndefined();
  expect(decoded(bits("00000" + "011"))).toBeUndefined();
});

test("5.2: a string that contains the end of string is an error", () => {
  expect(decoded("ffffffff")).toBeUndefined();
  expect(decoded(bits(`${"1".repeat(30)}00`))).toBeUndefined();
  expect(decoded(bits(`${"1".repeat(30)}0000000111`))).toBeUndefined();
  expect(decoded(bits(`00000${"1".repeat(30)}00000`))).toBeUndefined();
  expect(decoded(bits(`00000${"1".repeat(30)}00000`.padEnd(48, "1")))).toBeUndefined();
});
