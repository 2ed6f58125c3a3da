import { expect, test } from "bun:test";
import { CompressionError } from "../../../src/rpc/hpack/decoder.ts";
import { Encoder } from "../../../src/rpc/hpack/encoder.ts";
import { decoderOf, fieldOf, hex, lineOf, read, sizeOf, tableOf, write } from "./blocks.ts";

/** "a: 1", to be remembered. */
const remembered = "40 0161 0131";

test("2.3.3: the dynamic table goes on behind the static one, the newest entry first", () => {
  const decoder = decoderOf();
  read(decoder, "40 0161 0131  40 0162 0132");
  expect(read(decoder, "81 bd be bf")).toEqual([
    ":authority: ",
    "www-authenticate: ",
    "b: 2",
    "a: 1",
  ]);
});

test("2.3.3: an index beyond both tables is an error", () => {
  const decoder = decoderOf();
  for (const block of ["be", "ff00", "7f00 0131", "0f2f 0131", "1f2f 0131", "ffffffff7f"]) {
    expect(() => read(decoder, block)).toThrow(CompressionError);
  }
  read(decoder, remembered);
  expect(read(decoder, "be")).toEqual(["a: 1"]);
  expect(() => read(decoder, "bf")).toThrow("there is no entry at index 63");
});

test("4.1: an entry counts for its bytes and 32 more", () => {
  const decoder = decoderOf({ tableBytesMax: 68 });
  read(decoder, `${remembered} ${remembered}`);
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 1", "a: 1"]);
  read(decoder, "40 0162 00");
  expect(tableOf(decoder).map(lineOf)).toEqual(["b: ", "a: 1"]);
  read(decoder, "40 0163 023232");
  expect(tableOf(decoder).map(lineOf)).toEqual(["c: 22", "b: "]);
  read(decoder, "40 0164 023232");
  expect(tableOf(decoder).map(lineOf)).toEqual(["d: 22"]);
});

test("4.2: a size update is taken at the beginning of a block, and two are", () => {
  const decoder = decoderOf();
  read(decoder, `${remembered} ${remembered}`);
  expect(read(decoder, "3f03 82")).toEqual([":method: GET"]);
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 1"]);
  expect(read(decoder, "20 3fe11f 82")).toEqual([":method: GET"]);
  expect(tableOf(decoder)).toEqual([]);
  read(decoder, remembered);
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 1"]);
  expect(read(decoder, "20")).toEqual([]);
  expect(tableOf(decoder)).toEqual([]);
});

test("4.2: a third size update is an error", () => {
  expect(() => read(decoderOf(), "20 3f01 3fe11f 82")).toThrow(CompressionError);
});

test("4.2: a size update behind a field is an error", () => {
  for (const field of ["82", "040131", "100161 0131", remembered]) {
    for (const update of ["20", "20 0161 0131", "3fe11f"]) {
      expect(() => read(decoderOf(), `${field} ${update}`)).toThrow("may only begin a block");
    }
  }
});

test("4.2: a size update beyond what we announced is an error", () => {
  expect(read(decoderOf(), "3fe11f")).toEqual([]);
  expect(() => read(decoderOf(), "3fe21f")).toThrow("4097");
  expect(() => read(decoderOf(), "3fffffff7f")).toThrow(CompressionError);
  expect(() => read(decoderOf(), "3fffffffffffff7f")).toThrow("a table size is no integer");
});

test("4.2: a table larger than 4,096 bytes is only used once the peer says so", () => {
  const decoder = decoderOf({ tableBytesMax: 8192 });
  const encoder = new Encoder();
  const fields = Array.from({ length: 5 }, (_, at) => fieldOf(`x-${at}: ${"~".repeat(1000)}`));
  for (const field of fields) read(decoder, write(encoder, [field]));
  expect(tableOf(decoder)).toHaveLength(3);
  read(decoder, "3fe13f");
  for (const field of fields) read(decoder, write(new Encoder(), [field]));
  expect(tableOf(decoder)).toHaveLength(7);
  expect(sizeOf(tableOf(decoder))).toBeLessThanOrEqual(8192);
});

test("4.4: an entry larger than the table empties it, and is no error", () => {
  const decoder = decoderOf({ tableBytesMax: 68 });
  read(decoder, remembered);
  const large = `40 0162 7f00 ${"31".repeat(127)}`;
  expect(read(decoder, large)).toEqual([`b: ${"1".repeat(127)}`]);
  expect(tableOf(decoder)).toEqual([]);
  read(decoder, remembered);
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 1"]);
});

test("4.4: a literal may take its name from the entry that it evicts", () => {
  const decoder = decoderOf({ tableBytesMax: 40 });
  read(decoder, remembered);
  expect(read(decoder, "7e 0132")).toEqual(["a: 2"]);
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 2"]);
  expect(read(decoder, `7e 0a${"33".repeat(10)}`)).toEqual(["a: 3333333333"]);
  expect(tableOf(decoder)).toEqual([]);
});

test("5.2: a string that goes on behind the end of the block is an error", () => {
  const whole = hex("40 0161 0131 00 8125 8125");
  for (let to = 1; to < whole.length; to++) {
    const decoder = decoderOf();
    const isWhole = to === 5;
    // The bytes behind `to` are there, and not the block's.
    if (isWhole) expect(decoder.decode(whole, 0, to)).toHaveLength(1);
    else expect(() => decoder.decode(whole, 0, to)).toThrow(CompressionError);
  }
  expect(() => read(decoderOf(), "00 7fffffff7f 61")).toThrow(CompressionError);
});

test("5.2: a string that is no Huffman code is an error, as name and as value", () => {
  for (const block of ["00 81ff 0131", "00 0161 81ff", "00 0161 84ffffffff", "00 0161 8100"]) {
    expect(() => read(decoderOf(), block)).toThrow(CompressionError);
  }
});

test("5.2: names and values are latin1, every byte", () => {
  expect(read(decoderOf(), "00 02ff61 038000fe")).toEqual(["\xffa: \x80\0\xfe"]);
});

test("5.1: an index that is cut off or too long is an error", () => {
  for (const block of ["ff", "ff80", "ff8080808000", "7f", "0f80"]) {
    expect(() => read(decoderOf(), block)).toThrow("an index is no integer");
  }
});

test("6.1: index 0 is an error", () => {
  expect(() => read(decoderOf(), "80")).toThrow("there is no entry at index 0");
});

test("6.2: of literals only those with indexing are remembered", () => {
  const decoder = decoderOf();
  expect(read(decoder, "00 0161 0131")).toEqual(["a: 1"]);
  expect(read(decoder, "10 0162 0132")).toEqual(["b: 2"]);
  expect(tableOf(decoder)).toEqual([]);
  expect(read(decoder, "40 0163 0133")).toEqual(["c: 3"]);
  expect(tableOf(decoder).map(lineOf)).toEqual(["c: 3"]);
});

test("6.2.3: a never-indexed literal may take its name from either table", () => {
  const decoder = decoderOf();
  read(decoder, remembered);
  expect(read(decoder, "1f08 0131  1f2f 0132")).toEqual(["authorization: 1", "a: 2"]);
});

test("a list is taken up to the limit and no further (RFC 9113, 6.5.2)", () => {
  const decoder = decoderOf({ listBytesMax: 2 * 42 + 34 });
  expect(read(decoder, `82 82 ${remembered}`)).toHaveLength(3);
  expect(read(decoder, "82 82 40 0161 023131")).toBeUndefined();
  expect(tableOf(decoder).map(lineOf)).toEqual(["a: 11", "a: 1"]);
});

test("a list that is too large leaves the table right: what follows is read", () => {
  const decoder = decoderOf({ listBytesMax: 100 });
  const encoder = new Encoder();
  const fields = Array.from({ length: 12 }, (_, at) => fieldOf(`name-${at}: value-${at}`));
  expect(read(decoder, write(encoder, fields))).toBeUndefined();
  for (const field of fields) {
    expect(read(decoder, write(encoder, [field]))).toEqual([lineOf(field)]);
  }
});

test("a list that is too large is still an error when it is no HPACK", () => {
  const decoder = decoderOf({ listBytesMax: 40 });
  expect(() => read(decoder, "82 82 82 80")).toThrow(CompressionError);
});

test("a block of references to one large entry makes nothing of them", () => {
  const decoder = decoderOf({ listBytesMax: 16_384 });
  read(decoder, write(new Encoder(), [fieldOf(`x-large: ${"~".repeat(4000)}`)]));
  const [large] = tableOf(decoder);
  expect(large?.value).toHaveLength(4000);
  const bomb = Buffer.alloc(1_000_000, 0xbe);
  expect(decoder.decode(bomb, 0, bomb.length)).toBeUndefined();
  const four = decoder.decode(bomb, 0, 4);
  expect(four).toHaveLength(4);
  // One object, however often it is named.
  for (const field of four ?? []) expect(field).toBe(large as typeof field);
});

test("the version grows with what changes the table, and with nothing else", () => {
  const decoder = decoderOf();
  const grown = (block: string) => {
    const before = decoder.version;
    read(decoder, block);
    return decoder.version - before;
  };
  expect(grown("82 86 040131 100161 0131 00 0161 0131")).toBe(0);
  expect(grown(remembered)).toBe(1);
  expect(grown("be")).toBe(0);
  expect(grown(`${remembered} ${remembered}`)).toBe(2);
  expect(grown("20 3fe11f")).toBe(2);
  // Too large for the table, which it empties.
  expect(grown(`40 0162 7fa11f ${"31".repeat(4128)}`)).toBe(1);
});
