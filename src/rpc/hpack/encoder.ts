/**
 * Fields as header blocks: the encoding half of HPACK (RFC 7541 6). What is in a table goes out as
 * its index; of the rest the caller says which fields are worth remembering.
 */
import type { Field } from "./decoder.ts";
import { integerBytesMax, writeInteger } from "./integer.ts";
import { Positions } from "./positions.ts";
import { firstDynamicIndex, staticPositions } from "./static.ts";
import { stringBytesMax, writeString } from "./string.ts";
import { DynamicTable, fieldBytes } from "./table.ts";

/**
 * How a field is sent: "index" remembers it in the table (fields that repeat), "plain" does not,
 * "never" is the never-indexed literal of 7.1.3, which no proxy may index either.
 */
export interface HeaderField extends Field {
  readonly how: "index" | "plain" | "never";
}

/** What we use of a peer's table, which is also what it has at first (RFC 9113 6.5.2). */
const tableBytesMax = 4096;

/** The encoder of what goes to one peer on one connection: every block, in order. */
export class Encoder {
  readonly #table: DynamicTable;
  /** Where the dynamic table's entries are, numbered as they came. */
  readonly #positions = new Positions();
  #added = 0;
  /** The smallest size since the last block, when the peer is to hear of a change. */
  #smallestBytes: number | undefined;
  #version = 0;

  constructor() {
    this.#table = new DynamicTable(tableBytesMax, (field) => this.#positions.remove(field));
  }

  /**
   * Grows whenever an index may have another meaning, or a size update is to be sent. A block that
   * was encoded without that happening may be sent again as it is, while it has not grown.
   */
  get version(): number {
    return this.#version;
  }

  /**
   * Takes the peer's SETTINGS_HEADER_TABLE_SIZE. If our table has to change, the next block begins
   * with a size update (6.3); with two when it was smaller in between (4.2).
   */
  limitTable(bytes: number): void {
    const size = Math.min(bytes, tableBytesMax);
    if (size === this.#table.bytesMax) return;
    this.#smallestBytes = Math.min(this.#smallestBytes ?? size, size);
    this.#table.resize(size);
    this.#version++;
  }

  /** The room that a block with these fields takes at most. */
  bytesMax(fields: readonly HeaderField[]): number {
    let bytes = 2 * integerBytesMax;
    for (const { name, value } of fields) {
      bytes += integerBytesMax + stringBytesMax(name) + stringBytesMax(value);
    }
    return bytes;
  }

  /**
   * Writes a block with these fields, latin1 text, at `at` of `out`, where there is room for
   * `bytesMax(fields)`. Returns where it ends.
   */
  encode(fields: readonly HeaderField[], out: Uint8Array, at: number): number {
    let end = this.#writeSizes(out, at);
    for (const field of fields) end = this.#writeField(field, out, end);
    return end;
  }

  #writeSizes(out: Uint8Array, at: number): number {
    const smallest = this.#smallestBytes;
    if (smallest === undefined) return at;
    this.#smallestBytes = undefined;
    this.#version++;
    const size = this.#table.bytesMax;
    const end = smallest < size ? writeInteger(out, at, 0x20, 0x1f, smallest) : at;
    return writeInteger(out, end, 0x20, 0x1f, size);
  }

  #writeField(field: HeaderField, out: Uint8Array, at: number): number {
    const { how } = field;
    if (how === "never") return this.#writeLiteral(out, at, 0x10, 0x0f, field);
    const index = staticPositions.ofField(field) ?? this.#indexOf(this.#positions.ofField(field));
    if (index !== undefined) return writeInteger(out, at, 0x80, 0x7f, index);
    if (how === "plain" || fieldBytes(field) > this.#table.bytesMax) {
      return this.#writeLiteral(out, at, 0x00, 0x0f, field);
    }
    const end = this.#writeLiteral(out, at, 0x40, 0x3f, field);
    this.#add(field);
    return end;
  }

  #writeLiteral(
    out: Uint8Array,
    at: number,
    pattern: number,
    indexMax: number,
    { name, value }: Field,
  ): number {
    const index = staticPositions.ofName(name) ?? this.#indexOf(this.#positions.ofName(name));
    const behindIndex = writeInteger(out, at, pattern, indexMax, index ?? 0);
    const behindName = index === undefined ? writeString(out, behindIndex, name) : behindIndex;
    return writeString(out, behindName, value);
  }

  #add(field: Field): void {
    this.#table.add(field);
    this.#positions.add(field, this.#added++);
    this.#version++;
  }

  #indexOf(position: number | undefined): number | undefined {
    return position === undefined ? undefined : firstDynamicIndex + this.#added - 1 - position;
  }
}
