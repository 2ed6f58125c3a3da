/**
 * Transactions, in etcd's three passes:
 *
 *   1 plan     every comparison of the tree is judged against the state before the transaction,
 *              down the branches that are taken
 *   2 check    every operation of the plan that could be refused is, before anything is changed:
 *              all the puts, then all the ranges
 *   3 run      the operations in order; each sees what the earlier ones did
 */
import { unreachable } from "../lib/assert.ts";
import { byteStringOf } from "../lib/bytes.ts";
import type {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeCommand,
  Operation,
  PutCommand,
  RangeQuery,
  TxnCommand,
} from "../model/command.ts";
import type { KeyValue } from "../model/event.ts";
import { isSingle } from "../model/range.ts";
import { Refusal } from "../model/refusal.ts";
import type { OperationReply, TxnReply } from "../model/reply.ts";
import type { Draft } from "./draft.ts";
import type { VersionHead } from "./version.ts";

/** A transaction whose branches are chosen. */
interface Plan {
  readonly kind: "plan";
  readonly succeeded: boolean;
  readonly steps: readonly Step[];
}

type Step = RangeQuery | PutCommand | DeleteRangeCommand | Plan;

/** Runs a transaction on a fresh draft. On a refusal the draft is not to be used any further. */
export function decideTxn(command: TxnCommand, draft: Draft): TxnReply | Refusal {
  const plan = planOf(command, draft);
  return check(plan, draft, checkPut) ?? check(plan, draft, checkRange) ?? run(plan, draft);
}

/** True for a transaction that can only read: it needs no entry and waits for none. */
export function isReadOnly({ failure, success }: TxnCommand): boolean {
  return success.every(isRange) && failure.every(isRange);
}

function isRange(operation: Operation): boolean {
  return operation.kind === "range";
}

function planOf(command: TxnCommand, draft: Draft): Plan {
  const succeeded = command.compares.every((compare) => holds(compare, draft));
  const taken = succeeded ? command.success : command.failure;
  return {
    kind: "plan",
    succeeded,
    steps: taken.map((step) => (step.kind === "txn" ? planOf(step, draft) : step)),
  };
}

type Check = (step: Exclude<Step, Plan>, draft: Draft) => Refusal | undefined;

/** Makes one check of every step of a plan, those of the plans in it included. */
function check(plan: Plan, draft: Draft, one: Check): Refusal | undefined {
  for (const step of plan.steps) {
    const refusal = step.kind === "plan" ? check(step, draft, one) : one(step, draft);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

function checkPut(step: Exclude<Step, Plan>, draft: Draft): Refusal | undefined {
  if (step.kind !== "put") return undefined;
  if ((step.ignoreValue || step.ignoreLease) && draft.head(step.key) === undefined) {
    return new Refusal("keyNotFound");
  }
  return step.lease === 0n || draft.hasLease(step.lease) ? undefined : new Refusal("leaseNotFound");
}

function checkRange(step: Exclude<Step, Plan>, draft: Draft): Refusal | undefined {
  if (step.kind !== "range") return undefined;
  if (step.revision > draft.base) return new Refusal("futureRevision");
  // A negative revision is compared as it stands, so it is refused only once there is a floor.
  return step.revision !== 0 && step.revision < draft.floor ? new Refusal("compacted") : undefined;
}

function run(plan: Plan, draft: Draft): TxnReply | Refusal {
  const responses: OperationReply[] = [];
  for (const step of plan.steps) {
    const reply = runStep(step, draft);
    if (reply instanceof Refusal) return reply;
    responses.push(reply);
  }
  return { kind: "txn", revision: draft.revision, succeeded: plan.succeeded, responses };
}

function runStep(step: Step, draft: Draft): OperationReply | Refusal {
  switch (step.kind) {
    case "range":
      return draft.range(step);
    case "put":
      return draft.put(step);
    case "deleteRange":
      return draft.deleteRange(step);
    case "plan":
      return run(step, draft);
    default:
      return unreachable(step);
  }
}

/** Whether a comparison holds for every key of its range, or for an absent key if there is none. */
function holds(compare: Compare, draft: Draft): boolean {
  const { range } = compare;
  if (isSingle(range)) return holdsForKey(compare, draft);
  let found = false;
  for (const cursor = draft.cursor(range); cursor.next(); ) {
    found = true;
    if (!holdsFor(compare, cursor.pair())) return false;
  }
  return found || holdsAbsent(compare);
}

function holdsForKey(compare: Compare, draft: Draft): boolean {
  const { range, result, target } = compare;
  if (target.field === "value") {
    const pair = draft.get(range.key);
    return pair !== undefined && matches(result, order(byteStringOf(pair.value), target.operand));
  }
  const head = draft.head(range.key);
  return head === undefined ? holdsAbsent(compare) : holdsForHead(result, target, head);
}

/** An absent key has no value to compare; everything else of it counts as 0. */
function holdsAbsent({ result, target }: Compare): boolean {
  if (target.field === "value") return false;
  if (target.field === "lease") return matches(result, order(0n, target.operand));
  return matches(result, order(0, target.operand));
}

function holdsFor({ result, target }: Compare, pair: KeyValue): boolean {
  if (target.field !== "value") return holdsForHead(result, target, pair);
  return matches(result, order(byteStringOf(pair.value), target.operand));
}

function holdsForHead(
  result: CompareResult,
  target: Exclude<CompareTarget, { readonly field: "value" }>,
  head: VersionHead,
): boolean {
  switch (target.field) {
    case "version":
      return matches(result, order(head.version, target.operand));
    case "create":
      return matches(result, order(head.createRevision, target.operand));
    case "mod":
      return matches(result, order(head.modRevision, target.operand));
    case "lease":
      return matches(result, order(head.lease, target.operand));
    default:
      return unreachable(target);
  }
}

function order<T extends number | bigint | string>(stored: T, operand: T): number {
  return stored < operand ? -1 : stored > operand ? 1 : 0;
}

function matches(result: CompareResult, ordering: number): boolean {
  switch (result) {
    case "equal":
      return ordering === 0;
    case "greater":
      return ordering > 0;
    case "less":
      return ordering < 0;
    case "notEqual":
      return ordering !== 0;
    case "always":
      return true;
    default:
      return unreachable(result);
  }
}
