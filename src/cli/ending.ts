/**
 * Why the process ends: a signal or a failure, whichever comes first. A second signal means that
 * somebody has lost patience: the process exits at once.
 */
import type { Clock } from "../lib/clock.ts";
import { exitCodes } from "./exit.ts";

export type End =
  | { readonly kind: "signal"; readonly name: "SIGINT" | "SIGTERM" }
  | { readonly kind: "failure"; readonly error: unknown };

/**
 * Under `bun run`, one Ctrl-C arrives twice: from the terminal and passed on by bun. What follows
 * the first signal this soon is not impatience.
 */
const echoMsMax = 500;

export class Ending {
  readonly #end = Promise.withResolvers<End>();

  /** Listens for signals, and for errors that nobody caught: those are bugs and end it too. */
  constructor(clock: Pick<Clock, "now">) {
    let first: number | undefined;
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      process.on(name, () => {
        const now = clock.now();
        first ??= now;
        if (now - first > echoMsMax) process.exit(exitCodes.failure.code);
        this.#end.resolve({ kind: "signal", name });
      });
    }
    process.on("uncaughtException", this.fail);
    process.on("unhandledRejection", this.fail);
  }

  /** Resolves when the process is to end. */
  get came(): Promise<End> {
    return this.#end.promise;
  }

  /** Ends the process because of `error`. */
  readonly fail = (error: unknown): void => {
    this.#end.resolve({ kind: "failure", error });
  };
}
