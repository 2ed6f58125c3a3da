/**
 * Merges runs, so that reads have few of them to ask and what is superseded goes away.
 *
 * Which: `fanout` neighbours or more of which the biggest is at most two fifths of all; of several
 * such stretches the smallest. So the run a row lives in grows two and a half times or more with
 * each merge, and usually about `fanout` times: with 8,000 flushes a row is written seven times.
 * Sizes that fit no such pattern could still pile up; so where there are more than four times
 * `fanout` runs, the smallest stretch of `fanout` is merged whatever it is like. On request
 * everything is merged into one run, where all that is superseded can go.
 *
 * While a big merge runs, flushes add runs. So between its slices smaller merges of other runs go
 * first, and between theirs still smaller ones; the count of runs stays bounded however long the
 * big one takes. After a smaller one the big one has its share before the next: where writers never
 * pause there is always a smaller one due, and the big one would never end.
 */

import { must } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Histogram } from "../lib/meter.ts";
import { LaneCursor } from "./lane.ts";
import type { Live } from "./live.ts";
import { MergeCursor } from "./merge.ts";
import { ReadAhead } from "./readahead.ts";
import type { Run } from "./run.ts";
import type { Schema } from "./tree.ts";
import type { RowView } from "./view.ts";
import type { Rows, RunWriter } from "./writer.ts";

/** A merge goes first when it is this much smaller than the one that runs. */
const headStartMin = 2;
/**
 * How long the bigger one then runs at least, as a part of the time the smaller one took. That is
 * all the time from its begin to its end, of which its slices are a third under load (slice.ts): so
 * this gives either about the same.
 */
const shareMin = 1 / 3;

const biggestShareMax = 2 / 5;
const runsPerFanout = 4;

export interface CompactorOptions<P> {
  readonly clock: Clock;
  readonly live: Live<P>;
  readonly writer: RunWriter;
  readonly schema: Schema;
  /** Runs merged at once. */
  readonly fanout: number;
  /** Runs smaller than this count as this big, so that tiny ones do not pile up. */
  readonly runBytesMin: number;
  readonly mergeSeconds: Histogram;
  /** Called when a merge is done. */
  readonly merged: () => void;
}

export class Compactor<P> {
  readonly #options: CompactorOptions<P>;
  readonly #busy = new Set<Run>();
  #majorsAsked = 0;
  #majorsDone = 0;
  #isReconsidering = true;
  #bytesWritten = 0;

  constructor(options: CompactorOptions<P>) {
    this.#options = options;
  }

  /** Bytes of all tables that merges made. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Runs that no merge is working on. */
  get waiting(): number {
    return this.#options.live.runs.length - this.#busy.size;
  }

  /** Asks for everything to be merged: true from `isMajorDone(ticket)` tells that it was. */
  askMajor(): number {
    return ++this.#majorsAsked;
  }

  isMajorDone(ticket: number): boolean {
    return this.#majorsDone >= ticket;
  }

  /** Asks the schema, before the next merge, whether merging everything is worth it. */
  reconsider(): void {
    this.#isReconsidering = true;
  }

  /** Merges until nothing is left to merge. DiskError, or the signal's reason: it may go on later. */
  async step(signal: AbortSignal): Promise<number> {
    await this.#options.live.sweep();
    for (;;) {
      const majors = this.#majorsAsked;
      if (this.#wantsMajor()) {
        await this.#merge(this.#options.live.runs, signal);
        this.#majorsDone = majors;
        this.#options.merged();
      } else {
        const inputs = this.#choose(Number.POSITIVE_INFINITY);
        if (inputs === undefined) return Number.POSITIVE_INFINITY;
        await this.#merge(inputs, signal);
        this.#options.merged();
      }
    }
  }

  #wantsMajor(): boolean {
    const { live, schema } = this.#options;
    const isAsked = this.#majorsAsked > this.#majorsDone;
    if (!this.#isReconsidering) return isAsked;
    this.#isReconsidering = false;
    return isAsked || (live.runs.length > 0 && schema.wantsMajor?.(live.tables) === true);
  }

  /** The merge that is due and has less than `bytesMax` to read. */
  #choose(bytesMax: number): readonly Run[] | undefined {
    const { fanout, live, runBytesMin } = this.#options;
    const { runs } = live;
    const sizes = runs.map((run) =>
      this.#busy.has(run) ? Number.NaN : Math.max(run.bytes, runBytesMin),
    );
    const { end, from } = chooseMerge(sizes, fanout, bytesMax);
    return end === 0 ? undefined : runs.slice(from, end);
  }

  async #merge(inputs: readonly Run[], signal: AbortSignal): Promise<void> {
    const { clock, live, mergeSeconds, schema, writer } = this.#options;
    if (inputs.length === 0) return;
    const started = clock.now();
    const bytes = inputs.reduce((sum, run) => sum + run.bytes, 0);
    const rows = new MergedRows(inputs, schema, isBottom(inputs, live.runs));
    for (const run of inputs) this.#busy.add(run);
    // How long this merge has to run before a smaller one goes first, and since when it runs.
    let dueMs = 0;
    let resumed = started;
    try {
      this.#bytesWritten += await writer.write(
        rows,
        signal,
        async () => {
          dueMs -= clock.now() - resumed;
          await clock.yield();
          const paused = clock.now();
          const isTurn = dueMs <= 0;
          if (isTurn && (await this.#mergeSmaller(bytes / headStartMin, signal))) {
            dueMs = (clock.now() - paused) * shareMin;
          }
          resumed = clock.now();
        },
        (outputs) => live.replace({ inputs, outputs }),
      );
    } finally {
      for (const run of inputs) this.#busy.delete(run);
    }
    mergeSeconds.observe((clock.now() - started) / 1000);
  }

  /** False when none is due. */
  async #mergeSmaller(bytesMax: number, signal: AbortSignal): Promise<boolean> {
    const inputs = this.#choose(bytesMax);
    if (inputs === undefined) return false;
    await this.#merge(inputs, signal);
    this.#options.merged();
    return true;
  }
}

/**
 * Which neighbours among runs of these sizes are merged next: `from` up to `end`, which is 0 for
 * none. Runs whose size is NaN are left alone, and merges of `bytesMax` or more too.
 */
export function chooseMerge(
  sizes: readonly number[],
  fanout: number,
  bytesMax: number,
): { from: number; end: number } {
  const isCrowded = sizes.length > fanout * runsPerFanout;
  let even = { from: 0, end: 0, total: bytesMax };
  let any = even;
  for (let from = 0; from < sizes.length; from++) {
    let total = 0;
    let biggest = 0;
    for (let end = from + 1; end <= sizes.length; end++) {
      const size = sizes[end - 1] as number;
      total += size;
      biggest = Math.max(biggest, size);
      // Also where one of them is NaN.
      if (!(total < even.total)) break;
      if (end - from < fanout) continue;
      if (biggest <= total * biggestShareMax) even = { from, end, total };
      else if (end - from === fanout && total < any.total) any = { from, end, total };
    }
  }
  return even.end > 0 || !isCrowded ? even : any;
}

/** True when no run older than `inputs` has a key in their range. */
function isBottom(inputs: readonly Run[], runs: readonly Run[]): boolean {
  const first = must(inputs.map((run) => run.first).sort()[0], "a merge has an input");
  const last = must(
    inputs
      .map((run) => run.last)
      .sort()
      .at(-1),
    "a merge has an input",
  );
  const older = runs.slice(runs.indexOf(inputs.at(-1) as Run) + 1);
  return older.every((run) => run.last < first || last < run.first);
}

/** The rows of several runs, without those that nobody can see any more. */
class MergedRows implements Rows {
  readonly #cursor: MergeCursor;
  readonly #isDropped: (row: RowView) => boolean;
  readonly #isBottom: boolean;

  constructor(runs: readonly Run[], schema: Schema, bottom: boolean) {
    const lanes = runs.flatMap((run) => run.lanes);
    this.#cursor = new MergeCursor(lanes.map((lane) => new LaneCursor(new ReadAhead(), lane)));
    this.#cursor.seek("");
    this.#isDropped = schema.sieve(bottom);
    this.#isBottom = bottom;
  }

  get row(): RowView {
    return this.#cursor.row;
  }

  next(): boolean {
    return this.#cursor.next();
  }

  isKept(): boolean {
    const { row } = this.#cursor;
    return row.start < 0 ? !this.#isBottom : !this.#isDropped(row);
  }
}
