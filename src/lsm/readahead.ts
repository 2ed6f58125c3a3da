/** Reads the blocks of tables one after the other, for merges: many with one call of the disk. */
import type { BlockReader, Table } from "./table.ts";

const windowBytes = 2 ** 17;

/** The block it returned last is valid until the next is read. */
export class ReadAhead implements BlockReader {
  #window = Buffer.allocUnsafeSlow(windowBytes);
  #table: Table | undefined;
  /** The part of the table that the window holds: from, and up to. */
  #from = 0;
  #end = 0;

  read(table: Table, offset: number, length: number): Buffer {
    if (table !== this.#table || offset < this.#from || offset + length > this.#end) {
      if (length > this.#window.length) this.#window = Buffer.allocUnsafeSlow(length);
      this.#table = table;
      this.#from = offset;
      this.#end = offset + table.readRaw(this.#window, offset);
    }
    const at = offset - this.#from;
    const block = this.#window.subarray(at, Math.min(at + length, this.#end - this.#from));
    table.checkBlock(block, offset);
    return block;
  }
}
