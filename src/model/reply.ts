/** What requests are answered with. `revision` is the one the response header shows. */
import type { KeyValue } from "./event.ts";
import type { LeaseId, Revision } from "./revision.ts";

export interface RangeReply {
  readonly kind: "range";
  readonly revision: Revision;
  /** With an empty value where the query said keysOnly. */
  readonly kvs: readonly KeyValue[];
  /** True when the limit cut something off. */
  readonly more: boolean;
  /** Keys in the range, before limit and revision filters. */
  readonly count: number;
}

export interface PutReply {
  readonly kind: "put";
  readonly revision: Revision;
  readonly previous: KeyValue | undefined;
}

export interface DeleteRangeReply {
  readonly kind: "deleteRange";
  readonly revision: Revision;
  readonly deleted: number;
  readonly previous: readonly KeyValue[];
}

export interface TxnReply {
  readonly kind: "txn";
  readonly revision: Revision;
  readonly succeeded: boolean;
  /** One for each operation of the branch that ran, in order. */
  readonly responses: readonly OperationReply[];
}

export type OperationReply = RangeReply | PutReply | DeleteRangeReply | TxnReply;

export interface CompactReply {
  readonly kind: "compact";
  readonly revision: Revision;
}

export interface GrantReply {
  readonly kind: "grant";
  readonly revision: Revision;
  readonly lease: LeaseId;
  /** The TTL in force, which may be longer than the one asked for. */
  readonly ttlSeconds: number;
}

export interface RevokeReply {
  readonly kind: "revoke";
  readonly revision: Revision;
}

export type Reply =
  | PutReply
  | DeleteRangeReply
  | TxnReply
  | CompactReply
  | GrantReply
  | RevokeReply;
