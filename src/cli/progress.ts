/** How far something long has come, for a person who reads along. */
import type { Clock } from "../lib/clock.ts";
import type { StartStep } from "../member/rooms.ts";
import type { Shell } from "./command.ts";

const everyMs = 500;
const names: Partial<Record<StartStep["name"], string>> = {
  restore: "tables, bytes",
  log: "log objects",
  tables: "verifying",
};

export class Progress {
  readonly #clock: Clock;
  readonly #shell: Shell;
  #shownAt: number | undefined;

  constructor(clock: Clock, shell: Shell) {
    this.#clock = clock;
    this.#shell = shell;
  }

  /** Takes a step; shows it, not too often, where standard output is a terminal. */
  readonly show = ({ done, name, total }: StartStep): void => {
    const now = this.#clock.now();
    if (!this.#shell.interactive || now - (this.#shownAt ?? -everyMs) < everyMs) return;
    this.#shownAt = now;
    const count = total > 0 ? ` ${done} of ${total}` : "";
    this.#shell.warn(`\r\u001b[K${names[name] ?? name}${count}`);
  };

  /** Clears the line. */
  end(): void {
    if (this.#shownAt !== undefined) this.#shell.warn("\r\u001b[K");
  }
}
