/**
 * What a log that may not be trusted says of itself: where its frames end, and the chain there. Its
 * owner holds that against a log that is to be trusted, before an entry of it is applied.
 */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { indexOf, type Position } from "../model/revision.ts";
import { listSegments, type RecoverOptions } from "./recover.ts";
import { Scan } from "./scan.ts";
import { damageHint, readSegmentHeader, type SegmentName } from "./segment.ts";

export type SurveyOptions = Pick<
  RecoverOptions,
  "applied" | "clock" | "cluster" | "directory" | "disk" | "logger"
>;

/** Where the log may be cut: a point between two frames. */
export type Cut = Pick<Position, "index" | "chain">;

const sliceMs = 5;

/**
 * The points between frames from `applied` on, in order; none when it does not reach there. Damage is
 * no error: the survey ends where the log stops making sense. ForeignError for a file that is no
 * segment; DiskError.
 */
export async function surveyLog(options: SurveyOptions): Promise<Cut[]> {
  const { applied } = options;
  const { names } = listSegments(options);
  const cuts: Cut[] = [];
  try {
    for await (const cut of cutsOf(options, names, applied.index + 1)) cuts.push(cut);
  } catch (error) {
    if (!(error instanceof CorruptionError || error instanceof ForeignError)) throw error;
  }
  return cuts.filter(({ index }) => index >= applied.index);
}

/**
 * The point after the last frame, by the last segment alone: its chain stands for all before it.
 * Undefined where there is no segment. CorruptionError where damage hides the end, as the remains of
 * an interrupted append do not; ForeignError; DiskError.
 */
export async function findLogEnd(
  options: Omit<SurveyOptions, "applied">,
): Promise<Cut | undefined> {
  const { names } = listSegments(options);
  let end: Cut | undefined;
  for await (const cut of cutsOf(options, names.slice(-1), Number.POSITIVE_INFINITY)) end = cut;
  return end;
}

/** The points from the segment on that holds entry `from`, or would. CorruptionError, ForeignError. */
async function* cutsOf(
  options: Omit<SurveyOptions, "applied">,
  names: readonly SegmentName[],
  from: number,
): AsyncGenerator<Cut> {
  const { clock } = options;
  let yieldedAt = clock.now();
  let at = names.findLastIndex(({ first }) => first <= from);
  let last: number | undefined;
  for (let name = names[at]; name !== undefined; name = names[++at]) {
    if (last !== undefined && last !== name.first - 1) return;
    for (const cut of cutsIn(options, name, names[at + 1])) {
      last = cut.index;
      yield cut;
      if (clock.now() - yieldedAt < sliceMs) continue;
      await clock.yield();
      yieldedAt = clock.now();
    }
  }
}

/** The points in one segment, up to the first entry of `next`. CorruptionError, ForeignError. */
function* cutsIn(
  { cluster, directory, disk }: Omit<SurveyOptions, "applied">,
  name: SegmentName,
  next: SegmentName | undefined,
): Generator<Cut> {
  const file = disk.open(`${directory}/${name.name}`);
  const damaged = (offset: number, what: string) =>
    new CorruptionError(file.path, offset, what, damageHint);
  try {
    const { previous, salt } = readSegmentHeader(file, name, cluster);
    yield previous;
    let { index } = previous;
    const scan = new Scan(file, salt);
    while (next === undefined || index + 1 < next.first) {
      const frame = scan.next();
      if (next === undefined && (frame === undefined || (frame.kind === "broken" && frame.torn))) {
        return;
      }
      if (frame === undefined) throw damaged(scan.offset, `it ends with entry ${index}`);
      if (frame.kind === "broken") throw damaged(frame.offset, frame.what);
      const { chain, count, first } = frame.header;
      if (first !== index + 1) throw damaged(frame.offset, `entry ${first} follows entry ${index}`);
      index = indexOf(index + count);
      yield { index, chain };
    }
  } finally {
    file.close();
  }
}
