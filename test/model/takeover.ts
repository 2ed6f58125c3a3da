/**
 * Taking over (R1, R4, R5).
 *
 *   bucket recorded (or no head yet)                  bucket not recorded, own incarnation in iss
 *   1  promise t+1, sync                              1  promise t+1, sync
 *   2  CAS {t+1, self, iss=[], s3=true}               2  CAS {t+1, self, iss=[self], s3=false}
 *   3  read the head: own nonce, or lost              3  read the head: own nonce, or lost
 *   4  fence at the first free slot (upload.ts)       4  take what the bucket holds beyond own log
 *   5  replay up to the fence, sync                   5  active
 *   6  CAS {t+1, self, iss=[self], s3=true}
 *   7  read the head: active
 */
import { replay } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import {
  acts,
  forget,
  type Head,
  has,
  type Node,
  only,
  rewrite,
  type State,
  stepDown,
} from "./state.ts";
import type { Steps } from "./step.ts";

/** Steps of `node` towards leading, and of noticing that it does not. */
export function takeoverSteps(steps: Steps, scope: Scope, state: State, at: number): void {
  const node = state.nodes[at];
  if (node === undefined) return;
  const { head } = state;
  if (mustAdopt(scope, state, node)) {
    steps.of(at, "upload history", ({ log }, next) => {
      next.checkpoint = { log, lastSlot: -1, term: 0 };
    });
  } else if (node.role === "idle" && mayTry(scope, state, node)) {
    const write = candidacy(scope, head, node);
    if (write !== undefined) {
      steps.of(at, "candidate", (candidate, next) => {
        candidate.role = "candidate";
        candidate.seen = head.ver;
        candidate.term = head.term + 1;
        if (scope.bug !== "no promise") candidate.promised = head.term + 1;
        next.headWrites = [...next.headWrites, write];
      });
    }
  }
  if (node.role !== "idle" && node.seen !== head.ver) {
    steps.of(at, "read head", (reader, next) => readHead(scope, next, reader));
  }
}

/** A directory with data meets an empty prefix: its history is uploaded before the first head. */
function mustAdopt(scope: Scope, { head, checkpoint }: State, { log }: Node): boolean {
  if (scope.bug === "lock before the history") return false;
  return head.ver === 0 && log !== "" && checkpoint === undefined;
}

function mayTry(scope: Scope, { head }: State, { promised }: Node): boolean {
  return head.ver < scope.versions && head.term < scope.terms && promised <= head.term + 1;
}

/** The head write that would make `node` leader; undefined where it is not eligible (R5). */
function candidacy(scope: Scope, head: Head, node: Node): Head | undefined {
  const { incarnation, life } = node;
  const next = { ver: head.ver + 1, term: head.term + 1, leader: incarnation, life };
  const member = has(head.iss, incarnation);
  if (head.s3) {
    if (!scope.s3) return undefined;
    if (scope.bug === "early self") return { ...next, iss: only(incarnation), s3: true };
    if (scope.bug === "s3=false on takeover") {
      return { ...next, iss: member ? only(incarnation) : 0, s3: false };
    }
    return { ...next, iss: 0, s3: true };
  }
  const anyone = scope.bug === "anyone" && head.leader !== incarnation;
  if (!member && !anyone) return undefined;
  return { ...next, iss: only(incarnation), s3: false };
}

/** The head moved: only now a candidate knows its result, and a leader its members (R1, R2). */
function readHead(scope: Scope, state: State, node: Node): void {
  const { head } = state;
  const nonce = scope.bug === "another life's head" || head.life === node.life;
  const mine = head.leader === node.incarnation && nonce && head.term === node.term;
  if (!mine) {
    // Its own head write is dead, for the ver it expected is gone: the promise may be taken back.
    if (node.role === "candidate") node.promised = head.term;
    stepDown(node);
    return;
  }
  if (node.role === "candidate") win(scope, state, node);
  else observe(scope, state, node);
}

function win(scope: Scope, state: State, node: Node): void {
  const { head } = state;
  forget(node);
  if (scope.bug !== "no promise") node.promised = head.term;
  node.seen = head.ver;
  node.required = head.iss;
  node.recordedS3 = head.s3;
  node.requiresS3 = head.s3 || asks(scope, node);
  if (head.iss === 0) {
    node.role = "fencing";
    if (scope.bug === "recover before the fence") rewrite(node, replay(scope, state));
    return;
  }
  if (scope.s3 && !head.s3) {
    const bucket = replay(scope, state);
    if (bucket.startsWith(node.log)) node.log = bucket;
  }
  rewrite(node, node.log);
  node.role = "leader";
  node.logTerm = head.term;
  node.termStart = node.log.length;
}

function observe(scope: Scope, state: State, node: Node): void {
  const { head } = state;
  node.seen = head.ver;
  node.intent = false;
  node.required = head.iss;
  node.recordedS3 = head.s3;
  node.requiresS3 = head.s3 || asks(scope, node);
  if (node.role === "fencing" && has(head.iss, node.incarnation)) node.role = "leader";
}

/** Whether the flag alone, recorded or not, makes the bucket required: where a node is alone. */
export function asks(scope: Scope, node: Node): boolean {
  return scope.s3 && !scope.peers && node.wanted && scope.bug !== "s3=false on takeover";
}

/** The fence of a bucket takeover is confirmed at `slot`: replay, sync, ask to be the member. */
export function recoverUpTo(scope: Scope, state: State, node: Node, slot: number): void {
  if (scope.bug !== "recover before the fence") rewrite(node, replay(scope, state, slot));
  node.logTerm = node.term;
  node.stored = node.log.length;
  node.termStart = node.log.length;
  sendHead(state, node, { iss: only(node.incarnation), s3: true });
}

/** Sends the leader's next head write; until it is resolved no other is sent (R2). */
export function sendHead(state: State, node: Node, set: Pick<Head, "iss" | "s3">): void {
  const { seen, term, incarnation: leader, life } = node;
  node.intent = true;
  state.headWrites = [...state.headWrites, { ver: seen + 1, term, leader, life, ...set }];
}

/** Whether `node` is what the head says it is. */
export function isRecordedLeader({ head }: State, node: Node): boolean {
  const nonce = head.leader === node.incarnation && head.life === node.life;
  return acts(node) && head.term === node.term && nonce;
}
