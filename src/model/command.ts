/** What a client may ask: the requests, decoded and checked for shape, before anything is decided. */
import type { ByteString } from "../lib/bytes.ts";
import type { KeyRange } from "./range.ts";
import type { LeaseId } from "./revision.ts";

/** A request that may change the store. */
export type Command =
  | PutCommand
  | DeleteRangeCommand
  | TxnCommand
  | CompactCommand
  | GrantCommand
  | RevokeCommand;

export interface PutCommand {
  readonly kind: "put";
  readonly key: ByteString;
  readonly value: Uint8Array;
  /** The lease to attach; 0n detaches. */
  readonly lease: LeaseId;
  /** Whether the reply carries the key as it was before. */
  readonly previous: boolean;
  /** Keep the value the key has; it must exist. */
  readonly ignoreValue: boolean;
  /** Keep the lease the key has; it must exist. */
  readonly ignoreLease: boolean;
}

export interface DeleteRangeCommand {
  readonly kind: "deleteRange";
  readonly range: KeyRange;
  /** Whether the reply carries the keys that were deleted. */
  readonly previous: boolean;
}

/** If every comparison holds the `success` operations run, else those of `failure`. */
export interface TxnCommand {
  readonly kind: "txn";
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export type Operation = RangeQuery | PutCommand | DeleteRangeCommand | TxnCommand;

export type CompareResult = "equal" | "greater" | "less" | "notEqual" | "always";

/** A claim about every key of a range; about an absent key where the range holds none. */
export interface Compare {
  readonly range: KeyRange;
  readonly result: CompareResult;
  readonly target: CompareTarget;
}

/** What is compared with what. Numbers out of the safe range are clamped: no revision is there. */
export type CompareTarget =
  | { readonly field: "version" | "create" | "mod"; readonly operand: number }
  | { readonly field: "lease"; readonly operand: LeaseId }
  | { readonly field: "value"; readonly operand: ByteString };

export interface CompactCommand {
  readonly kind: "compact";
  /** Versions that a read at this revision or later cannot see may go. */
  readonly revision: number;
}

export interface GrantCommand {
  readonly kind: "grant";
  /** Never 0n here: whoever proposes the command has chosen one. */
  readonly lease: LeaseId;
  readonly ttlSeconds: number;
}

export interface RevokeCommand {
  readonly kind: "revoke";
  readonly lease: LeaseId;
}

export type SortTarget = "key" | "version" | "create" | "mod" | "value";
export type SortOrder = "none" | "ascend" | "descend";

/** A read of a key range: etcd's RangeRequest. Limits and revision bounds of 0 are "none". */
export interface RangeQuery {
  readonly kind: "range";
  readonly range: KeyRange;
  /** Most pairs in the reply; 0 or less for all. */
  readonly limit: number;
  /** The revision to read at; 0 or less for the current one. */
  readonly revision: number;
  readonly sortOrder: SortOrder;
  readonly sortTarget: SortTarget;
  /** Read local state without proof that it is the newest. */
  readonly serializable: boolean;
  readonly keysOnly: boolean;
  readonly countOnly: boolean;
  readonly minModRevision: number;
  readonly maxModRevision: number;
  readonly minCreateRevision: number;
  readonly maxCreateRevision: number;
}
