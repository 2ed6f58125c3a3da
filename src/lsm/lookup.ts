/**
 * Finds and scans rows where they may be: in memtables and in the runs beneath them. Of the rows of
 * one key the newest counts.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { RowView } from "./block.ts";
import type { BlockCache } from "./cache.ts";
import { type Sources, TreeCursor } from "./cursor.ts";
import { prefixHash } from "./filter.ts";
import type { Memtable } from "./memtable.ts";
import type { Source } from "./merge.ts";
import { RowKey } from "./rowkey.ts";
import { Run, RunCursor } from "./run.ts";
import type { Cursor, Found, Schema } from "./tree.ts";

/** Where rows are, newest first. */
export interface Layers {
  /** Grows with each change of the rows or of where they are kept. */
  readonly generation: number;
  readonly memtables: readonly Memtable[];
  readonly runs: readonly Run[];
}

const noRun = new Run([]);

export class Lookup implements Sources {
  readonly #layers: Layers;
  readonly #cache: BlockCache;
  readonly #schema: Pick<Schema, "prefixLength">;
  /** For single rows. */
  readonly #finder: RunCursor;
  readonly #rowKey = new RowKey();

  constructor(layers: Layers, cache: BlockCache, schema: Pick<Schema, "prefixLength">) {
    this.#layers = layers;
    this.#cache = cache;
    this.#schema = schema;
    this.#finder = new RunCursor(cache, noRun);
  }

  get generation(): number {
    return this.#layers.generation;
  }

  /** As RowSet.get. */
  get(key: ByteString): Uint8Array | undefined {
    const hash = prefixHash(key, this.#schema.prefixLength(key));
    const { memtables, runs } = this.#layers;
    for (const memtable of memtables) {
      const value = memtable.mayHave(hash) ? memtable.get(key) : undefined;
      if (value !== undefined) return value ?? undefined;
    }
    const finder = this.#finder;
    for (const run of runs) {
      if (!finder.find(run, key, key.length, hash) || finder.keyFrom(key.length) !== "") continue;
      return finder.start < 0 ? undefined : finder.bytes.subarray(finder.start, finder.end);
    }
    return undefined;
  }

  /** As RowSet.first. */
  first(from: ByteString, prefixLength: number): Found | undefined {
    const hash = prefixHash(from, prefixLength);
    const found =
      this.#firstInMemory(from, prefixLength, hash) ?? this.#firstInRuns(from, prefixLength, hash);
    if (found === undefined) return undefined;
    const { bytes, end, start } = found;
    if (start >= 0) {
      return { suffix: found.keyFrom(prefixLength), value: bytes.subarray(start, end) };
    }
    // It hides a row, and which one comes next only all sources together can tell.
    const rows = this.scan(from);
    return rows.next() && rows.key.startsWith(from.slice(0, prefixLength))
      ? { suffix: rows.key.slice(prefixLength), value: rows.value() }
      : undefined;
  }

  /** As RowSet.scan. */
  scan(from: ByteString, to?: ByteString): Cursor {
    return new TreeCursor(this, from, to);
  }

  sources(from: ByteString, to: ByteString | undefined): Source[] {
    const { memtables, runs } = this.#layers;
    const sources: Source[] = memtables.map((memtable) => memtable.cursor());
    for (const run of runs) {
      if (run.last < from || (to !== undefined && to <= run.first)) continue;
      sources.push(new RunCursor(this.#cache, run));
    }
    return sources;
  }

  /** `key` in bytes, valid until the next call. */
  rowKey(key: ByteString): RowKey {
    return this.#rowKey.take(key, this.#schema.prefixLength(key));
  }

  #firstInMemory(from: ByteString, length: number, hash: number): RowView | undefined {
    for (const memtable of this.#layers.memtables) {
      if (!memtable.mayHave(hash)) continue;
      const rows = memtable.cursor();
      if (rows.seek(from) && rows.key.startsWith(from.slice(0, length))) return rows;
    }
    return undefined;
  }

  #firstInRuns(from: ByteString, length: number, hash: number): RowView | undefined {
    const finder = this.#finder;
    for (const run of this.#layers.runs) {
      if (finder.find(run, from, length, hash)) return finder;
    }
    return undefined;
  }
}
