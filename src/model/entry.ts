/**
 * What the log remembers: decided facts, so that whoever applies an entry needs to look nothing up
 * and arrives at the same state. A put carries the version it makes, and the lease it takes the key
 * away from.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { Index, LeaseId, Revision, Term } from "./revision.ts";

export type Change = PutChange | DeleteChange;

export interface PutChange {
  readonly kind: "put";
  readonly key: ByteString;
  readonly value: Uint8Array;
  readonly lease: LeaseId;
  readonly createRevision: Revision;
  readonly version: number;
  /** The lease the key was attached to before; 0n for none. */
  readonly previousLease: LeaseId;
}

export interface DeleteChange {
  readonly kind: "delete";
  readonly key: ByteString;
  /** The lease the key was attached to; 0n for none. */
  readonly previousLease: LeaseId;
}

/** What an entry does. */
export type Action =
  /** Changes of keys, all at the entry's revision; never empty. */
  | { readonly kind: "write"; readonly changes: readonly Change[] }
  | { readonly kind: "grant"; readonly lease: LeaseId; readonly ttlSeconds: number }
  /** The lease goes, and with it its keys; the changes may be empty. */
  | { readonly kind: "revoke"; readonly lease: LeaseId; readonly changes: readonly Change[] }
  /** Raises the compaction floor. */
  | { readonly kind: "compact"; readonly floor: Revision }
  /** A term begins: the first entry of every leader, Raft's no-op. */
  | { readonly kind: "begin" };

export interface Entry {
  readonly index: Index;
  readonly term: Term;
  /** The revision of the store once the entry is applied. */
  readonly revision: Revision;
  readonly action: Action;
}

/** The changes of keys an entry makes; empty for most kinds. */
export function changesOf(action: Action): readonly Change[] {
  return action.kind === "write" || action.kind === "revoke" ? action.changes : [];
}
