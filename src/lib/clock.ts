/**
 * Time, passed in. Durations are measured on `now`, which never goes back; `wall` is for people to
 * read and decides nothing.
 */
import { elapsedMs } from "./libc.ts";

export interface Clock {
  /** Monotonic milliseconds from an arbitrary origin, with fractions. */
  now(): number;
  /** As `now`, but it goes on while the machine sleeps or is suspended; slower to ask. */
  elapsed(): number;
  /** Milliseconds since 1970-01-01 UTC. May jump either way. */
  wall(): number;
  /** Resolves after `milliseconds`, or as soon as `signal` aborts. Never rejects. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /** Resolves in a later turn of the event loop, after input and output that wait now. */
  yield(): Promise<void>;
}

/** The machine's clock. */
export class SystemClock implements Clock {
  now(): number {
    return performance.now();
  }

  elapsed(): number {
    return elapsedMs();
  }

  wall(): number {
    return Date.now();
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      signal?.addEventListener("abort", done);
    });
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }
}
