/** Can one node, run alone, come to lead? Everything else stands still, nothing else arrives. */
import { checkpointKey, hashText, objectKey, tidy } from "./key.ts";
import { freshNode, type Scope } from "./scope.ts";
import { copyOf, has, type Node, type State, stepDown } from "./state.ts";
import type { Step } from "./step.ts";
import { stepsOf } from "./steps.ts";
import { Violation } from "./violation.ts";

/** More steps than a lone takeover and one write need. */
const stepsMax = 40;

/** Explores lone runs, each once: what a run depends on is the bucket and the node's disk. */
export class Solo {
  readonly #scope: Scope;
  readonly #explored = new Set<string>();
  /** Runs of a node with an empty disk, and of a node that restarts, that were explored. */
  freshRuns = 0;
  restarts = 0;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  /**
   * A node with an empty disk is added, and every node that the head names eligible is restarted:
   * each, alone, must come to lead, and acknowledge a write after all that was acknowledged.
   *
   * @throws Violation where one does not.
   */
  check(state: State, { fresh, restarts }: { fresh: boolean; restarts: boolean }): void {
    const bucket = hashText(bucketKey(state));
    if (fresh && this.#run(state, freshNode(state.incarnations), `${bucket}`)) this.freshRuns++;
    for (const node of restarts ? state.nodes : []) {
      const member = has(state.head.iss, node.incarnation);
      if (!member && !(this.#scope.s3 && state.head.s3)) continue;
      const { promised, logTerm, wanted, synced } = node;
      const log = node.log.slice(0, synced);
      const flags = (wanted ? "w" : "-") + (member ? "m" : "-");
      const key = `${bucket}|${promised},${log},${logTerm}${flags}`;
      const restarted = { ...node, log, life: node.life + 1 };
      stepDown(restarted);
      if (this.#run(state, restarted, key)) this.restarts++;
    }
  }

  /** @returns false where the same was explored before. */
  #run(state: State, node: Node, key: string): boolean {
    if (this.#explored.has(key)) return false;
    this.#explored.add(key);
    leadAlone(this.#scope, state, node);
    return true;
  }
}

/** @throws Violation where `node`, alone, does not come to lead with all that was acknowledged. */
function leadAlone(scope: Scope, state: State, node: Node): void {
  const alone = copyOf(state);
  alone.nodes = [node];
  alone.incarnations++;
  alone.headWrites = [];
  alone.logPuts = [];
  alone.manifests = [];
  alone.acks = [];
  const bounds = soloScope(scope, alone);
  for (let count = 0; count < stepsMax; count++) {
    if (node.role === "leader" && alone.acked.length > state.acked.length) return;
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

/** All of the bucket that such a run depends on. */
function bucketKey({ head, slots, checkpoint, acked }: State): string {
  let key = `${head.ver > 0 ? "h" : "-"}${head.term}${head.s3 ? "s" : "-"}|${acked}|`;
  for (const object of slots) key += `${objectKey(object)} `;
  if (checkpoint !== undefined) key += `|${checkpointKey(checkpoint)}`;
  return key;
}
