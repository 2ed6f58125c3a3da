/**
 * A store that does not give up at the first failure, and knows what became of its writes.
 *
 * Gets, lists, puts and deletes are simply made again. A conditional write that was made again could
 * fail because of itself, so what became of one is read, never guessed:
 *
 *   1 send it
 *   2 the store says it was written          won: the new tag
 *   3 refused for another call (409)         nothing was written: wait, go to 1 with the same bytes
 *   4 condition did not hold (412), or the   read the key:
 *     outcome is unknown                       our bytes            won: the tag read
 *                                              as it was before     wait, go to 1 with the same bytes
 *                                              anything else        lost
 *   5 not resolved when time is up           ObjectError "unknown"
 *
 * Step 4 reads after a plain 412 too: a proxy may have sent the first, successful request twice.
 * A write that was given up may still happen later. That harms nobody as long as the bytes of a
 * conditional write are unique to the writer (they contain a nonce): they are recognised when read,
 * and a tag, once replaced, never comes back. manifest/latest and gc/boundary have no nonce: of two
 * who put the same bytes there both may be told that they won. What they wanted stands there then,
 * and as these two only go forward, none of their contents comes back either.
 */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import {
  type CallOptions,
  checkSignal,
  type ListPage,
  ObjectError,
  type ObjectErrorKind,
  type ObjectStore,
  type ObjectVersions,
  type StoredObject,
} from "./store.ts";

export interface RetryLimits {
  /** How long one attempt may take, in milliseconds, beside the time its bytes take. */
  readonly attemptMs: number;
  /** The slowest transfer that is waited for, in bytes per second. */
  readonly bytesPerSecond: number;
  /** How long all attempts together may take, in milliseconds, beside the time the bytes take. */
  readonly deadlineMs: number;
  /** The same while no call has succeeded yet: nobody knows then that there is a store at all. */
  readonly firstDeadlineMs?: number;
  /** The first pause between attempts, and the longest, in milliseconds; each is twice the one before. */
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
}

export const retryLimits: RetryLimits = {
  attemptMs: 10_000,
  bytesPerSecond: 256 * 1024,
  deadlineMs: 60_000,
  pauseMsMin: 50,
  pauseMsMax: 5_000,
};

export interface RetryOptions {
  readonly clock: Pick<Clock, "now" | "sleep">;
  readonly random: Random;
  readonly limits?: RetryLimits;
}

/** One call, for all its attempts. */
interface Call {
  readonly operation: string;
  readonly key: string;
  /** How many bytes it moves, as far as known. */
  readonly bytes: number;
  readonly options: CallOptions | undefined;
}

type Send<T> = (options: CallOptions) => Promise<T>;

/** What another attempt may get over. */
const passing: ReadonlySet<ObjectErrorKind> = new Set([
  "conflict",
  "damaged",
  "throttled",
  "unknown",
] as const);

export class RetryingStore implements ObjectStore {
  readonly address: string;
  readonly versions: ObjectVersions | undefined;
  readonly hazards: ObjectStore["hazards"];
  readonly #store: ObjectStore;
  readonly #options: RetryOptions;
  readonly #limits: RetryLimits;
  /** Whether any attempt has succeeded. */
  #isReached = false;

  constructor(store: ObjectStore, options: RetryOptions) {
    this.address = store.address;
    this.#store = store;
    this.#options = options;
    this.#limits = options.limits ?? retryLimits;
    const { hazards } = store;
    this.hazards =
      hazards &&
      ((prefix, given) =>
        this.#read(callOf("settings", prefix, given), (own) => hazards.call(store, prefix, own)));
    const { versions } = store;
    this.versions = versions && {
      list: (prefix, from, given) => {
        const call = callOf("list", prefix, given);
        return this.#read(call, (own) => versions.list(prefix, from, own));
      },
      get: (key, version, given) => {
        return this.#read(callOf("get", key, given), (own) => versions.get(key, version, own));
      },
    };
  }

  get(key: string, options?: CallOptions): Promise<StoredObject | undefined> {
    return this.#read(callOf("get", key, options), (own) => this.#store.get(key, own));
  }

  getIfChanged(
    key: string,
    tag: string,
    options?: CallOptions,
  ): Promise<StoredObject | "same" | undefined> {
    const call = callOf("get_etag", key, options);
    return this.#read(call, (own) => this.#store.getIfChanged(key, tag, own));
  }

  /** A put that was given up may happen later: only for keys that never get other bytes. */
  put(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string> {
    const call = { operation: "put", key, bytes: bytes.length, options };
    return this.#write(call, (own) => this.#store.put(key, bytes, own));
  }

  /** `bytes` must be unique to the writer; see above. */
  putIfAbsent(key: string, bytes: Uint8Array, options?: CallOptions): Promise<string | undefined> {
    const call = { operation: "put_if_absent", key, bytes: bytes.length, options };
    return this.#conditional(call, bytes, undefined, (own) => {
      return this.#store.putIfAbsent(key, bytes, own);
    });
  }

  /** `bytes` must be unique to the writer; see above. */
  putIfMatch(
    key: string,
    bytes: Uint8Array,
    tag: string,
    options?: CallOptions,
  ): Promise<string | undefined> {
    const call = { operation: "put_if_match", key, bytes: bytes.length, options };
    return this.#conditional(call, bytes, tag, (own) => {
      return this.#store.putIfMatch(key, bytes, tag, own);
    });
  }

  /** A deletion that was given up may happen later: only for keys that are not written again. */
  delete(key: string, options?: CallOptions): Promise<void> {
    return this.#write(callOf("delete", key, options), (own) => this.#store.delete(key, own));
  }

  list(prefix: string, after?: string, options?: CallOptions): Promise<ListPage> {
    const call = callOf("list", prefix, options);
    return this.#read(call, (own) => this.#store.list(prefix, after, own));
  }

  #effort(call: Call): Effort {
    const { deadlineMs, firstDeadlineMs = deadlineMs } = this.#limits;
    const limits = this.#isReached
      ? this.#limits
      : { ...this.#limits, deadlineMs: firstDeadlineMs };
    const onSuccess = () => {
      this.#isReached = true;
    };
    return new Effort(call, this.#options, { limits, address: this.address, onSuccess });
  }

  async #read<T>(call: Call, send: Send<T>): Promise<T> {
    const effort = this.#effort(call);
    for (;;) {
      try {
        return await effort.attempt(send);
      } catch (error) {
        await effort.pause(passingFailure(error));
      }
    }
  }

  /** As `#read`; what an attempt may have done is not forgotten when a later one is refused. */
  async #write<T>(call: Call, send: Send<T>): Promise<T> {
    const effort = this.#effort(call);
    try {
      for (;;) {
        try {
          return await effort.attempt(send);
        } catch (error) {
          effort.note(error);
          await effort.pause(passingFailure(error));
        }
      }
    } catch (error) {
      throw effort.verdict(error);
    }
  }

  async #conditional(
    call: Call,
    bytes: Uint8Array,
    tagBefore: string | undefined,
    send: Send<string | undefined>,
  ): Promise<string | undefined> {
    const effort = this.#effort(call);
    const read: Send<StoredObject | undefined> = (own) =>
      this.#store.get(call.key, { ...own, expectedBytes: bytes.length });
    try {
      for (;;) {
        let failure = refusal(call);
        try {
          const tag = await effort.attempt(send);
          if (tag !== undefined) return tag;
        } catch (error) {
          failure = passingFailure(error);
        }
        effort.note(failure);
        try {
          if (mayHaveWritten(failure)) {
            const seen = await effort.attempt(read);
            if (seen?.bytes.equals(bytes)) return seen.tag;
            if (seen?.tag !== tagBefore) return undefined;
          }
        } catch (error) {
          failure = passingFailure(error);
        }
        await effort.pause(failure);
      }
    } catch (error) {
      throw effort.verdict(error);
    }
  }
}

interface EffortOptions {
  readonly limits: RetryLimits;
  /** Of the store. */
  readonly address: string;
  readonly onSuccess: () => void;
}

/** All attempts of one call: how long each may take, how long to wait, when to stop. */
class Effort {
  readonly #call: Call;
  readonly #clock: Pick<Clock, "now" | "sleep">;
  readonly #random: Random;
  readonly #limits: RetryLimits;
  readonly #address: string;
  readonly #onSuccess: () => void;
  readonly #attemptMs: number;
  readonly #deadline: number;
  #pauses = 0;
  #isUnsure = false;

  constructor(call: Call, { clock, random }: RetryOptions, options: EffortOptions) {
    const { address, limits, onSuccess } = options;
    const transferMs = (call.bytes / limits.bytesPerSecond) * 1000;
    this.#call = call;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
    this.#address = address;
    this.#onSuccess = onSuccess;
    this.#attemptMs = limits.attemptMs + transferMs;
    this.#deadline = clock.now() + limits.deadlineMs + transferMs;
  }

  /** Makes one attempt; it is over when its time is, whether the store knows that or not. */
  async attempt<T>(send: Send<T>): Promise<T> {
    const { key, operation, options } = this.#call;
    checkSignal(operation, key, options);
    const own = new AbortController();
    const over = new AbortController();
    const giveUp = () => own.abort("given up");
    options?.signal?.addEventListener("abort", giveUp);
    const timeMs = Math.min(this.#attemptMs, Math.max(0, this.#deadline - this.#clock.now()));
    const timeUp = () => own.abort(`no answer within ${(timeMs / 1000).toFixed(1)} s`);
    void this.#clock.sleep(timeMs, over.signal).then(timeUp);
    const aborted = new Promise<never>((_, reject) => {
      own.signal.addEventListener("abort", () => {
        const address = this.#address;
        reject(new ObjectError("unknown", operation, key, String(own.signal.reason), { address }));
      });
    });
    try {
      const answer = await Promise.race([send({ ...options, signal: own.signal }), aborted]);
      this.#onSuccess();
      return answer;
    } finally {
      options?.signal?.removeEventListener("abort", giveUp);
      over.abort();
    }
  }

  /** Waits for the next attempt; throws `failure` when there is no time for one. */
  async pause(failure: ObjectError): Promise<void> {
    const { key, operation, options } = this.#call;
    checkSignal(operation, key, options);
    const { pauseMsMax, pauseMsMin } = this.#limits;
    const longest = Math.min(pauseMsMin * 2 ** this.#pauses++, pauseMsMax);
    const pauseMs = longest * (0.5 + this.#random.float() / 2);
    if (this.#clock.now() + pauseMs >= this.#deadline) throw failure;
    await this.#clock.sleep(pauseMs, options?.signal);
    checkSignal(operation, key, options);
  }

  /** Remembers that an attempt may have written. */
  note(error: unknown): void {
    if (error instanceof ObjectError && mayHaveWritten(error)) this.#isUnsure = true;
  }

  /** What the call ends with because of `error`: after an attempt that may have written, "unknown". */
  verdict(error: unknown): unknown {
    if (!(error instanceof ObjectError && this.#isUnsure) || error.kind === "unknown") return error;
    const { key, operation } = this.#call;
    const why = `an attempt may have succeeded, and then: ${error.message}`;
    return new ObjectError("unknown", operation, key, why, {
      cause: error,
      address: this.#address,
    });
  }
}

function callOf(operation: string, key: string, options: CallOptions | undefined): Call {
  return { operation, key, bytes: options?.expectedBytes ?? 0, options };
}

function mayHaveWritten({ kind }: ObjectError): boolean {
  return kind === "unknown" || kind === "throttled";
}

/** A 412, which is resolved like an unknown outcome. */
function refusal({ key, operation }: Call): ObjectError {
  return new ObjectError(
    "unknown",
    operation,
    key,
    "the store says that the condition did not hold",
  );
}

/** `error`, when another attempt may get over it; thrown when not. */
function passingFailure(error: unknown): ObjectError {
  if (error instanceof ObjectError && passing.has(error.kind)) return error;
  throw error;
}
