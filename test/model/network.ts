/** What is on its way arrives: at the bucket, or at the leader. */
import type { Scope } from "./scope.ts";
import type { Ack, HeadWrite, LogPut, State } from "./state.ts";
import type { Steps } from "./step.ts";
import { Violation } from "./violation.ts";

/** Requests are executed in any order, at any time, whether or not anyone learns it. */
export function networkSteps(steps: Steps, scope: Scope, state: State): void {
  for (const write of state.headWrites) {
    steps.also(`head written ${write.ver} by ${write.leader}`, (next) => writeHead(next, write));
  }
  for (const put of state.logPuts) {
    const name = `put lands ${put.slot} of term ${put.object.term}`;
    steps.also(name, (next) => land(next, put, false));
    if (state.duplicates < scope.duplicates && state.slots[put.slot] === undefined) {
      steps.also(`${name}, again later`, (next) => land(next, put, true));
    }
  }
  for (const ack of state.acks) ackStep(steps, state, ack);
}

function writeHead(state: State, write: HeadWrite): void {
  state.headWrites = state.headWrites.filter((other) => other !== write);
  if (state.head.ver === write.ver - 1) state.head = write;
}

function land(state: State, put: LogPut, again: boolean): void {
  if (again) state.duplicates++;
  else state.logPuts = state.logPuts.filter((other) => other !== put);
  const { slot, object } = put;
  if (state.slots[slot] !== undefined) return;
  if (slot > state.slots.length) throw new Violation(`gap: a put lands at ${slot}, beyond the end`);
  state.slots = [...state.slots.slice(0, slot), object, ...state.slots.slice(slot + 1)];
}

/**
 * An ack counts for the term it was given in, and never takes anything back. One of no entries says
 * that the follower is with this term.
 */
function ackStep(steps: Steps, state: State, ack: Ack): void {
  const at = state.nodes.findIndex(
    ({ incarnation, role, term }) =>
      incarnation === ack.to && role === "leader" && term === ack.term,
  );
  const leader = state.nodes[at];
  if (leader === undefined || (leader.held[ack.from] ?? -1) >= ack.entries) return;
  steps.of(at, `ack ${ack.from}->`, (node) => {
    node.held = Array.from({ length: Math.max(node.held.length, ack.from + 1) }, (_, each) =>
      each === ack.from ? ack.entries : (node.held[each] ?? -1),
    );
  });
}
