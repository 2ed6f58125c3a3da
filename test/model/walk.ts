/** Random walks through scopes too large to search: the seed is the report. */
import { SeededRandom } from "../../src/lib/random.ts";
import { Invariants } from "./invariants.ts";
import { type Scope, startOf } from "./scope.ts";
import { take } from "./search.ts";
import { stepsOf } from "./steps.ts";
import { violationOf } from "./violation.ts";

export interface Walked {
  /** What is broken, and the seed that shows it; undefined where nothing is. */
  readonly violation: string | undefined;
  readonly seed: number;
  readonly trace: readonly string[];
  readonly walks: number;
  readonly steps: number;
  readonly elections: number;
  readonly acked: number;
  readonly freshRuns: number;
  readonly restarts: number;
}

/** Walks from seed 1, 2, ... to `walks`, each at most `stepsMax` long, until a violation. */
export function walk(scope: Scope, walks: number, stepsMax: number): Walked {
  const invariants = new Invariants(scope);
  const sum = { steps: 0, elections: 0, acked: 0 };
  let violation: string | undefined;
  let seed = 0;
  let trace: string[] = [];
  while (seed < walks && violation === undefined) {
    seed++;
    trace = [];
    const state = startOf(scope);
    const random = new SeededRandom(seed);
    for (let count = 0; count < stepsMax && violation === undefined; count++) {
      const possible = stepsOf(scope, state);
      const step = possible[random.below(possible.length)];
      if (step === undefined) break;
      trace.push(step.name);
      violation = violationOf(() => {
        take(scope, state, step);
        invariants.check(state);
      })?.message;
    }
    sum.steps += trace.length;
    sum.elections += state.head.term - 1;
    sum.acked += state.acked.length;
  }
  const { freshRuns, restarts } = invariants.solo;
  return { violation, seed, trace, walks: seed, ...sum, freshRuns, restarts };
}
