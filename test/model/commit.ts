/** Proposing, replicating to peers, acknowledging (R6, R13). */
import { replay } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import { acts, incarnationsIn, type Node, only, rewrite, type State, stepDown } from "./state.ts";
import type { Steps } from "./step.ts";
import { Violation } from "./violation.ts";

/** Steps of leader `at` that bring an entry from a client to its acknowledgement. */
export function commitSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const leader = state.nodes[at];
  if (leader === undefined || leader.role !== "leader") return;
  if (state.writes < scope.writes) {
    steps.of(at, "propose", (node, next) => {
      node.log += String.fromCharCode(97 + next.writes++);
      if (!scope.lateSync) node.synced = node.log.length;
    });
  }
  if (leader.synced < leader.log.length) {
    steps.of(at, "sync", (node) => rewrite(node, node.log));
  }
  if (scope.peers) {
    for (let other = 0; other < state.nodes.length; other++) {
      if (other !== at) appendStep(steps, state, at, other);
    }
  }
  const commit = held(scope, leader);
  if (commit > leader.commit) {
    steps.of(at, "commit", (node, next) => acknowledge(scope, next, node, commit));
  }
}

/** The leader's log reaches follower `to`, is synced there, and an ack goes back. */
function appendStep(steps: Steps, state: State, at: number, to: number): void {
  const leader = state.nodes[at];
  const follower = state.nodes[to];
  if (leader === undefined || follower === undefined) return;
  if (follower.promised > leader.term) return;
  if (acts(follower) && follower.term >= leader.term) return;
  const joined = follower.logTerm === leader.term && follower.promised === leader.term;
  if (joined && follower.role === "idle" && follower.log.length >= leader.log.length) return;
  steps.of(to, `append ${at}->`, (node, next) => {
    stepDown(node);
    node.promised = leader.term;
    // Shorter is an old message of the same term: nothing is cut (R13).
    if (node.logTerm !== leader.term || node.log.length < leader.log.length) {
      rewrite(node, leader.log);
    }
    node.logTerm = leader.term;
    const ack = {
      from: node.incarnation,
      to: leader.incarnation,
      term: leader.term,
      entries: node.log.length,
    };
    const others = next.acks.filter(({ from, to: whom }) => from !== ack.from || whom !== ack.to);
    next.acks = [...others, ack];
  });
}

/** How many entries every required member holds. */
function held(scope: Scope, leader: Node): number {
  const unsynced = scope.bug === "acknowledge before the sync";
  let entries = unsynced ? leader.log.length : leader.synced;
  for (const other of incarnationsIn(leader.required & ~only(leader.incarnation))) {
    entries = Math.min(entries, leader.held[other] ?? 0);
  }
  const early = scope.bug === "acknowledge before the tail" && !leader.recordedS3;
  return leader.requiresS3 && !early ? Math.min(entries, leader.stored) : entries;
}

/**
 * Clients are told.
 *
 * @throws Violation where another entry was acknowledged at the same position, or where a node that
 *   runs with `--wal-sync-upload=true` acknowledges what the bucket does not hold.
 */
function acknowledge(scope: Scope, state: State, leader: Node, commit: number): void {
  const log = leader.log.slice(0, commit);
  leader.commit = commit;
  const longer = log.length > state.acked.length;
  if (!(longer ? log.startsWith(state.acked) : state.acked.startsWith(log))) {
    throw new Violation(
      `two histories: node ${leader.incarnation} acknowledges "${log}" after "${state.acked}"`,
    );
  }
  if (!longer) return;
  state.acked = log;
  if (scope.peers || !scope.s3 || !leader.wanted) return;
  const bucket = replay(scope, state);
  if (!bucket.startsWith(log)) {
    throw new Violation(`by disk alone: "${log}" is acknowledged, the bucket holds "${bucket}"`);
  }
}
