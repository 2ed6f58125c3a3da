/** Writes sealed memtables into tables, oldest first; each becomes the newest run. */
import type { Clock } from "../lib/clock.ts";
import type { Histogram } from "../lib/meter.ts";
import type { Live } from "./live.ts";
import type { Memtable, MemtableCursor } from "./memtable.ts";
import type { RowView } from "./view.ts";
import type { Rows, RunWriter } from "./writer.ts";

interface Sealed<P> {
  readonly memtable: Memtable;
  readonly position: P;
}

export interface FlusherOptions<P> {
  readonly clock: Clock;
  readonly live: Live<P>;
  readonly writer: RunWriter;
  readonly flushSeconds: Histogram;
  /** Called when a memtable has become durable, and is no more asked by readers. */
  flushed(position: P): void;
}

export class Flusher<P> {
  readonly #options: FlusherOptions<P>;
  /** Oldest first. */
  readonly #sealed: Sealed<P>[] = [];
  #sealedCount = 0;
  #bytesWritten = 0;

  constructor(options: FlusherOptions<P>) {
    this.#options = options;
  }

  /** Sealed memtables that readers must ask, newest first. */
  get memtables(): Memtable[] {
    return this.#sealed.map(({ memtable }) => memtable).reverse();
  }

  /** How many of them there are. */
  get waiting(): number {
    return this.#sealed.length;
  }

  /** Bytes of all tables that flushes made. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Takes a memtable that will not change any more; `position` is what the tables hold with it. */
  seal(memtable: Memtable, position: P): void {
    this.#sealed.push({ memtable, position });
    this.#sealedCount++;
  }

  /** Memtables sealed so far. */
  get sealedCount(): number {
    return this.#sealedCount;
  }

  /** Memtables flushed so far. */
  get flushedCount(): number {
    return this.#sealedCount - this.#sealed.length;
  }

  /** Flushes until nothing is sealed. DiskError, or the signal's reason: it may go on later. */
  async step(signal: AbortSignal): Promise<number> {
    for (;;) {
      const oldest = this.#sealed[0];
      if (oldest === undefined) return Number.POSITIVE_INFINITY;
      await this.#flush(oldest, signal);
    }
  }

  async #flush({ memtable, position }: Sealed<P>, signal: AbortSignal): Promise<void> {
    const { clock, flushSeconds, live, writer } = this.#options;
    const started = clock.now();
    const rows = new MemtableRows(memtable);
    this.#bytesWritten += await writer.write(
      rows,
      signal,
      () => clock.yield(),
      (outputs) => live.replace({ inputs: [], outputs, position }),
    );
    this.#sealed.shift();
    flushSeconds.observe((clock.now() - started) / 1000);
    this.#options.flushed(position);
  }
}

/** All rows of a memtable. */
class MemtableRows implements Rows {
  readonly #cursor: MemtableCursor;

  constructor(memtable: Memtable) {
    this.#cursor = memtable.cursor();
  }

  get row(): RowView {
    return this.#cursor;
  }

  next(): boolean {
    return this.#cursor.next();
  }

  isKept(): boolean {
    return true;
  }
}
