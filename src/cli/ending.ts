/**
 * Why the process ends: a signal or a failure, whichever comes first. A second signal means that
 * somebody has lost patience: the process exits at once.
 */
import { exitCodes } from "./exit.ts";

export type End =
  | { readonly kind: "signal"; readonly name: "SIGINT" | "SIGTERM" }
  | { readonly kind: "failure"; readonly error: unknown };

export class Ending {
  readonly #end = Promise.withResolvers<End>();
  #signalled = false;

  /** Listens for signals, and for errors that nobody caught: those are bugs and end it too. */
  constructor() {
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      process.on(name, () => {
        if (this.#signalled) process.exit(exitCodes.failure.code);
        this.#signalled = true;
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
