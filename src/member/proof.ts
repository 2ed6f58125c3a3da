/** The proof that an answer needs where others may lead (leadership.ts), and how long it may take. */
import type { Clock } from "../lib/clock.ts";
import { Refusal } from "../model/refusal.ts";
import { ObjectError } from "../object/store.ts";
import type { Leadership } from "./leadership.ts";
import type { Limits } from "./limits.ts";

export interface ProofOptions {
  readonly clock: Clock;
  readonly limits: Pick<Limits, "requestMsMax">;
  /** Milliseconds that the proof may be old; 0 unless told otherwise. */
  readonly ageMs?: number | undefined;
}

/**
 * Proves that nobody else led when it is called (or `ageMs` before), where that can be. Undefined
 * when that is known at once; else resolves to undefined when it is proved, and to a refusal when
 * the bucket does not answer in time. Rejects with SupersededError.
 */
export function proveLead(
  leadership: Leadership | undefined,
  options: ProofOptions,
): Promise<Refusal | undefined> | undefined {
  const proof = leadership?.prove(options.ageMs);
  return proof && settled(proof, options);
}

async function settled(
  proof: Promise<void>,
  { clock, limits }: ProofOptions,
): Promise<Refusal | undefined> {
  const done = new AbortController();
  const tooLate = clock
    .sleep(limits.requestMsMax, done.signal)
    .then(() => new Refusal("outcomeUnknown"));
  try {
    return (await Promise.race([proof, tooLate])) ?? undefined;
  } catch (error) {
    if (error instanceof ObjectError) return new Refusal("outcomeUnknown");
    throw error;
  } finally {
    done.abort();
  }
}
