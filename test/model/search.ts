/** Exhaustive breadth-first search of a scope, and scripts that walk one path of it. */
import { Invariants } from "./invariants.ts";
import { hashOf, tidy } from "./key.ts";
import { type Scope, startOf } from "./scope.ts";
import { copyOf, type State } from "./state.ts";
import { kindOf, type Step } from "./step.ts";
import { stepsOf } from "./steps.ts";
import { Violation, violationOf } from "./violation.ts";

export interface Found {
  /** What is broken; undefined where nothing is. */
  readonly violation: string | undefined;
  /** The steps to it, shortest path first found. */
  readonly trace: readonly string[];
  readonly states: number;
  readonly depth: number;
  /** Whether every reachable state was seen. */
  readonly complete: boolean;
  readonly freshRuns: number;
  readonly restarts: number;
  /** Every kind of step that was taken. */
  readonly kinds: ReadonlySet<string>;
}

/** Takes every step from every state, nearest states first, until `statesMax` or a violation. */
export function search(scope: Scope, statesMax = 10_000_000): Found {
  return new Search(scope, statesMax).run();
}

class Search {
  readonly #scope: Scope;
  readonly #statesMax: number;
  readonly #invariants: Invariants;
  readonly #seen = new Set<number>();
  /** Of every state: the one it was reached from, and the step's place among that one's steps. */
  readonly #parents: number[] = [-1];
  readonly #choices: number[] = [-1];
  readonly #names = new Set<string>();
  #depth = 0;

  constructor(scope: Scope, statesMax: number) {
    this.#scope = scope;
    this.#statesMax = statesMax;
    this.#invariants = new Invariants(scope);
  }

  run(): Found {
    const start = startOf(this.#scope);
    tidy(this.#scope, start);
    this.#seen.add(hashOf(start));
    let level: [id: number, state: State][] = [[0, start]];
    while (level.length > 0) {
      const next: [id: number, state: State][] = [];
      for (const [id, state] of level) {
        const violation = this.#expand(id, state, next);
        if (violation !== undefined) return this.#found(violation, false);
        if (this.#seen.size >= this.#statesMax) return this.#found(undefined, false);
      }
      this.#depth++;
      level = next;
    }
    return this.#found(undefined, true);
  }

  /** Adds the states after `state` to `next`. */
  #expand(id: number, state: State, next: [id: number, state: State][]): string | undefined {
    for (const [choice, step] of stepsOf(this.#scope, state).entries()) {
      const after = copyOf(state);
      this.#names.add(step.name);
      let isNew = false;
      const violation = violationOf(() => {
        step.run(after);
        tidy(this.#scope, after);
        const hash = hashOf(after);
        isNew = !this.#seen.has(hash);
        if (!isNew) return;
        this.#seen.add(hash);
        this.#invariants.check(after);
      });
      if (!isNew && violation === undefined) continue;
      this.#parents.push(id);
      this.#choices.push(choice);
      if (violation !== undefined) return violation.message;
      next.push([this.#parents.length - 1, after]);
    }
    return undefined;
  }

  #found(violation: string | undefined, complete: boolean): Found {
    return {
      violation,
      trace: violation === undefined ? [] : this.#trace(),
      states: this.#seen.size,
      depth: this.#depth,
      complete,
      freshRuns: this.#invariants.solo.freshRuns,
      restarts: this.#invariants.solo.restarts,
      kinds: new Set([...this.#names].map(kindOf)),
    };
  }

  /** The steps to the last state, found again from their places. */
  #trace(): string[] {
    const choices: number[] = [];
    for (let id = this.#parents.length - 1; id > 0; id = this.#parents[id] ?? 0) {
      choices.unshift(this.#choices[id] ?? 0);
    }
    const state = startOf(this.#scope);
    tidy(this.#scope, state);
    const names: string[] = [];
    for (const choice of choices) {
      const step = stepsOf(this.#scope, state)[choice];
      if (step === undefined) break;
      names.push(step.name);
      violationOf(() => take(this.#scope, state, step));
    }
    return names;
  }
}

/** Takes one step in place. */
export function take(scope: Scope, state: State, step: Step): void {
  step.run(state);
  tidy(scope, state);
}

/**
 * Takes the named steps one after the other, checking after each.
 *
 * @returns what is broken at the last step, or the first step that was not possible.
 */
export function play(
  scope: Scope,
  names: readonly string[],
): { readonly violation?: string; readonly stuck?: string; readonly steps: number } {
  const state = startOf(scope);
  tidy(scope, state);
  const invariants = new Invariants(scope);
  for (const [count, name] of names.entries()) {
    const possible = stepsOf(scope, state);
    const step = possible.find((each) => each.name === name);
    if (step === undefined) {
      const others = possible.map((each) => each.name).join(", ");
      return { stuck: `${name}; possible: ${others}`, steps: count };
    }
    const violation = violationOf(() => {
      take(scope, state, step);
      invariants.check(state);
    });
    if (violation instanceof Violation) return { violation: violation.message, steps: count + 1 };
  }
  return { steps: names.length };
}
