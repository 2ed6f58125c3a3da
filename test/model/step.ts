/** One thing that can happen next. */
import type { Node, State } from "./state.ts";

export interface Step {
  /** What happens and where, e.g. `commit@0`; scripts name steps by it. */
  readonly name: string;
  /** Changes the state; throws a Violation where clients would see a promise broken. */
  readonly run: (state: State) => void;
}

/** What a step is, without where: `commit@0` is a commit, `put lands 3 of term 2` a landing. */
export function kindOf(name: string): string {
  return name.replace(/ ?[@\d].*$/, "");
}

/** Collects the steps that are possible in one state. */
export class Steps {
  readonly list: Step[] = [];

  /** A step of node `at`. */
  of(at: number, name: string, run: (node: Node, state: State) => void): void {
    this.list.push({
      name: `${name}@${at}`,
      run: (state) => {
        const node = state.nodes[at];
        if (node !== undefined) run(node, state);
      },
    });
  }

  /** A step of the bucket or the network. */
  also(name: string, run: (state: State) => void): void {
    this.list.push({ name, run });
  }
}
