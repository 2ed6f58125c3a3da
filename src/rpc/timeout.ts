/**
 * grpc-timeout: how long a client waits, as gRPC writes it.
 *
 *   1 to 8 digits, then a unit: H hours, M minutes, S seconds, m milliseconds, u micro-, n nanoseconds
 */

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** The milliseconds that `text` says; undefined when it says none. */
export function timeoutMsOf(text: string): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? [];
  const ms = unitMs[unit];
  return digits === undefined || ms === undefined ? undefined : Number(digits) * ms;
}
