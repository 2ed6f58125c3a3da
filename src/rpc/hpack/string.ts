/**
 * Strings of HPACK (RFC 7541 5.2): names and values, as latin1 text.
 *
 *   +---+------------------------+
 *   | H | length, prefix 7 bits  |     H: the bytes are Huffman code
 *   +---+------------------------+
 *   | bytes                      |
 *   +----------------------------+
 */
import { assert } from "../../lib/assert.ts";
import { decodeHuffman, encodeHuffman, huffmanBytes } from "./huffman.ts";
import { type Cursor, integerBytesMax, readInteger, writeInteger } from "./integer.ts";
import { latin1Text } from "./latin1.ts";

const huffman = 0x80;
const lengthMax = 0x7f;

/**
 * The string at `cursor`, which moves behind it; undefined when it goes on behind the block's end
 * or is not the Huffman code it claims to be.
 */
export function readString(cursor: Cursor): string | undefined {
  const { bytes, to } = cursor;
  const first = bytes[cursor.at] as number;
  const length = readInteger(cursor, lengthMax);
  const from = cursor.at;
  if (length < 0 || length > to - from) return undefined;
  const end = from + length;
  cursor.at = end;
  if ((first & huffman) !== 0) return decodeHuffman(bytes, from, end);
  return latin1Text(bytes, from, end);
}

/** Writes `text` at `at`, as Huffman code if that is shorter. Returns where it ends. */
export function writeString(out: Uint8Array, at: number, text: string): number {
  const packed = huffmanBytes(text);
  if (packed < text.length) {
    return encodeHuffman(text, out, writeInteger(out, at, huffman, lengthMax, packed));
  }
  let end = writeInteger(out, at, 0, lengthMax, text.length);
  let seen = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    seen |= code;
    out[end++] = code;
  }
  assert(seen <= 0xff, "names and values of headers are latin1 text");
  return end;
}

/** Room that `text` takes at most. */
export function stringBytesMax(text: string): number {
  return integerBytesMax + text.length;
}
