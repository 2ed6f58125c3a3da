/**
 * The tables that a manifest names, held open to be read, by somebody who is not the owner of the
 * directory and changes nothing in it. The owner may go on meanwhile: a file that is open can be
 * read after its name is gone, and whether a name was gone already is told by the manifest, which
 * then names others.
 */
import type { ByteString } from "../lib/bytes.ts";
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, DiskError, readWhole } from "../lib/disk.ts";
import { BlockCache } from "./cache.ts";
import { checkOrder, checkRun, checkTable, type TableDamage } from "./check.ts";
import { type Layers, Lookup } from "./lookup.ts";
import { decodeManifest, type Manifest, manifestName, tablesIn } from "./manifest.ts";
import { Memtable } from "./memtable.ts";
import type { RowKey } from "./rowkey.ts";
import { bothOf, type Lanes, Run } from "./run.ts";
import { Table, tablePath, tableSuffix } from "./table.ts";
import type { Cursor, RowSet, Schema, TableInfo } from "./tree.ts";
import type { RowView } from "./view.ts";

/** About how much is put over tables that are only read, in bytes. */
const overlayBytes = 2 ** 24;

/** A table that cannot be opened, and why. */
export interface Unopened {
  readonly info: TableInfo;
  readonly path: string;
  readonly error: CorruptionError | ForeignError;
}

export class HeldTables<P> {
  readonly directory: string;
  readonly #disk: Disk;
  /** As it was read; undefined when there was none. */
  readonly #bytes: Buffer | undefined;
  readonly manifest: Manifest<P>;
  /** Why the manifest is empty although it should not be. */
  readonly unreadable: CorruptionError | undefined;
  /** By their hashes. */
  readonly #tables = new Map<string, Table>();
  readonly unopened: readonly Unopened[];

  private constructor(disk: Disk, directory: string, before: HeldTables<P> | undefined) {
    this.#disk = disk;
    this.directory = directory;
    this.#bytes = readWhole(disk, `${directory}/${manifestName}`);
    const read = readManifest<P>(disk, directory, this.#bytes);
    this.unreadable = read instanceof CorruptionError ? read : undefined;
    this.manifest = read instanceof CorruptionError ? nothing : read;
    const unopened: Unopened[] = [];
    for (const info of tablesIn(this.manifest)) {
      const table = before?.take(info.hash) ?? this.#open(info);
      if (table instanceof Table) this.#tables.set(info.hash, table);
      else unopened.push({ info, path: tablePath(directory, info.hash), error: table });
    }
    this.unopened = unopened;
  }

  /**
   * Opens what the manifest names by now; a directory without one has no tables. What `before` has
   * open is taken over and the rest of it closed. ForeignError when the manifest is newer; DiskError.
   */
  static open<P>(disk: Disk, directory: string, before?: HeldTables<P>): HeldTables<P> {
    try {
      return new HeldTables(disk, directory, before);
    } finally {
      before?.close();
    }
  }

  /** Whether the manifest is still the one that was read. DiskError. */
  get isCurrent(): boolean {
    const now = readWhole(this.#disk, `${this.directory}/${manifestName}`);
    if (now === undefined || this.#bytes === undefined) return now === this.#bytes;
    return now.equals(this.#bytes);
  }

  /** Of the manifest, in bytes; 0 when there is none. */
  get manifestBytes(): number {
    return this.#bytes?.length ?? 0;
  }

  /** Tells one manifest from another. */
  get manifestHash(): string {
    return sha256(this.#bytes ?? "");
  }

  /**
   * The rows, to be read; what is put over them stays in memory. Throws what keeps the manifest or
   * the first table that is not open from being read.
   */
  rows(schema: Pick<Schema, "prefixLength">, cacheBytesMax: number): HeldRows {
    const error = this.unreadable ?? this.unopened[0]?.error;
    if (error !== undefined) throw error;
    const runs = this.manifest.runs.map((infos) => this.#runOf(infos));
    return new HeldRows(runs, schema, cacheBytesMax);
  }

  /**
   * Reads every table that is open, whole, and yields what is wrong with it, with their order, and
   * with what the lanes of a run say of each other.
   */
  *check(schema: Schema): Generator<TableDamage> {
    for (const infos of this.manifest.runs) yield* checkOrder(this.directory, infos);
    const unopened = new Set(this.unopened.map(({ info }) => info));
    for (const infos of this.manifest.runs) {
      const run = this.#runOf(infos);
      const isWhole = !bothOf(infos).some((info) => unopened.has(info));
      const checks = isWhole
        ? [checkRun(run, schema)]
        : run.tables.map((table) => checkTable(table, schema));
      for (const check of checks)
        for (const damage of check) if (damage !== undefined) yield damage;
    }
  }

  /** Gives a table away, open. */
  take(hash: string): Table | undefined {
    const table = this.#tables.get(hash);
    this.#tables.delete(hash);
    return table;
  }

  close(): void {
    for (const table of this.#tables.values()) table.close();
    this.#tables.clear();
  }

  /** A run's tables, those of them that are open. */
  #runOf({ fronts, rest }: Lanes<TableInfo>): Run {
    const open = (infos: readonly TableInfo[]) =>
      infos.flatMap(({ hash }) => this.#tables.get(hash) ?? []);
    return new Run({ fronts: open(fronts), rest: open(rest) });
  }

  #open(info: TableInfo): Table | CorruptionError | ForeignError {
    try {
      return Table.open(this.#disk, this.directory, info);
    } catch (error) {
      if (error instanceof CorruptionError || error instanceof ForeignError) return error;
      this.close();
      throw error;
    }
  }
}

/** Rows of tables that are only read, under rows in memory. */
export class HeldRows implements RowSet, Layers {
  readonly memtables: readonly [Memtable];
  readonly runs: readonly Run[];
  generation = 0;
  readonly #lookup: Lookup;

  constructor(runs: readonly Run[], schema: Pick<Schema, "prefixLength">, cacheBytesMax: number) {
    this.memtables = [new Memtable(overlayBytes)];
    this.runs = runs;
    this.#lookup = new Lookup(this, new BlockCache(cacheBytesMax), schema);
  }

  put(key: ByteString, head: Uint8Array, tail?: Uint8Array): void {
    this.set(this.#lookup.rowKey(key), head, tail);
  }

  set(key: RowKey, head: Uint8Array, tail: Uint8Array | undefined): void {
    this.generation++;
    this.memtables[0].put(key, head, tail);
  }

  delete(key: ByteString): void {
    this.generation++;
    this.memtables[0].delete(this.#lookup.rowKey(key));
  }

  get(key: ByteString): Uint8Array | undefined {
    return this.#lookup.get(key);
  }

  first(from: ByteString, prefixLength: number): RowView | undefined {
    return this.#lookup.first(from, prefixLength);
  }

  scan(from: ByteString, to?: ByteString): Cursor {
    return this.#lookup.scan(from, to);
  }

  scanFronts(from: ByteString, to: ByteString, areFrontsEnough: () => boolean): Cursor {
    return this.#lookup.scanFronts(from, to, areFrontsEnough);
  }
}

const nothing = { position: undefined, runs: [] };

/** What the manifest says, or why it says nothing. */
function readManifest<P>(
  disk: Disk,
  directory: string,
  bytes: Buffer | undefined,
): Manifest<P> | CorruptionError {
  const path = `${directory}/${manifestName}`;
  if (bytes === undefined) {
    const table = namesIn(disk, directory).find((name) => name.endsWith(tableSuffix));
    if (table === undefined) return nothing;
    return new CorruptionError(path, 0, `there are tables (${table}) and no manifest`);
  }
  try {
    return decodeManifest(path, bytes);
  } catch (error) {
    if (error instanceof CorruptionError) return error;
    throw error;
  }
}

function namesIn(disk: Disk, directory: string): string[] {
  try {
    return disk.list(directory);
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return [];
    throw error;
  }
}
