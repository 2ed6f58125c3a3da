/**
 * The Huffman code of header strings (RFC 7541 5.2 and Appendix B). It is canonical: codes of one
 * length follow each other in the order of their symbols, so their lengths say everything.
 *
 * A decoder walks the code's tree from the root to a leaf, again and again. Here it takes eight
 * steps at once: for each of the 256 inner nodes and each byte, a word says what comes of them.
 *
 *   31    27   26    25   24  23     16  15      8  7       0
 *   +------+-------+---------+----------+----------+----------+
 *   |    0 | wrong | symbols | second   | first    | node     |   a byte can end two codes
 *   +------+-------+---------+----------+----------+----------+
 */
import { latin1Text } from "./latin1.ts";

/** The bits of the codes of the bytes 0 to 255, and of the end of string. */
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const endOfString = 256;
const innerNodes = 256;
const root = 0;

const codes = canonicalCodes(codeLengths);
const tree = treeOf(codes, codeLengths);

const symbolsShift = 24;
const wrong = 1 << 26;
const steps = stepsOf(tree);
const mayEnd = endsOf(tree);

/** Decoded strings up to this size are put together in one place. */
const scratchBytes = 8192;
const scratch = Buffer.alloc(scratchBytes);

/** A byte's two symbols are written whether they are there or not. */
const slackBytes = 2;

/**
 * The text that bytes[from,to) are the code of, as latin1; undefined when they are the code of
 * none: they contain the end of string, or their padding is no beginning of it or a whole byte.
 */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number): string | undefined {
  // The shortest codes have five bits.
  const room = Math.floor(((to - from) * 8) / 5) + slackBytes;
  const text = room <= scratchBytes ? scratch : Buffer.allocUnsafe(room);
  let length = 0;
  let word = root;
  let seen = 0;
  for (let at = from; at < to; at++) {
    word = steps[((word & 0xff) << 8) | (bytes[at] as number)] as number;
    text[length] = word >>> 8;
    text[length + 1] = word >>> 16;
    length += (word >>> symbolsShift) & 3;
    seen |= word;
  }
  if ((seen & wrong) !== 0 || mayEnd[word & 0xff] === 0) return undefined;
  return latin1Text(text, 0, length);
}

/** How many bytes encodeHuffman writes for `text`; NaN when a char is no byte. */
export function huffmanBytes(text: string): number {
  let bits = 0;
  for (let at = 0; at < text.length; at++) bits += codeLengths[text.charCodeAt(at)] ?? Number.NaN;
  return Math.ceil(bits / 8);
}

/** Writes the code of `text`, latin1, at `at`, padded to whole bytes. Returns where it ends. */
export function encodeHuffman(text: string, out: Uint8Array, at: number): number {
  let end = at;
  /** The bits of a byte that is not yet full. */
  let bits = 0;
  let pending = 0;
  for (let index = 0; index < text.length; index++) {
    const symbol = text.charCodeAt(index);
    const code = codes[symbol] as number;
    let rest = codeLengths[symbol] as number;
    while (pending + rest >= 8) {
      const taken = 8 - pending;
      rest -= taken;
      out[end++] = (bits << taken) | (code >>> rest);
      bits = 0;
      pending = 0;
    }
    bits = (bits << rest) | (code & ((1 << rest) - 1));
    pending += rest;
  }
  if (pending > 0) out[end++] = (bits << (8 - pending)) | (0xff >>> pending);
  return end;
}

/** The code of each symbol, right-aligned. */
function canonicalCodes(lengths: readonly number[]): Uint32Array {
  const ordered = lengths.map((length, symbol) => ({ length, symbol }));
  ordered.sort((a, b) => a.length - b.length || a.symbol - b.symbol);
  const result = new Uint32Array(lengths.length);
  let next = 0;
  let bits = 0;
  for (const { length, symbol } of ordered) {
    next <<= length - bits;
    bits = length;
    result[symbol] = next++;
  }
  return result;
}

/** The tree: at 2 * node + bit, the child that the bit leads to; a leaf is ~symbol. */
function treeOf(symbolCodes: Uint32Array, lengths: readonly number[]): Int16Array {
  const children = new Int16Array(innerNodes * 2);
  let nodes = 1;
  for (const [symbol, length] of lengths.entries()) {
    const code = symbolCodes[symbol] as number;
    let node = root;
    for (let bit = length - 1; bit > 0; bit--) {
      const side = 2 * node + ((code >>> bit) & 1);
      if (children[side] === 0) children[side] = nodes++;
      node = children[side] as number;
    }
    children[2 * node + (code & 1)] = ~symbol;
  }
  return children;
}

/** The words of the picture above, at 256 * node + byte. */
function stepsOf(children: Int16Array): Uint32Array {
  const words = new Uint32Array(innerNodes * 256);
  /** Fills the words from `start` to `end`, of bytes that begin alike, with bits that led here. */
  const fill = (start: number, end: number, child: number, symbols: number): void => {
    if (~child === endOfString) words.fill(wrong, start, end);
    else if (child < 0) fill(start, end, root, withSymbol(symbols, ~child));
    else if (end - start === 1) words[start] = symbols | child;
    else {
      const middle = (start + end) >>> 1;
      fill(start, middle, children[2 * child] as number, symbols);
      fill(middle, end, children[2 * child + 1] as number, symbols);
    }
  };
  for (let node = 0; node < innerNodes; node++) fill(256 * node, 256 * (node + 1), node, 0);
  return words;
}

function withSymbol(word: number, symbol: number): number {
  const before = word >>> symbolsShift;
  return (word | (symbol << (8 * (before + 1)))) + (1 << symbolsShift);
}

/** Whether a string may end at a node: up to seven bits of the end of string lead to it. */
function endsOf(children: Int16Array): Uint8Array {
  const ends = new Uint8Array(innerNodes);
  let node = root;
  for (let bits = 0; bits < 8; bits++) {
    ends[node] = 1;
    node = children[2 * node + 1] as number;
  }
  return ends;
}
