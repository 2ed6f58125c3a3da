/**
 * Header blocks (RFC 9113, section 4.3), in and out. Most are the same as one before: what a block
 * means is remembered as long as the compression state it was read in has not changed, and so are
 * the bytes of those we send.
 */
import { copyOf } from "../../lib/bytes.ts";
import { Decoder, type Field } from "../hpack/decoder.ts";
import { Encoder, type HeaderField } from "../hpack/encoder.ts";

/** Blocks remembered; a power of two. */
const kept = 16;
/** Longer blocks are not worth a comparison. */
const keptBytesMax = 128;

interface Known<Meaning> {
  readonly block: Uint8Array;
  readonly version: number;
  readonly meaning: Meaning;
}

/** Reads blocks; `interpret` makes of their fields what they mean. */
export class BlockReader<Meaning> {
  readonly #decoder: Decoder;
  readonly #interpret: (fields: readonly Field[]) => Meaning;
  #known: (Known<Meaning> | undefined)[] = [];

  constructor(listBytesMax: number, interpret: (fields: readonly Field[]) => Meaning) {
    this.#decoder = new Decoder({ tableBytesMax: 4096, listBytesMax });
    this.#interpret = interpret;
  }

  /**
   * What the block bytes[from, to) means; undefined when its fields are more than are taken. Throws
   * CompressionError, and whatever `interpret` throws.
   */
  read(bytes: Uint8Array, from: number, to: number): Meaning | undefined {
    const place = placeOf(bytes, from, to);
    const known = this.#known[place];
    if (known !== undefined && known.version === this.#decoder.version) {
      if (isSame(known.block, bytes, from, to)) return known.meaning;
    }
    const { version } = this.#decoder;
    const fields = this.#decoder.decode(bytes, from, to);
    if (fields === undefined) return undefined;
    const meaning = this.#interpret(fields);
    // One that changed the table would change it again.
    if (this.#decoder.version === version && to - from <= keptBytesMax) {
      this.#known[place] = { block: copyOf(bytes, from, to), version, meaning };
    }
    return meaning;
  }

  /** The fields of a block that begins nothing, read at least for what it does to the compression state. */
  fieldsOf(bytes: Uint8Array, from: number, to: number): readonly Field[] | undefined {
    return this.#decoder.decode(bytes, from, to);
  }
}

/** Writes blocks. Lists of fields that are constant are best given as one and the same array. */
export class BlockWriter {
  readonly #encoder = new Encoder();
  readonly #known = new Map<readonly HeaderField[], { block: Uint8Array; version: number }>();

  /** The block for `fields`, to be used before the next is asked for: they go out in order. */
  encode(fields: readonly HeaderField[]): Uint8Array {
    const known = this.#known.get(fields);
    if (known !== undefined && known.version === this.#encoder.version) return known.block;
    const { version } = this.#encoder;
    const room = new Uint8Array(this.#encoder.bytesMax(fields));
    const block = room.slice(0, this.#encoder.encode(fields, room, 0));
    if (this.#encoder.version === version && isConstant(fields)) {
      this.#known.set(fields, { block, version });
    }
    return block;
  }

  /** The client keeps a table of at most `bytes`. */
  limitTable(bytes: number): void {
    this.#encoder.limitTable(bytes);
  }
}

/** Lists that are made for one response are frozen by nobody. */
function isConstant(fields: readonly HeaderField[]): boolean {
  return Object.isFrozen(fields);
}

function placeOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = to - from;
  for (let at = from; at < to && at < from + 32; at++)
    hash = (hash * 31 + (bytes[at] as number)) | 0;
  return hash & (kept - 1);
}

function isSame(block: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (block.length !== to - from) return false;
  for (let at = 0; at < block.length; at++) if (block[at] !== bytes[from + at]) return false;
  return true;
}
