/** The leader's log objects: the fence, then data, one put at a time (R7, R9, R10). */
import { commonEntries, firstFree, newestTerm, replay, sameObject } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import { acts, type LogObject, type LogPut, type Node, type State, stepDown } from "./state.ts";
import type { Steps } from "./step.ts";
import { recoverUpTo } from "./takeover.ts";

/** Steps of node `at` that put log objects and learn what became of them. */
export function uploadSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const node = state.nodes[at];
  if (node === undefined || !scope.s3 || !acts(node)) return;
  if (node.put !== undefined) answerSteps(steps, scope, state, node.put, at);
  else if (!node.fenced) fenceSteps(steps, scope, state, node, at);
  else if (node.role === "leader" && node.next < scope.slots) {
    const entries = node.requiresS3 ? node.log.length : node.commit;
    if (entries <= node.stored) return;
    const { term, stored: base, log } = node;
    sendStep(steps, at, node.next, { kind: "data", term, end: log.slice(0, entries), base });
  }
}

/** The first object of a term. Its base is where the log before its slot ends. */
function fenceSteps(steps: Steps, scope: Scope, state: State, node: Node, at: number): void {
  const slot = firstFree(state);
  if (newestTerm(state) > node.term) {
    steps.of(at, "find higher term", stepDown);
    return;
  }
  if (slot >= scope.slots) return;
  const before = replay(scope, state, slot);
  let end = before;
  if (node.role === "leader") end = node.log.slice(0, commonEntries(before, node.log));
  else if (scope.bug === "recover before the fence") end = node.log;
  sendStep(steps, at, slot, { kind: "fence", term: node.term, end, base: end.length });
}

function sendStep(steps: Steps, at: number, slot: number, object: LogObject): void {
  steps.of(at, `put ${object.kind} ${slot}`, (node, next) => {
    node.put = { slot, object };
    if (node.read !== undefined) node.read = { ...node.read, putSince: true };
    next.logPuts = [...next.logPuts, node.put];
  });
}

/** The put is answered, or its slot is read: the same thing, for only the slot's content counts. */
function answerSteps(
  steps: Steps,
  scope: Scope,
  state: State,
  { slot, object }: LogPut,
  at: number,
): void {
  const found = state.slots[slot];
  if (found === undefined) {
    const sent = state.logPuts.some((put) => put.slot === slot && sameObject(put.object, object));
    if (sent) return;
    // It was there and is deleted: for its writer it never was.
    steps.of(at, `send again ${slot}`, (_, next) => {
      next.logPuts = [...next.logPuts, { slot, object }];
    });
    return;
  }
  steps.of(at, `answer ${slot}`, (node, next) => {
    node.put = undefined;
    if (sameObject(found, object)) {
      confirm(scope, next, node, object, slot);
    } else if (found.term > node.term) {
      stepDown(node);
    } else {
      node.next = slot + 1;
      if (node.read !== undefined) node.read = { ...node.read, putSince: false };
    }
  });
}

function confirm(scope: Scope, state: State, node: Node, object: LogObject, slot: number): void {
  node.next = slot + 1;
  if (node.read?.putSince === true) node.read = { ...node.read, putSince: false, bucket: true };
  if (node.fenced) {
    node.stored = object.end.length;
    return;
  }
  node.fenced = true;
  if (node.role === "fencing") recoverUpTo(scope, state, node, slot);
  else node.stored = object.end.length;
}
