/**
 * R9: one object into one slot of the log, and the certainty of what is there. A refusal, an error
 * or no answer say nothing; the slot does.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import { logKey } from "../object/keys.ts";
import { ObjectError, type ObjectStore } from "../object/store.ts";
import { Backoff, type BackoffOptions, isTransient } from "./backoff.ts";

export interface PutOptions extends BackoffOptions {
  readonly clock: Clock;
  readonly random: Random;
}

interface PutTries {
  /** Told of each call that fails. */
  readonly failed?: () => void;
  /** Whether even a bucket that refuses (credentials that expired) is tried again. */
  readonly patient?: boolean;
}

/**
 * Puts `bytes` into slot `seq` unless something is there, and returns what is there then. While that
 * is open the same bytes are put again. Rejects with an ObjectError when given up, or when the
 * bucket refuses for good and `patient` is not set; it may happen all the same.
 */
export async function putOnce(
  store: ObjectStore,
  seq: number,
  bytes: Buffer,
  options: PutOptions & PutTries,
): Promise<Buffer> {
  const { failed, patient = false, signal } = options;
  const key = logKey(seq);
  const backoff = new Backoff(options);
  const attempt = async <T>(call: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await call();
    } catch (error) {
      if (!(isTransient(error) || (patient && error instanceof ObjectError))) throw error;
      failed?.();
      return undefined;
    }
  };
  for (;;) {
    const tag = await attempt(() => store.putIfAbsent(key, bytes, { signal }));
    if (tag !== undefined) return bytes;
    const found = await attempt(() => store.get(key, { signal }));
    if (found !== undefined) return found.bytes;
    await backoff.wait("put", key);
  }
}
