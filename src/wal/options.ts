/** What a log is opened with, and what it says of itself. */
import type { Counter, Histogram } from "../lib/meter.ts";
import type { Index } from "../model/revision.ts";
import type { RecoverOptions } from "./recover.ts";

export interface LogOptions extends RecoverOptions {
  readonly limits: LogLimits;
  readonly meters: LogMeters;
}

export interface LogLimits {
  /** A frame that would make its segment longer opens a new one; one frame alone may be longer. */
  readonly segmentBytesMax: number;
  /** A segment is left this many milliseconds after its first frame. */
  readonly segmentAgeMsMax: number;
  /** A segment of this many bytes has room made for the next; absent: 1 MiB. */
  readonly spareFromBytes?: number;
}

export interface LogMeters {
  /** Seconds that the sync of a frame took. */
  readonly fsyncSeconds: Histogram;
  /** Bytes of frames written. */
  readonly bytes: Counter;
}

export interface LogStatus {
  readonly segments: number;
  /** Of all segments, in bytes. */
  readonly bytes: number;
  /** The first entry held; one past the last when the log holds none. */
  readonly firstIndex: Index;
  /** File name of the newest segment. */
  readonly newestSegment: string;
}
