/**
 * Checked blocks of tables, kept up to a number of bytes. What goes when room is needed is decided
 * as SIEVE does (Zhang et al., NSDI 2024): blocks queue in the order they came; a hand walks from
 * the oldest to the newest, spares those that were asked for since it last came by, and drops the
 * first that was not. Blocks that a scan read once and nobody wanted again go before popular ones,
 * and a hit moves nothing.
 */
import type { BlockReader, Table } from "./table.ts";

/** What an entry costs beside its bytes: the entry, its place in a map, the buffer's own header. */
const entryOverheadBytes = 256;
/** A block bigger than this share of the cache is not kept. */
const blockShareMax = 1 / 8;

export interface CachedBlock {
  readonly table: Table;
  readonly offset: number;
  readonly block: Buffer;
  isWanted: boolean;
  older: CachedBlock | undefined;
  newer: CachedBlock | undefined;
}

/** The cache of the tables of one tree: which blocks of a table it has is noted there. */
export class BlockCache implements BlockReader {
  readonly #bytesMax: number;
  #oldest: CachedBlock | undefined;
  #newest: CachedBlock | undefined;
  /** What is looked at next when room is needed; the oldest when undefined. */
  #hand: CachedBlock | undefined;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  read(table: Table, offset: number, length: number): Buffer {
    const known = table.cached.get(offset);
    if (known !== undefined) {
      known.isWanted = true;
      return known.block;
    }
    const block = Buffer.allocUnsafeSlow(length);
    table.readBlock(block, offset);
    if (length <= this.#bytesMax * blockShareMax) this.#add(table, offset, block);
    return block;
  }

  /** Forgets the blocks of a table. */
  drop(table: Table): void {
    for (const entry of table.cached.values()) this.#unlink(entry);
    table.cached.clear();
  }

  #add(table: Table, offset: number, block: Buffer): void {
    const size = block.length + entryOverheadBytes;
    while (this.#bytes + size > this.#bytesMax && this.#oldest !== undefined) this.#evict();
    const newest = this.#newest;
    const entry = { table, offset, block, isWanted: false, older: newest, newer: undefined };
    if (newest === undefined) this.#oldest = entry;
    else newest.newer = entry;
    this.#newest = entry;
    this.#bytes += size;
    table.cached.set(offset, entry);
  }

  #evict(): void {
    let entry = this.#hand ?? this.#oldest;
    while (entry?.isWanted) {
      entry.isWanted = false;
      entry = entry.newer ?? this.#oldest;
    }
    if (entry === undefined) return;
    this.#hand = entry;
    this.#unlink(entry);
    entry.table.cached.delete(entry.offset);
  }

  /** Takes an entry out of the queue; a hand that is on it moves on. */
  #unlink(entry: CachedBlock): void {
    const { newer, older } = entry;
    if (this.#hand === entry) this.#hand = newer;
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
    this.#bytes -= entry.block.length + entryOverheadBytes;
  }
}
