/**
 * What a log that may not be trusted says of itself: where its frames end, and the chain there. Its
 * owner holds that against a log that is to be trusted, before an entry of it is applied. The survey
 * ends where the log stops making sense, and says why when that is not how a crash leaves a log:
 * there may be entries behind it, then, that nobody can see.
 */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { indexOf, type Position } from "../model/revision.ts";
import { listSegments, type RecoverOptions } from "./recover.ts";
import { missing } from "./replay.ts";
import { Scan } from "./scan.ts";
import { damageHint, readSegmentHeader, type SegmentName } from "./segment.ts";

export type SurveyOptions = Pick<
  RecoverOptions,
  "applied" | "clock" | "cluster" | "directory" | "disk" | "logger"
>;

/** Where the log may be cut: a point between two frames. */
export type Cut = Pick<Position, "index" | "chain">;

export interface LogSurvey {
  /** The points between frames from `applied` on, in order; none when it does not reach there. */
  readonly cuts: readonly Cut[];
  /** Why the log cannot be seen to its end; undefined when it can, an interrupted append apart. */
  readonly damage: CorruptionError | ForeignError | undefined;
}

const sliceMs = 5;

/** Looks at the log from `applied` on. ForeignError, DiskError. */
export async function surveyLog(options: SurveyOptions): Promise<LogSurvey> {
  const { applied } = options;
  const { names } = listSegments(options);
  const start = names.findLastIndex(({ first }) => first <= applied.index + 1);
  if (start < 0) return { cuts: [], damage: lacking(options, names[0]) };
  const walk = new Walk(options);
  await walk.run(names.slice(start));
  const cuts = walk.cuts.filter(({ index }) => index >= applied.index);
  return { cuts, damage: walk.damage };
}

/** Why no segment reaches back to the end of the tables. */
function lacking(
  { applied, directory }: SurveyOptions,
  oldest: SegmentName | undefined,
): CorruptionError | undefined {
  if (oldest !== undefined) {
    const { first } = oldest;
    return missing(directory, applied.index + 1, first - 1, `the log begins at entry ${first}`);
  }
  if (applied.index === 0) return undefined;
  return missing(directory, 1, applied.index, "there is no segment");
}

/** Goes over segments until one of them is not whole. */
class Walk {
  readonly cuts: Cut[] = [];
  damage: CorruptionError | ForeignError | undefined;
  readonly #options: SurveyOptions;

  constructor(options: SurveyOptions) {
    this.#options = options;
  }

  async run(names: readonly SegmentName[]): Promise<void> {
    const { applied, clock } = this.#options;
    let yieldedAt = clock.now();
    for (const [at, name] of names.entries()) {
      for (const cut of this.#segment(name, names[at + 1])) {
        this.cuts.push(cut);
        if (clock.now() - yieldedAt < sliceMs) continue;
        await clock.yield();
        yieldedAt = clock.now();
      }
      if (this.damage !== undefined) return;
    }
    const { index } = this.cuts.at(-1) ?? applied;
    if (index >= applied.index) return;
    const why = `the log ends with entry ${index}, the tables with ${applied.index}`;
    this.damage = missing(this.#options.directory, index + 1, applied.index, why);
  }

  /** The points in one segment; sets `damage` where they are not all. */
  *#segment(name: SegmentName, next: SegmentName | undefined): Generator<Cut> {
    const { cluster, directory, disk } = this.#options;
    const file = disk.open(`${directory}/${name.name}`);
    try {
      const { previous, salt } = readSegmentHeader(file, name, cluster);
      const before = this.cuts.at(-1) ?? previous;
      if (before.index !== previous.index || before.chain !== previous.chain) {
        throw damaged(file.path, 0, `it does not follow entry ${before.index}`);
      }
      yield previous;
      yield* frames(new Scan(file, salt), { path: file.path, from: previous.index, next });
    } catch (error) {
      if (!(error instanceof CorruptionError || error instanceof ForeignError)) throw error;
      this.damage = error;
    } finally {
      file.close();
    }
  }
}

/** The points behind each frame up to `next`, or to the end. CorruptionError. */
function* frames(
  scan: Scan,
  { from, next, path }: { path: string; from: number; next: SegmentName | undefined },
): Generator<Cut> {
  let index = from;
  while (next === undefined || index + 1 < next.first) {
    const frame = scan.next();
    if (frame === undefined) {
      if (next === undefined) return;
      const why = `the next segment begins at entry ${next.first}`;
      throw missing(path, index + 1, next.first - 1, why, scan.offset);
    }
    if (frame.kind === "broken") {
      if (next === undefined && frame.torn) return;
      throw damaged(path, frame.offset, frame.what);
    }
    const { chain, count, first } = frame.header;
    if (first !== index + 1) {
      throw damaged(path, frame.offset, `entry ${first} follows entry ${index}`);
    }
    index += count;
    yield { index: indexOf(index), chain };
  }
}

function damaged(path: string, offset: number, what: string): CorruptionError {
  return new CorruptionError(path, offset, what, damageHint);
}
