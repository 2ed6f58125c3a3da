/** Everything that can happen next. */
import { commitSteps } from "./commit.ts";
import { failureSteps } from "./failure.ts";
import { checkpointSteps, deleteSteps, publishSteps } from "./keep.ts";
import { memberSteps } from "./members.ts";
import { networkSteps } from "./network.ts";
import { readSteps } from "./read.ts";
import type { Scope } from "./scope.ts";
import type { State } from "./state.ts";
import { type Step, Steps } from "./step.ts";
import { takeoverSteps } from "./takeover.ts";
import { uploadSteps } from "./upload.ts";

/** All steps possible in `state`, always in the same order. */
export function stepsOf(scope: Scope, state: State): readonly Step[] {
  const steps = new Steps();
  for (let at = 0; at < state.nodes.length; at++) {
    takeoverSteps(steps, scope, state, at);
    commitSteps(steps, scope, state, at);
    memberSteps(steps, scope, state, at);
    uploadSteps(steps, scope, state, at);
    readSteps(steps, scope, state, at);
    checkpointSteps(steps, scope, state, at);
    failureSteps(steps, scope, state, at);
  }
  networkSteps(steps, scope, state);
  publishSteps(steps, state);
  deleteSteps(steps, scope, state);
  return steps.list;
}
