/** Checks of requests that need no state: what etcd refuses before it looks at anything. */
import type { ByteString } from "../lib/bytes.ts";
import { Intervals } from "../lib/intervals.ts";
import type { Operation, PutCommand } from "../model/command.ts";
import { isSingle, type KeyRange } from "../model/range.ts";
import { Refusal } from "../model/refusal.ts";

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
  puts: Set<ByteString>;
  deletes: Deletes;
}

/**
 * What a list changes, nested lists included; undefined when something is changed twice. What a
 * nested list changes is taken over, not copied, so a deep transaction costs little more than a flat
 * one of as many operations.
 */
function changesOf(operations: readonly Operation[]): Changes | undefined {
  const changes: Changes = { puts: new Set(), deletes: new Deletes() };
  for (const operation of operations) {
    if (operation.kind === "deleteRange") changes.deletes.add(operation.range);
  }
  for (const operation of operations) {
    if (operation.kind !== "txn") continue;
    const success = changesOf(operation.success);
    const failure = changesOf(operation.failure);
    if (success === undefined || failure === undefined) return undefined;
    const branches = united(success.puts, failure.puts);
    if (!branches.isDisjointFrom(changes.puts) || changes.deletes.coverAny(branches)) {
      return undefined;
    }
    changes.puts = united(changes.puts, branches);
    changes.deletes = changes.deletes.with(success.deletes).with(failure.deletes);
  }
  for (const operation of operations) {
    if (operation.kind !== "put") continue;
    if (changes.puts.has(operation.key) || changes.deletes.cover(operation.key)) return undefined;
    changes.puts.add(operation.key);
  }
  return changes;
}

/** The union of two sets that nobody needs any more: the smaller is added to the larger. */
function united<T>(one: Set<T>, other: Set<T>): Set<T> {
  const [large, small] = one.size < other.size ? [other, one] : [one, other];
  for (const each of small) large.add(each);
  return large;
}

/** Key ranges, as etcd's check takes them. */
class Deletes {
  readonly #ranges: KeyRange[] = [];
  readonly #intervals = new Intervals<true>();

  add(range: KeyRange): void {
    this.#ranges.push(range);
    this.#intervals.add(range.key, isSingle(range) ? `${range.key}\0` : range.end, true);
  }

  /** These ranges and those of `other`, neither of which is to be used any more. */
  with(other: Deletes): Deletes {
    const fewer = this.#ranges.length < other.#ranges.length;
    const [large, small] = fewer ? [other, this] : [this, other];
    for (const range of small.#ranges) large.add(range);
    return large;
  }

  cover(key: ByteString): boolean {
    let covered = false;
    this.#intervals.each(key, () => {
      covered = true;
    });
    return covered;
  }

  coverAny(keys: Iterable<ByteString>): boolean {
    if (this.#ranges.length === 0) return false;
    for (const key of keys) if (this.cover(key)) return true;
    return false;
  }
}
