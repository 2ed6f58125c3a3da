/**
 * Where a memtable keeps the bytes of its rows, one behind the other:
 *
 *   | key bytes, u32 | key | value bytes + 1, u32; 0 for a deletion | value | ...
 *
 * in chunks, which are never moved or changed. A place is chunk * chunk size + offset; a row too big
 * for what is left of a chunk begins the next one, which is made as big as it needs. Numbers are
 * little-endian.
 */
import { assert } from "../lib/assert.ts";
import { copyShort } from "../lib/bytes.ts";
import { type KeyView, wordsOf } from "./view.ts";

const chunkBitsMax = 20;
const chunkBitsMin = 12;
/** Chunks that one expects at least, so that little is left over in the last. */
const chunksMin = 16;
const lengthBytes = 4;

export class Arena {
  readonly #chunkBits: number;
  readonly #chunks: Buffer[] = [];
  readonly #words: DataView[] = [];
  #chunk = Buffer.alloc(0);
  /** Where the next row goes in the newest chunk. */
  #at = 0;
  #bytes = 0;

  /** `expectedBytes`: about how much it will hold. */
  constructor(expectedBytes: number) {
    const bits = Math.floor(Math.log2(1 + expectedBytes / chunksMin));
    this.#chunkBits = Math.min(chunkBitsMax, Math.max(chunkBitsMin, bits));
  }

  /** Bytes of all rows added. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Copies a row in, its value `head` followed by `tail`; without a head, a deletion. Returns its place. */
  add(key: KeyView, head: Uint8Array | undefined, tail: Uint8Array | undefined): number {
    const keyBytes = key.keyEnd - key.keyAt;
    const valueBytes = (head?.length ?? 0) + (tail?.length ?? 0);
    const size = lengthBytes + keyBytes + lengthBytes + valueBytes;
    if (this.#at + size > this.#chunk.length) this.#grow(size);
    const chunk = this.#chunk;
    const start = this.#at;
    const words = this.#words[this.#words.length - 1] as DataView;
    words.setUint32(start, keyBytes, true);
    let at = copyShort(key.keyBytes, key.keyAt, key.keyEnd, chunk, start + lengthBytes);
    words.setUint32(at, head === undefined ? 0 : valueBytes + 1, true);
    at += lengthBytes;
    if (head !== undefined) at = copyShort(head, 0, head.length, chunk, at);
    if (head !== undefined && tail !== undefined) chunk.set(tail, at);
    this.#at += size;
    this.#bytes += size;
    return (this.#chunks.length - 1) * 2 ** this.#chunkBits + start;
  }

  /** The chunk that holds the row at `place`. */
  chunkOf(place: number): Buffer {
    return this.#chunks[place >>> this.#chunkBits] as Buffer;
  }

  /** The same bytes as `chunkOf`. */
  wordsOf(place: number): DataView {
    return this.#words[place >>> this.#chunkBits] as DataView;
  }

  /** Where in its chunk the row's key begins. */
  keyAt(place: number): number {
    return (place & (2 ** this.#chunkBits - 1)) + lengthBytes;
  }

  #grow(size: number): void {
    const chunkBytes = 2 ** this.#chunkBits;
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(size, chunkBytes));
    assert(this.#chunks.length * chunkBytes < 2 ** 32, "places are 32-bit numbers");
    this.#chunks.push(this.#chunk);
    this.#words.push(wordsOf(this.#chunk));
    this.#at = 0;
  }
}

/** How long the key is that begins at `keyAt` of a chunk. */
export function keyBytesAt(chunk: DataView, keyAt: number): number {
  return chunk.getUint32(keyAt - lengthBytes, true);
}

/** Where the value begins that follows a key; -1 for a deletion. */
export function valueAt(chunk: DataView, keyEnd: number): number {
  return chunk.getUint32(keyEnd, true) === 0 ? -1 : keyEnd + lengthBytes;
}

/** Where that value ends. */
export function valueEnd(chunk: DataView, keyEnd: number): number {
  return keyEnd + lengthBytes + chunk.getUint32(keyEnd, true) - 1;
}
