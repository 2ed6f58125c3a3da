/** Writes one table: rows in, a file named by its hash out. The format is drawn in table.ts. */
import { assert } from "../lib/assert.ts";
import type { ByteString } from "../lib/bytes.ts";
import { crc32 } from "../lib/checksum.ts";
import type { Disk } from "../lib/disk.ts";
import { BlockWriter } from "./block.ts";
import { buildFilter, bytesHash } from "./filter.ts";
import { Output } from "./output.ts";
import { RowKey } from "./rowkey.ts";
import {
  blockSeed,
  claimsToJson,
  type TableClaims,
  tableFormat,
  tableMagic,
  tablePath,
  tailBytes,
} from "./table.ts";
import type { Schema, TableInfo } from "./tree.ts";
import { commonBytes, type KeyView, keyText, type RowView } from "./view.ts";

export interface BuilderOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Where the file is while it is made; nothing may be there. */
  readonly temporaryPath: string;
  readonly schema: Schema;
  /** A block is closed when it has reached this size. */
  readonly blockBytes: number;
  /** The file is written in pieces of this size. */
  readonly chunkBytes: number;
  /** Unsigned 32 bits. */
  readonly salt: number;
}

export class TableBuilder {
  readonly #options: BuilderOptions;
  readonly #output: Output;
  readonly #summary: ReturnType<Schema["summary"]>;
  readonly #block = new BlockWriter();
  readonly #index = new BlockWriter();
  readonly #place = Buffer.alloc(8);
  readonly #prefixes = new HashList();
  #rows = 0;
  #deletions = 0;
  #first: ByteString = "";
  #prefixLength = -1;
  /** A closed block is not in the index before the next key is known. */
  #hasUnindexed = false;

  /** Makes the file. DiskError. */
  constructor(options: BuilderOptions) {
    this.#options = options;
    this.#summary = options.schema.summary();
    this.#output = new Output(options.disk, options.temporaryPath, options.chunkBytes);
  }

  /** Bytes of the closed blocks and the open one. */
  get bytes(): number {
    return this.#output.bytes + this.#block.size;
  }

  /** Adds a row; its key is after all before it. DiskError. */
  add(row: RowView): void {
    if (this.#hasUnindexed) this.#indexBlock(separator(this.#block.last, row));
    const shared = this.#block.add(row, row.bytes, row.start, row.end);
    const prefixLength = this.#options.schema.prefixLength(row);
    if (shared < prefixLength || prefixLength !== this.#prefixLength) {
      this.#prefixes.push(bytesHash(row, prefixLength));
      this.#prefixLength = prefixLength;
    }
    this.#summary.add(row);
    if (this.#rows++ === 0) this.#first = row.key;
    if (row.start < 0) this.#deletions++;
    if (this.#block.size >= this.#options.blockBytes) this.#closeBlock();
  }

  /**
   * Completes the file, makes its content durable and gives it its name, which is durable once the
   * directory is synced. There must be a row. DiskError: then `abandon` it.
   */
  async finish(): Promise<TableInfo> {
    assert(this.#rows > 0, "a table has a row");
    if (this.#block.rows > 0) this.#closeBlock();
    this.#indexBlock(this.#block.last);
    const claims: TableClaims = {
      rows: this.#rows,
      deletions: this.#deletions,
      first: this.#first,
      last: keyText(this.#block.last),
      summary: this.#summary.result(),
    };
    this.#writeParts(claims);
    const { directory } = this.#options;
    return { ...claims, ...(await this.#output.finish((hash) => tablePath(directory, hash))) };
  }

  /** See Output.settle. */
  settle(): Promise<void> {
    return this.#output.settle();
  }

  /** Removes what there is of the file. */
  abandon(): Promise<void> {
    return this.#output.abandon();
  }

  #closeBlock(): void {
    const offset = this.#output.bytes;
    const block = this.#block.close(blockSeed(this.#options.salt, offset));
    assert(offset + block.length < 2 ** 32, "a table has less than 4 GiB");
    this.#place.writeUInt32LE(offset, 0);
    this.#place.writeUInt32LE(block.length, 4);
    this.#hasUnindexed = true;
    this.#output.add(block);
  }

  #indexBlock(upTo: KeyView): void {
    this.#index.add(upTo, this.#place, 0, this.#place.length);
    this.#hasUnindexed = false;
  }

  #writeParts(claims: TableClaims): void {
    const { salt } = this.#options;
    const index = this.#index.close(blockSeed(salt, this.#output.bytes));
    const filter = buildFilter(this.#prefixes.hashes);
    const info = Buffer.from(JSON.stringify(claimsToJson(claims)));
    const tail = Buffer.alloc(tailBytes);
    tail.writeUInt32LE(index.length, 0);
    tail.writeUInt32LE(filter.length, 4);
    tail.writeUInt32LE(info.length, 8);
    tail.writeUInt32LE(salt, 12);
    tail.writeUInt32LE(crc32(info, crc32(filter, crc32(index))), 16);
    tail.writeUInt32LE(tableFormat, 20);
    tail.writeUInt32LE(crc32(tail.subarray(0, 24)), 24);
    tableMagic.copy(tail, 28);
    for (const part of [index, filter, info, tail]) this.#output.add(part);
  }
}

const cut = new RowKey();

/** A short key at or after `last` and before `next`, which is after `last`; valid until the next call. */
function separator(last: KeyView, next: KeyView): KeyView {
  const common = commonBytes(last, next);
  const shortest = Math.min(next.keyEnd - next.keyAt, last.keyEnd - last.keyAt);
  // What differs first makes the beginning of `next` greater than `last`.
  return common + 1 < shortest ? cut.copy(next, common + 1, 0) : last;
}

/** Hashes, as many as come. */
class HashList {
  #hashes = new Uint32Array(1024);
  #length = 0;

  get hashes(): Uint32Array {
    return this.#hashes.subarray(0, this.#length);
  }

  push(hash: number): void {
    if (this.#length === this.#hashes.length) {
      const grown = new Uint32Array(this.#length * 2);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes[this.#length++] = hash;
  }
}
