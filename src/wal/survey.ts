/**
 * What a log that may not be trusted says of itself: where its frames end, and the chain there. Its
 * owner holds that against a log that is to be trusted, before an entry of it is applied. Nothing
 * here is an error: the survey ends where the log stops making sense.
 */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { indexOf, type Position } from "../model/revision.ts";
import type { RecoverOptions } from "./recover.ts";
import { listSegments } from "./recover.ts";
import { Scan } from "./scan.ts";
import { readSegmentHeader, type SegmentName } from "./segment.ts";

export type SurveyOptions = Pick<
  RecoverOptions,
  "applied" | "clock" | "cluster" | "directory" | "disk" | "logger"
>;

/** Where the log may be cut: a point between two frames. */
export type Cut = Pick<Position, "index" | "chain">;

const sliceMs = 5;

/** The points between frames from `applied` on, in order; none when it does not reach there. */
export async function surveyLog(options: SurveyOptions): Promise<Cut[]> {
  const { applied, clock } = options;
  const cuts: Cut[] = [];
  const { names } = listSegments(options);
  let at = names.findLastIndex(({ first }) => first <= applied.index + 1);
  let yieldedAt = clock.now();
  for (let name = names[at]; name !== undefined; name = names[++at]) {
    if (cuts.length > 0 && cuts.at(-1)?.index !== name.first - 1) break;
    for (const cut of cutsOf(options, name, names[at + 1])) {
      cuts.push(cut);
      if (clock.now() - yieldedAt < sliceMs) continue;
      await clock.yield();
      yieldedAt = clock.now();
    }
  }
  return cuts.filter(({ index }) => index >= applied.index);
}

function* cutsOf(
  { cluster, directory, disk }: SurveyOptions,
  name: SegmentName,
  next: SegmentName | undefined,
): Generator<Cut> {
  const file = disk.open(`${directory}/${name.name}`);
  try {
    const { previous, salt } = readSegmentHeader(file, name, cluster);
    yield previous;
    let { index } = previous;
    const scan = new Scan(file, salt);
    while (next === undefined || index + 1 < next.first) {
      const frame = scan.next();
      if (frame?.kind !== "whole" || frame.header.first !== index + 1) return;
      index = indexOf(index + frame.header.count);
      yield { index, chain: frame.header.chain };
    }
  } catch (error) {
    // A segment that is none ends the survey.
    if (!(error instanceof CorruptionError || error instanceof ForeignError)) throw error;
  } finally {
    file.close();
  }
}
