/** What a server measures, for whoever collects it. */
import { type Counter, type Histogram, noCounter, noHistogram } from "../lib/meter.ts";
import type { MethodKind } from "./service.ts";
import type { Code } from "./status.ts";

export interface Meters {
  /** Bytes of messages, without their framing. */
  readonly receivedBytes: Counter;
  readonly sentBytes: Counter;
  /** The instruments of one method. Asked for once, when the server starts. */
  method(service: string, method: string, kind: MethodKind): MethodMeters;
}

export interface MethodMeters {
  /** Calls begun. */
  readonly started: Counter;
  /** Messages. */
  readonly received: Counter;
  readonly sent: Counter;
  /** From the beginning of a call to its status. */
  readonly seconds: Histogram;
  /** Calls ended with `code`. Asked for when a method first ends so. */
  handled(code: Code): Counter;
}

/** Measures nothing. */
export const noMeters: Meters = {
  receivedBytes: noCounter,
  sentBytes: noCounter,
  method: () => ({
    started: noCounter,
    received: noCounter,
    sent: noCounter,
    seconds: noHistogram,
    handled: () => noCounter,
  }),
};
