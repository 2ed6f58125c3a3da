/** What the commands that look after a bucket have in common: the bucket, and how they answer. */
import { type Clock, SystemClock } from "../lib/clock.ts";
import { type Random, SystemRandom } from "../lib/random.ts";
import type { Shell } from "./command.ts";
import { jsonLine } from "./literal.ts";
import { errandLimits, type OpenBucket, openBucket } from "./store.ts";
import type { UpkeepOptions } from "./upkeep.ts";
import { UsageError } from "./usage.ts";

/** A bucket that a command was given, and what is needed to use it. */
export interface Errand extends OpenBucket {
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** The bucket that the options name. UsageError when they name none; ConfigurationError. */
export function errandOf(options: UpkeepOptions): Errand {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const bucket = openBucket(options, { clock, random, limits: errandLimits });
  if (bucket === undefined) {
    throw new UsageError(
      "the bucket is missing: give --s3-bucket, or --object-store, or set T4_S3_BUCKET",
    );
  }
  return { ...bucket, clock, random, nowMs: clock.wall() };
}

/** Prints an answer in the form that was asked for. */
export function reply(
  { json, output }: Pick<UpkeepOptions, "json" | "output">,
  shell: Shell,
  answer: { readonly json: unknown; readonly text: string },
): void {
  shell.print(json || output === "json" ? jsonLine(answer.json) : answer.text);
}

/** A moment as people write it; "unknown" for 0. */
export function timeText(wallMs: number): string {
  return wallMs === 0 ? "unknown" : new Date(wallMs).toISOString();
}

/** How long something lasted, in the two largest units that matter: "3d 4h", "12m 5s", "0s". */
export function spanText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const units = [
    ["d", 86_400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ] as const;
  const parts = units.map(([unit, size], at) => {
    const above = units[at - 1]?.[1] ?? Number.POSITIVE_INFINITY;
    return [Math.floor((seconds % above) / size), unit] as const;
  });
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0 || Number.isNaN(ms)) return "0s";
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count}${unit}`).join(" ");
}

/** A size in bytes, with a round one beside it where that helps. */
export function bytesText(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let unit = "";
  for (const next of units) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return unit === "" ? `${bytes} bytes` : `${bytes} bytes (${size.toFixed(1)} ${unit})`;
}

/** "1 table", "3 tables". */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
