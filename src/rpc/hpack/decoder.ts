/**
 * Header blocks as fields: the decoding half of HPACK (RFC 7541 3.2 and 6). A block is size
 * updates, at most two, and then fields, each known by its first bits:
 *
 *   1.......   indexed                          name and value are in a table
 *   01......   literal, and remember it         the name is in a table, or a string (index 0);
 *   0000....   literal                          the value is a string
 *   0001....   literal, never to be indexed
 *   001.....   size of the dynamic table
 */
import { Cursor, readInteger } from "./integer.ts";
import { firstDynamicIndex, staticFields } from "./static.ts";
import { readString } from "./string.ts";
import { DynamicTable, fieldBytes } from "./table.ts";

/** A header field: lower-case name and value as latin1 text (one char per byte). */
export interface Field {
  readonly name: string;
  readonly value: string;
}

/** A block that is no HPACK: the connection must end (RFC 9113 4.3, COMPRESSION_ERROR). */
export class CompressionError extends Error {
  override readonly name = "CompressionError";
}

/** The size that a peer's table has before anybody said anything (RFC 9113 6.5.2). */
const initialTableBytes = 4096;

const sizeUpdatesMax = 2;

/** The decoder of what one peer sends on one connection: every block, in order. */
export class Decoder {
  readonly #tableBytesMax: number;
  readonly #listBytesMax: number;
  readonly #table: DynamicTable;
  #version = 0;

  /**
   * `tableBytesMax` is our SETTINGS_HEADER_TABLE_SIZE; below 4,096 the peer must have known it
   * before its first block. `listBytesMax` is our SETTINGS_MAX_HEADER_LIST_SIZE.
   */
  constructor(options: { tableBytesMax: number; listBytesMax: number }) {
    this.#tableBytesMax = options.tableBytesMax;
    this.#listBytesMax = options.listBytesMax;
    this.#table = new DynamicTable(options.tableBytesMax);
    this.#table.resize(Math.min(options.tableBytesMax, initialTableBytes));
  }

  /**
   * Grows whenever the dynamic table changes (insertion, size update). A block that left it alone
   * means the same as long as it has not grown.
   */
  get version(): number {
    return this.#version;
  }

  /**
   * The fields of the header block bytes[from,to), in order; undefined when they are larger than
   * the list may be (RFC 9113 6.5.2: name, value and 32 each): they have changed the table all the
   * same, and the next block can be decoded. Throws CompressionError.
   */
  decode(bytes: Uint8Array, from: number, to: number): readonly Field[] | undefined {
    const cursor = new Cursor(bytes, from, to);
    this.#updateSize(cursor);
    const fields: Field[] = [];
    let listBytes = 0;
    while (cursor.at < to) {
      const field = this.#field(cursor);
      listBytes += fieldBytes(field);
      // A byte can name a field of thousands: what is beyond the limit must not be kept.
      if (listBytes <= this.#listBytesMax) fields.push(field);
    }
    return listBytes <= this.#listBytesMax ? fields : undefined;
  }

  #updateSize(cursor: Cursor): void {
    for (let updates = 0; updates < sizeUpdatesMax; updates++) {
      if (cursor.at >= cursor.to || ((cursor.bytes[cursor.at] as number) & 0xe0) !== 0x20) return;
      const size = readInteger(cursor, 0x1f);
      if (size < 0) throw new CompressionError("a table size is no integer");
      if (size > this.#tableBytesMax) {
        throw new CompressionError(`a table size of ${size} is beyond what was allowed`);
      }
      this.#table.resize(size);
      this.#version++;
    }
  }

  #field(cursor: Cursor): Field {
    const first = cursor.bytes[cursor.at] as number;
    if (first >= 0x80) return this.#entry(readInteger(cursor, 0x7f));
    if (first >= 0x40) {
      const field = this.#literal(cursor, 0x3f);
      this.#table.add(field);
      this.#version++;
      return field;
    }
    if (first >= 0x20) throw new CompressionError("a table size may only begin a block, twice");
    return this.#literal(cursor, 0x0f);
  }

  #literal(cursor: Cursor, indexMax: number): Field {
    const index = readInteger(cursor, indexMax);
    const name = index === 0 ? readString(cursor) : this.#entry(index).name;
    const value = name === undefined ? undefined : readString(cursor);
    if (name === undefined || value === undefined) {
      throw new CompressionError("a string is cut off or no Huffman code");
    }
    return { name, value };
  }

  #entry(index: number): Field {
    if (index < 0) throw new CompressionError("an index is no integer");
    const field =
      index < firstDynamicIndex ? staticFields[index] : this.#table.at(index - firstDynamicIndex);
    if (field === undefined) throw new CompressionError(`there is no entry at index ${index}`);
    return field;
  }
}
