/**
 * Finds and scans rows where they may be: in memtables and in the runs beneath them. Of the rows of
 * one key the newest counts.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { BlockCache } from "./cache.ts";
import { type Scan, type Sources, TreeCursor } from "./cursor.ts";
import { prefixHash } from "./filter.ts";
import { Lane, LaneCursor } from "./lane.ts";
import type { Memtable } from "./memtable.ts";
import type { Source } from "./merge.ts";
import { RowKey } from "./rowkey.ts";
import type { Run } from "./run.ts";
import type { Cursor, Schema } from "./tree.ts";
import { beginsWith, type RowView } from "./view.ts";

/** Where rows are, newest first. */
export interface Layers {
  /** Grows with each change of the rows or of where they are kept. */
  readonly generation: number;
  readonly memtables: readonly Memtable[];
  readonly runs: readonly Run[];
}

const noLane = new Lane([]);

export class Lookup implements Sources {
  readonly #layers: Layers;
  readonly #cache: BlockCache;
  readonly #schema: Pick<Schema, "prefixLength">;
  /** For single rows. */
  readonly #finder: LaneCursor;
  readonly #rowKey = new RowKey();

  constructor(layers: Layers, cache: BlockCache, schema: Pick<Schema, "prefixLength">) {
    this.#layers = layers;
    this.#cache = cache;
    this.#schema = schema;
    this.#finder = new LaneCursor(cache, noLane);
  }

  get generation(): number {
    return this.#layers.generation;
  }

  /** As RowSet.get. */
  get(key: ByteString): Uint8Array | undefined {
    const { hash } = this.rowKey(key);
    const { memtables, runs } = this.#layers;
    for (const memtable of memtables) {
      const value = memtable.mayHave(hash) ? memtable.get(key) : undefined;
      if (value !== undefined) return value ?? undefined;
    }
    const finder = this.#finder;
    for (const { lanes } of runs) {
      for (const lane of lanes) {
        if (!finder.find(lane, key, key.length, hash)) continue;
        const { bytes, end, keyAt, keyEnd, start } = finder.row;
        if (keyEnd - keyAt !== key.length) continue;
        return start < 0 ? undefined : bytes.subarray(start, end);
      }
    }
    return undefined;
  }

  /** As RowSet.first. */
  first(from: ByteString, prefixLength: number): RowView | undefined {
    const hash = prefixHash(from, prefixLength);
    const found =
      this.#firstInMemory(from, prefixLength, hash) ?? this.#firstInRuns(from, prefixLength, hash);
    if (found === undefined || found.start >= 0) return found;
    // It hides a row, and which one comes next only all sources together can tell.
    const rows = this.scan(from);
    return rows.next() && beginsWith(rows.row, from, prefixLength) ? rows.row : undefined;
  }

  /** As RowSet.scan. */
  scan(from: ByteString, to?: ByteString): Cursor {
    return new TreeCursor(this, { from, to, areFrontsEnough: () => false });
  }

  /** As RowSet.scanFronts. */
  scanFronts(from: ByteString, to: ByteString, areFrontsEnough: () => boolean): Cursor {
    return new TreeCursor(this, { from, to, areFrontsEnough });
  }

  sources({ areFrontsEnough, from, to }: Scan): Source[] {
    const { memtables, runs } = this.#layers;
    const sources: Source[] = memtables.map((memtable) => memtable.cursor());
    const lanes = areFrontsEnough()
      ? runs.map(({ fronts }) => fronts)
      : runs.flatMap((run) => run.lanes);
    for (const lane of lanes) {
      if (lane.overlaps(from, to)) sources.push(new LaneCursor(this.#cache, lane));
    }
    return sources;
  }

  /** `key` in bytes, valid until the next call. */
  rowKey(key: ByteString): RowKey {
    const rowKey = this.#rowKey.take(key);
    return rowKey.endPrefixAt(this.#schema.prefixLength(rowKey));
  }

  #firstInMemory(from: ByteString, length: number, hash: number): RowView | undefined {
    for (const memtable of this.#layers.memtables) {
      if (!memtable.mayHave(hash)) continue;
      const rows = memtable.cursor();
      if (rows.seek(from) && beginsWith(rows, from, length)) return rows;
    }
    return undefined;
  }

  #firstInRuns(from: ByteString, length: number, hash: number): RowView | undefined {
    const finder = this.#finder;
    // Where a prefix is in the rest it is among the fronts too: without a place to begin at, that is it.
    const isWhole = from.length === length;
    for (const { fronts, rest } of this.#layers.runs) {
      if (finder.find(fronts, from, length, hash)) return finder.row;
      if (!isWhole && finder.find(rest, from, length, hash)) return finder.row;
    }
    return undefined;
  }
}
