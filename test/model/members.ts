/** Changing the set of members, the bucket included (R2, R3). */
import type { Scope } from "./scope.ts";
import { has, incarnationsIn, type Node, only, type State } from "./state.ts";
import type { Steps } from "./step.ts";
import { sendHead } from "./takeover.ts";

/** Steps by which leader `at` changes whom it requires, and what the head records. */
export function memberSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const leader = state.nodes[at];
  if (leader === undefined || leader.role !== "leader" || leader.intent) return;
  if (scope.peers && scope.s3 && !leader.requiresS3) {
    steps.of(at, "require bucket", (node) => {
      node.requiresS3 = true;
    });
  }
  if (state.head.ver >= scope.versions) return;
  if (scope.peers) {
    evictSteps(steps, scope, leader, at);
    addSteps(steps, scope, state, leader, at);
  }
  if (scope.s3) bucketSteps(steps, scope, leader, at);
}

/** Shrink by a node: it is waited for until a head without it has been observed. */
function evictSteps(steps: Steps, scope: Scope, leader: Node, at: number): void {
  for (const other of incarnationsIn(leader.required & ~only(leader.incarnation))) {
    steps.of(at, `evict ${other}`, (node, state) => {
      const iss = node.required & ~only(other);
      sendHead(state, node, { iss, s3: recorded(scope, node) });
      if (scope.bug === "early evict") node.required = iss;
    });
  }
}

/** Grow by a node that holds enough: it is required from now on, recorded later. */
function addSteps(steps: Steps, scope: Scope, state: State, leader: Node, at: number): void {
  for (const { incarnation } of state.nodes) {
    if (has(leader.required, incarnation) || incarnation === leader.incarnation) continue;
    if ((leader.held[incarnation] ?? -1) < enough(scope, leader)) continue;
    steps.of(at, `add ${incarnation}`, (node, next) => {
      const iss = node.required | only(incarnation);
      sendHead(next, node, { iss, s3: recorded(scope, node) });
      if (scope.bug !== "late add") node.required = iss;
    });
  }
}

/** The bucket joins when it holds enough, and leaves when a head without it has been observed. */
function bucketSteps(steps: Steps, scope: Scope, leader: Node, at: number): void {
  const late = scope.bug === "tail after the grow";
  const holds = late || (leader.fenced && leader.stored >= enough(scope, leader));
  if (leader.requiresS3 && !leader.recordedS3 && holds) {
    steps.of(at, "bucket joins", (node, next) =>
      sendHead(next, node, { iss: node.required, s3: true }),
    );
  }
  const alone = leader.required === only(leader.incarnation);
  if (leader.recordedS3 && (scope.peers ? !alone : !leader.wanted)) {
    steps.of(at, "bucket leaves", (node, next) => {
      sendHead(next, node, { iss: node.required, s3: false });
      if (scope.bug === "shrink not observed") node.requiresS3 = false;
    });
  }
}

/** How many entries a member must hold before it is recorded (R3). */
function enough(scope: Scope, { commit, termStart }: Node): number {
  return scope.bug === "stale commit" ? commit : Math.max(commit, termStart);
}

/** The bucket flag that other head writes carry: what is recorded, not what is wanted (R3). */
function recorded(scope: Scope, node: Node): boolean {
  return scope.bug === "early s3" ? node.requiresS3 : node.recordedS3;
}
