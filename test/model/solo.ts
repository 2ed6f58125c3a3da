/** Can one node, run alone, come to lead? Everything else stands still, and nothing else arrives. */
import { hashText, objectKey, tidy } from "./key.ts";
import { freshNode, type Scope } from "./scope.ts";
import { copyOf, has, type Node, type State, stepDown } from "./state.ts";
import type { Step } from "./step.ts";
import { stepsOf } from "./steps.ts";
import { Violation } from "./violation.ts";

/** More steps than a lone takeover and one write need. */
const stepsMax = 40;

/**
 * A node with an empty disk is added, alone.
 *
 * @param proved hashes of what was explored before; grows.
 * @returns how many runs were explored: 0 where an equal one was before.
 * @throws Violation where it does not come to lead and acknowledge with everything acknowledged.
 */
export function leadsAlone(scope: Scope, state: State, proved: Set<number>): number {
  return run(scope, state, freshNode(state.incarnations), proved) ? 1 : 0;
}

/** The same for every node that is there and eligible, its process started anew. */
export function restartsAlone(scope: Scope, state: State, proved: Set<number>): number {
  let runs = 0;
  for (const node of state.nodes) {
    if (scope.s3 && state.head.s3 ? false : !has(state.head.iss, node.incarnation)) continue;
    const restarted = { ...node, life: node.life + 1 };
    stepDown(restarted);
    if (run(scope, state, restarted, proved)) runs++;
  }
  return runs;
}

/** @returns false where the same was explored before. */
function run(scope: Scope, state: State, node: Node, proved: Set<number>): boolean {
  const hash = hashText(keyOf(state, node));
  if (proved.has(hash)) return false;
  proved.add(hash);
  const alone = copyOf(state);
  alone.nodes = [node];
  alone.incarnations++;
  alone.headWrites = [];
  alone.logPuts = [];
  alone.acks = [];
  const bounds = soloScope(scope, alone);
  for (let count = 0; count < stepsMax; count++) {
    if (node.role === "leader" && alone.acked.length > state.acked.length) {
      return true;
    }
    if (node.role === "leader" && !node.log.startsWith(state.acked)) {
      throw new Violation(
        `lost: node ${node.incarnation}, alone, comes to lead with "${node.log}", ` +
          `acknowledged is "${state.acked}"`,
      );
    }
    const [step] = nextOf(bounds, alone, state.acked.length);
    if (step === undefined) break;
    step.run(alone);
    tidy(bounds, alone);
  }
  throw new Violation(
    `nobody can lead: node ${node.incarnation}, alone, ends as ${node.role} with "${node.log}"`,
  );
}

/** It proposes once, when what was acknowledged before is committed again. */
function nextOf(scope: Scope, state: State, acked: number): readonly Step[] {
  const [node] = state.nodes;
  const active = node?.role === "leader" && node.commit >= acked && node.commit === node.log.length;
  return stepsOf(scope, state).filter(({ name }) => active || !name.startsWith("propose"));
}

/** No bound is in its way, nothing fails, and nobody reads or deletes meanwhile. */
function soloScope(scope: Scope, state: State): Scope {
  return {
    ...scope,
    nodes: 1,
    writes: state.writes + 1,
    terms: state.head.term + 1,
    versions: state.head.ver + stepsMax,
    slots: state.slots.length + stepsMax,
    crashes: 0,
    disksLost: 0,
    switches: 0,
    duplicates: 0,
    gc: false,
    reads: false,
  };
}

/** All that such a run depends on. */
function keyOf({ head, slots, checkpoint, acked }: State, node: Node): string {
  const durable = `${node.promised},${node.log},${node.logTerm},${node.wanted ? "w" : "-"}`;
  const member = has(head.iss, node.incarnation) ? "m" : "-";
  const log = slots.map(objectKey).join(" ");
  const { log: covered = "", lastSlot = -1, term = 0 } = checkpoint ?? {};
  return (
    `${durable}${member}|${head.ver > 0 ? "h" : "-"}${head.term}${head.s3 ? "s" : "-"}|${acked}|` +
    `${log}|${covered},${lastSlot},${term}`
  );
}
