/** Checks of requests that need no state: what etcd refuses before it looks at anything. */
import type { ByteString } from "../lib/bytes.ts";
import { Intervals } from "../lib/intervals.ts";
import type { Operation, PutCommand } from "../model/command.ts";
import { isSingle, type KeyRange } from "../model/range.ts";
import { Refusal } from "../model/refusal.ts";

/**
 * Operations and comparisons of a transaction, those of nested ones and of both branches included.
 * etcd bounds each level only, but a transaction runs in one turn of the event loop.
 */
export const txnStepsMax = 8192;

/** What etcd's log puts around a request: the bytes its size limit counts besides the request. */
const envelopeBytes = 18;

/** Refuses a request of `requestBytes` where more than `bytesMax` would go into the log. */
export function checkSize(requestBytes: number, bytesMax: number): Refusal | undefined {
  return requestBytes + envelopeBytes > bytesMax ? new Refusal("requestTooLarge") : undefined;
}

/** Refuses a put that gives what it also says to ignore. */
export function checkPut(put: PutCommand): Refusal | undefined {
  if (put.ignoreValue && put.value.length > 0) return new Refusal("valueProvided");
  if (put.ignoreLease && put.lease !== 0n) return new Refusal("leaseProvided");
  return undefined;
}

/**
 * Refuses a list of operations that changes a key twice, in the way etcd sees it:
 *
 *   - the puts of a list exclude each other, and the deletes of the same list
 *   - a nested transaction's puts count as puts of the list, the two branches of one may share keys
 *   - its deletes exclude puts of later nested transactions and of the list, not of earlier ones
 *   - a delete up to "\0" excludes nothing: its end is taken literally, so it looks empty
 */
export function checkDuplicates(operations: readonly Operation[]): Refusal | undefined {
  return changesOf(operations) === undefined ? new Refusal("duplicateKey") : undefined;
}

interface Changes {
  readonly puts: Set<ByteString>;
  readonly deletes: Deletes;
}

/** What a list changes, nested lists included; undefined when something is changed twice. */
function changesOf(operations: readonly Operation[]): Changes | undefined {
  const puts = new Set<ByteString>();
  const deletes = new Deletes();
  for (const operation of operations) {
    if (operation.kind === "deleteRange") deletes.add(operation.range);
  }
  for (const operation of operations) {
    if (operation.kind !== "txn") continue;
    const success = changesOf(operation.success);
    const failure = changesOf(operation.failure);
    if (success === undefined || failure === undefined) return undefined;
    const branches = new Set([...success.puts, ...failure.puts]);
    for (const key of branches) if (puts.has(key) || deletes.cover(key)) return undefined;
    for (const key of branches) puts.add(key);
    deletes.addAll(success.deletes);
    deletes.addAll(failure.deletes);
  }
  for (const operation of operations) {
    if (operation.kind !== "put") continue;
    if (puts.has(operation.key) || deletes.cover(operation.key)) return undefined;
    puts.add(operation.key);
  }
  return { puts, deletes };
}

/** Key ranges, as etcd's check takes them. */
class Deletes {
  readonly #ranges: KeyRange[] = [];
  readonly #intervals = new Intervals<true>();

  add(range: KeyRange): void {
    this.#ranges.push(range);
    this.#intervals.add(range.key, isSingle(range) ? `${range.key}\0` : range.end, true);
  }

  addAll(other: Deletes): void {
    for (const range of other.#ranges) this.add(range);
  }

  cover(key: ByteString): boolean {
    let covered = false;
    this.#intervals.each(key, () => {
      covered = true;
    });
    return covered;
  }
}
