/** Linearizable reads (R11, R12). */
import type { Scope } from "./scope.ts";
import { acts, has, incarnationsIn, type Node, only, type State } from "./state.ts";
import type { Steps } from "./step.ts";
import { isRecordedLeader } from "./takeover.ts";
import { Violation } from "./violation.ts";

/** Steps of one linearizable read at leader `at`. */
export function readSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const leader = state.nodes[at];
  if (!scope.reads || leader === undefined || leader.role !== "leader") return;
  const { read } = leader;
  if (read === undefined) {
    const early = leader.commit < leader.termStart && scope.bug !== "read before the term's start";
    if (early || state.acked === "") return;
    steps.of(at, "read arrives", (node, next) => {
      node.read = { entries: next.acked.length, confirmed: 0, bucket: false, putSince: false };
    });
    return;
  }
  for (const [other, follower] of state.nodes.entries()) {
    if (other === at || !mayConfirm(leader, follower)) continue;
    steps.of(other, `heartbeat ${at}->`, (node, next) => {
      node.promised = leader.term;
      const asking = next.nodes[at];
      if (asking?.read === undefined) return;
      const confirmed = asking.read.confirmed | only(node.incarnation);
      asking.read = { ...asking.read, confirmed };
    });
  }
  if (leader.requiresS3 && !read.bucket && isRecordedLeader(state, leader)) {
    steps.of(at, "head confirms", (node) => {
      node.read = { ...read, bucket: true };
    });
  }
  if (proved(scope, leader)) steps.of(at, "read answered", answer);
}

/** Whether a heartbeat reaches a required follower that has promised nothing higher. */
function mayConfirm(leader: Node, follower: Node): boolean {
  const { incarnation, promised, term } = follower;
  if (!has(leader.required, incarnation)) return false;
  if (leader.read === undefined || has(leader.read.confirmed, incarnation)) return false;
  return promised <= leader.term && !(acts(follower) && term >= leader.term);
}

function proved(scope: Scope, { read, required, requiresS3, incarnation }: Node): boolean {
  if (scope.bug === "no read index") return true;
  if (read === undefined || (requiresS3 && !read.bucket)) return false;
  return incarnationsIn(required & ~only(incarnation)).every((each) => has(read.confirmed, each));
}

/** @throws Violation where the client does not see what was acknowledged before it asked. */
function answer(node: Node): void {
  const { read, commit, incarnation } = node;
  if (read !== undefined && commit < read.entries) {
    throw new Violation(
      `stale read: node ${incarnation} shows ${commit} of ${read.entries} entries`,
    );
  }
  node.read = undefined;
}
