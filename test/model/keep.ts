/** Checkpoints, and deleting what they cover (R8). */
import { positionAt } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import type { State } from "./state.ts";
import type { Steps } from "./step.ts";

/**
 * A leader has captured what it committed, at any of its slots since the last checkpoint, and then
 * reads its own term in the lock. The manifest is published at any later time, even when it does
 * not lead any more, and so are others before it: the pointer to the newest never goes back.
 */
export function checkpointSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const leader = state.nodes[at];
  if (!scope.gc || leader === undefined || leader.role !== "leader" || !leader.fenced) return;
  if (state.head.term > leader.term && scope.bug !== "checkpoint of a deposed leader") return;
  const { checkpoint } = state;
  for (let slot = (checkpoint?.lastSlot ?? -1) + 1; slot < leader.next; slot++) {
    const { log, term } = positionAt(scope, state, slot + 1);
    if (log.length > leader.commit || log.length <= (checkpoint?.log.length ?? 0)) continue;
    steps.of(at, `checkpoint ${slot}`, (node, next) => {
      const leaders = scope.bug === "replay from the leader's term";
      const manifest = { log, lastSlot: slot, term: leaders ? node.term : term };
      next.manifests = [...next.manifests, manifest];
    });
  }
}

/** A manifest becomes the newest, unless that holds as much (tidy drops it then). */
export function publishSteps(steps: Steps, state: State): void {
  for (const manifest of state.manifests) {
    steps.also(`publish ${manifest.lastSlot} of "${manifest.log}"`, (next) => {
      next.checkpoint = manifest;
      next.manifests = next.manifests.filter((other) => other !== manifest);
    });
  }
}

/**
 * Log objects go one by one, in any order, once the newest checkpoint covers them; but never the
 * newest object, which tells where the log ends.
 */
export function deleteSteps(steps: Steps, scope: Scope, state: State): void {
  if (!scope.gc) return;
  for (let slot = 0; slot <= (state.checkpoint?.lastSlot ?? -1); slot++) {
    const object = state.slots[slot];
    if (object === undefined) continue;
    if (object.kind === "fence" && scope.bug !== "fence deleted") continue;
    if (slot === state.slots.length - 1 && scope.bug !== "newest deleted") continue;
    steps.also(`delete ${slot}`, (next) => {
      next.slots = next.slots.with(slot, undefined);
    });
  }
}
