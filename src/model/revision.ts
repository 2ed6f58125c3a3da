/**
 * The three counters and the identities. An index is a position in the log: every entry has one. A
 * revision is etcd's: only entries that change keys advance it, the first write of an empty store
 * is 2. A term is a leader's reign. They are branded numbers, so one cannot be passed for another,
 * and safe integers: at a million entries a second they last 285 years. Lease, member and cluster
 * ids are bigints, because clients choose lease ids from all 64 bits.
 */
import { assert } from "../lib/assert.ts";

declare const brand: unique symbol;

/** Position in the log, from 1; 0 is the position before the first entry. */
export type Index = number & { readonly [brand]: "index" };
/** Revision of the store; a fresh store is at 1. */
export type Revision = number & { readonly [brand]: "revision" };
/** A leader's reign, from 1; 0 is before any. */
export type Term = number & { readonly [brand]: "term" };

/** A signed 64-bit lease id; 0n is "no lease". */
export type LeaseId = bigint;

/** `value` as an index; InvariantError unless it is a safe integer of at least 0. */
export function indexOf(value: number): Index {
  assert(Number.isSafeInteger(value) && value >= 0, "an index is a safe integer");
  return value as Index;
}

/** `value` as a revision; InvariantError unless it is a safe integer of at least 0. */
export function revisionOf(value: number): Revision {
  assert(Number.isSafeInteger(value) && value >= 0, "a revision is a safe integer");
  return value as Revision;
}

/** `value` as a term; InvariantError unless it is a safe integer of at least 0. */
export function termOf(value: number): Term {
  assert(Number.isSafeInteger(value) && value >= 0, "a term is a safe integer");
  return value as Term;
}

/** A point in the log: the entry there, the term it was written in, the chain hash after it. */
export interface Position {
  readonly index: Index;
  readonly term: Term;
  readonly chain: bigint;
}

/** Before the first entry of every log. */
export const origin: Position = { index: indexOf(0), term: termOf(0), chain: 0n };
