/** What goes wrong with a node, and what its operator changes (R14). */

import type { Scope } from "./scope.ts";
import { type Node, rewrite, type State, stepDown } from "./state.ts";
import type { Steps } from "./step.ts";
import { asks } from "./takeover.ts";

/** A crash, a lost disk, another `--wal-sync-upload`. A node that is paused just takes no step. */
export function failureSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const node = state.nodes[at];
  if (node === undefined) return;
  if (state.crashes < scope.crashes && (node.role !== "idle" || node.synced < node.log.length)) {
    steps.of(at, "crash", (crashed, next) => {
      next.crashes++;
      crashed.life++;
      crashed.log = crashed.log.slice(0, crashed.synced);
      stepDown(crashed);
    });
  }
  // Where there is no head yet, a lost disk is lost: nobody promised that the bucket holds it.
  if (state.disksLost < scope.disksLost && state.head.ver > 0 && !isEmpty(node)) {
    steps.of(at, "lose disk", (lost, next) => loseDisk(scope, next, lost));
  }
  if (state.switches < scope.switches) {
    steps.of(at, node.wanted ? "want no bucket" : "want bucket", (switched, next) => {
      next.switches++;
      switched.wanted = !switched.wanted;
      if (switched.role === "leader" && asks(scope, switched)) switched.requiresS3 = true;
    });
  }
}

/** The process ends with its disk; what starts in its place is somebody else. */
function loseDisk(scope: Scope, state: State, node: Node): void {
  state.disksLost++;
  stepDown(node);
  node.promised = 0;
  rewrite(node, "");
  node.logTerm = 0;
  if (scope.bug === "same incarnation") {
    node.life++;
    return;
  }
  node.incarnation = state.incarnations++;
  node.life = 0;
}

function isEmpty({ log, promised, role }: Node): boolean {
  return log === "" && promised === 0 && role === "idle";
}
