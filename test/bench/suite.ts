/** What every suite is given. */
import type { Tool } from "../setup/http2.ts";
import type { Contender } from "./contender.ts";
import type { Sheet } from "./sheet.ts";

export interface Scale {
  /** Share of the calls of the short workloads that is made. */
  readonly share: number;
  /** Of each stretch that is measured for a time. */
  readonly seconds: number;
  /** Keys of the large stores. */
  readonly keys: number;
  /** Puts in each measured stretch on a large store. */
  readonly stretch: number;
}

export interface Round {
  readonly sheet: Sheet;
  readonly scale: Scale;
  readonly h2load: Tool;
  /** An empty directory of this round's own. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

/** One kind of measurement; `run` makes one round of it with one of the two. */
export interface Suite {
  readonly name: string;
  /** What the page says about it. */
  readonly about: string;
  /** Rounds of it, where nobody asks for another number: what takes long has few. */
  readonly rounds: number;
  run(contender: Contender, round: Round): Promise<void>;
}
