/**
 * What must hold in every state.
 *
 * Promises are what clients can see; the steps check three more when they happen: one acknowledged
 * entry a position, nothing acknowledged by disk alone under `--wal-sync-upload=true` (commit.ts),
 * no stale read (read.ts). The proof's own claims I1 to I3 hold as well where no rule is broken.
 */
import { replay } from "./bucket.ts";
import type { Scope } from "./scope.ts";
import { Solo } from "./solo.ts";
import { acts, has, type State } from "./state.ts";
import { isRecordedLeader } from "./takeover.ts";
import { Violation } from "./violation.ts";

/** Checks states of one scope, and remembers what it has already proved of equal parts of them. */
export class Invariants {
  readonly #scope: Scope;
  readonly solo: Solo;

  constructor(scope: Scope) {
    this.#scope = scope;
    this.solo = new Solo(scope);
  }

  /** @throws Violation naming the promise that is broken. */
  check(state: State): void {
    nothingLost(state);
    oneHistory(state);
    if (this.#scope.bug === undefined) {
      oneLeaderPerTerm(state);
      recordedIsRequired(state);
      membersHoldEverything(this.#scope, state);
    }
    this.#someoneCanLead(state);
  }

  /**
   * From a state with the bucket as member a node with an empty disk, run alone, comes to lead and
   * acknowledges. So does every node that restarts alone and is eligible.
   */
  #someoneCanLead(state: State): void {
    const { head, acked } = state;
    const member = head.s3 && (head.ver > 0 || acked === "");
    const fresh = this.#scope.s3 && (member || bucketNeverLeft(this.#scope, state));
    this.solo.check(state, { fresh, restarts: this.#scope.bug === undefined });
  }
}

/** Whether every process so far ran with `--wal-sync-upload=true`: then the bucket is a member. */
function bucketNeverLeft({ peers, start }: Scope, { switches, head }: State): boolean {
  return !peers && switches === 0 && head.ver > 0 && start !== "local";
}

/** The leader that the head names has every acknowledged entry. */
function nothingLost(state: State): void {
  for (const node of state.nodes) {
    if (node.role !== "leader" || !isRecordedLeader(state, node)) continue;
    if (node.log.startsWith(state.acked)) continue;
    throw new Violation(
      `lost: node ${node.incarnation} leads term ${node.term} with "${node.log}", ` +
        `acknowledged is "${state.acked}"`,
    );
  }
}

/** What any two leaders, deposed ones included, have acknowledged is one history. */
function oneHistory({ nodes, acked }: State): void {
  for (const { role, log, commit, incarnation } of nodes) {
    if (role !== "leader" || acked.startsWith(log.slice(0, commit))) continue;
    throw new Violation(
      `two histories: node ${incarnation} has acknowledged "${log.slice(0, commit)}", ` +
        `acknowledged is "${acked}"`,
    );
  }
}

/** I1: at most one node acts in a term. */
function oneLeaderPerTerm({ nodes }: State): void {
  for (const [at, one] of nodes.entries()) {
    for (const other of nodes.slice(at + 1)) {
      if (acts(one) && acts(other) && one.term === other.term) {
        throw new Violation(`I1: ${one.incarnation} and ${other.incarnation} act in ${one.term}`);
      }
    }
  }
}

/** I2: while the head is of a leader's term, the leader waits for all that the head records. */
function recordedIsRequired(state: State): void {
  const { head } = state;
  for (const node of state.nodes) {
    if (!isRecordedLeader(state, node)) continue;
    if (
      (head.iss & ~node.required & ~(1 << node.incarnation)) === 0 &&
      node.requiresS3 >= head.s3
    ) {
      continue;
    }
    throw new Violation(`I2: node ${node.incarnation} does not wait for all of the head`);
  }
}

/** I3: every recorded member, its disk not lost, holds every acknowledged entry. */
function membersHoldEverything(scope: Scope, state: State): void {
  const { head, acked } = state;
  // A copy of a disk is no member, whatever it calls itself; only the bucket tells them apart.
  for (const { incarnation, log: all, synced } of scope.start === "copied" ? [] : state.nodes) {
    const log = all.slice(0, synced);
    if (!has(head.iss, incarnation) || log.startsWith(acked)) continue;
    throw new Violation(`I3: member ${incarnation} holds "${log}", acknowledged is "${acked}"`);
  }
  // Without a head there is no member yet, whatever the head's absence stands for.
  if (!head.s3 || head.ver === 0) return;
  const bucket = replay(scope, state);
  if (bucket.startsWith(acked)) return;
  throw new Violation(`I3: the bucket holds "${bucket}", acknowledged is "${acked}"`);
}
