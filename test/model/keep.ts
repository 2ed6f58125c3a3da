/** Checkpoints, and deleting what they cover (R8). */
import { positionAt } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import type { State } from "./state.ts";
import type { Steps } from "./step.ts";

/**
 * A leader, deposed or not, publishes a checkpoint of what it has committed, captured at any of its
 * slots since the last one. The pointer to the newest never goes back.
 */
export function checkpointSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const leader = state.nodes[at];
  if (!scope.gc || leader === undefined || leader.role !== "leader" || !leader.fenced) return;
  const { checkpoint } = state;
  for (let slot = (checkpoint?.lastSlot ?? -1) + 1; slot < leader.next; slot++) {
    const { log, term } = positionAt(scope, state, slot + 1);
    if (log.length > leader.commit || log.length <= (checkpoint?.log.length ?? 0)) continue;
    steps.of(at, `checkpoint ${slot}`, (node, next) => {
      const leaders = scope.bug === "replay from the leader's term";
      next.checkpoint = { log, lastSlot: slot, term: leaders ? node.term : term };
    });
  }
}

/** Log objects go one by one, in any order, once the newest checkpoint covers them. */
export function deleteSteps(steps: Steps, scope: Scope, state: State): void {
  if (!scope.gc) return;
  for (let slot = 0; slot <= (state.checkpoint?.lastSlot ?? -1); slot++) {
    const object = state.slots[slot];
    if (object === undefined) continue;
    if (object.kind === "fence" && scope.bug !== "fence deleted") continue;
    steps.also(`delete ${slot}`, (next) => {
      next.slots = next.slots.with(slot, undefined);
    });
  }
}
