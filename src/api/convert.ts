/**
 * Protobuf messages to the model and back. On the way in a request becomes a command or a refusal;
 * its checks are made in etcd's order, because a request that breaks two rules is told of the first.
 */
import * as pb from "../gen/etcdserverpb/rpc.ts";
import type * as kvpb from "../gen/mvccpb/kv.ts";
import { unreachable } from "../lib/assert.ts";
import { byteStringOf, bytesOf, compact } from "../lib/bytes.ts";
import type { Header } from "../member/member.ts";
import type {
  Compare,
  CompareResult,
  CompareTarget,
  DeleteRangeCommand,
  Operation,
  PutCommand,
  RangeQuery,
  SortOrder,
  SortTarget,
  TxnCommand,
} from "../model/command.ts";
import type { Event, KeyValue } from "../model/event.ts";
import { Refusal } from "../model/refusal.ts";
import type {
  DeleteRangeReply,
  OperationReply,
  PutReply,
  RangeReply,
  TxnReply,
} from "../model/reply.ts";
import { checkDuplicates, checkPut } from "./validate.ts";

const sortOrders: readonly SortOrder[] = ["none", "ascend", "descend"];
const sortTargets: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];

/** Refusals: emptyKey, invalidSortOption. */
export function rangeQueryOf(request: pb.RangeRequest): RangeQuery | Refusal {
  if (request.key.length === 0) return new Refusal("emptyKey");
  const sortOrder = sortOrders[request.sortOrder];
  const sortTarget = sortTargets[request.sortTarget];
  if (sortOrder === undefined || sortTarget === undefined) return new Refusal("invalidSortOption");
  return {
    kind: "range",
    range: rangeOf(request),
    limit: request.limit,
    revision: request.revision,
    sortOrder,
    sortTarget,
    serializable: request.serializable,
    keysOnly: request.keysOnly,
    countOnly: request.countOnly,
    minModRevision: request.minModRevision,
    maxModRevision: request.maxModRevision,
    minCreateRevision: request.minCreateRevision,
    maxCreateRevision: request.maxCreateRevision,
  };
}

/** Refusals: emptyKey, valueProvided, leaseProvided. */
export function putCommandOf(request: pb.PutRequest): PutCommand | Refusal {
  if (request.key.length === 0) return new Refusal("emptyKey");
  const put: PutCommand = {
    kind: "put",
    key: byteStringOf(request.key),
    value: compact(request.value),
    lease: request.lease,
    previous: request.prevKv,
    ignoreValue: request.ignoreValue,
    ignoreLease: request.ignoreLease,
  };
  return checkPut(put) ?? put;
}

/** Refusals: emptyKey. */
export function deleteRangeCommandOf(request: pb.DeleteRangeRequest): DeleteRangeCommand | Refusal {
  if (request.key.length === 0) return new Refusal("emptyKey");
  return { kind: "deleteRange", range: rangeOf(request), previous: request.prevKv };
}

/**
 * Refusals: those of its operations, tooManyOperations, duplicateKey, and keyNotFound for an
 * operation that says nothing. A level may have `operationsMax` comparisons, and as many operations
 * in each branch; the levels below may have as many as it leaves. All levels together are bounded by
 * the size of a message.
 */
export function txnCommandOf(request: pb.TxnRequest, operationsMax: number): TxnCommand | Refusal {
  const txn = levelOf(request, operationsMax);
  if (txn instanceof Refusal) return txn;
  return checkDuplicates(txn.success) ?? checkDuplicates(txn.failure) ?? txn;
}

function levelOf(request: pb.TxnRequest, operationsMax: number): TxnCommand | Refusal {
  const { compare, failure, success } = request;
  const operations = Math.max(compare.length, success.length, failure.length);
  if (operations > operationsMax) return new Refusal("tooManyOperations");
  if (compare.some(({ key }) => key.length === 0)) return new Refusal("emptyKey");
  const below = operationsMax - operations;
  const ifTrue = operationsOf(success, below);
  if (ifTrue instanceof Refusal) return ifTrue;
  const ifFalse = operationsOf(failure, below);
  if (ifFalse instanceof Refusal) return ifFalse;
  return { kind: "txn", compares: compare.map(compareOf), success: ifTrue, failure: ifFalse };
}

function operationsOf(list: readonly pb.RequestOp[], below: number): Operation[] | Refusal {
  const operations: Operation[] = [];
  for (const { request } of list) {
    const operation = operationOf(request, below);
    if (operation instanceof Refusal) return operation;
    operations.push(operation);
  }
  return operations;
}

function operationOf(request: pb.RequestOp["request"], below: number): Operation | Refusal {
  switch (request?.$case) {
    case "requestRange":
      return rangeQueryOf(request.requestRange);
    case "requestPut":
      return putCommandOf(request.requestPut);
    case "requestDeleteRange":
      return deleteRangeCommandOf(request.requestDeleteRange);
    case "requestTxn":
      return levelOf(request.requestTxn, below);
    case undefined:
      return new Refusal("keyNotFound");
    default:
      return unreachable(request);
  }
}

const compareResults: readonly CompareResult[] = ["equal", "greater", "less", "notEqual"];

/** A comparison that holds for no key, absent ones included. */
const never = {
  result: "less",
  target: { field: "version", operand: Number.MIN_SAFE_INTEGER },
} as const;

/**
 * A comparison. etcd takes any number for what is compared and how: an unknown result always holds,
 * an unknown target is equal to whatever it is compared with.
 */
/** Any comparison; what its operand does not fit counts as zero. */
export function compareOf(request: pb.Compare): Compare {
  const range = rangeOf(request);
  const result = compareResults[request.result] ?? "always";
  const target = targetOf(request);
  if (target !== undefined) return { range, result, target };
  if (result === "greater" || result === "less" || result === "notEqual")
    return { range, ...never };
  return { range, result: "always", target: { field: "version", operand: 0 } };
}

/** What is compared with what; an operand that belongs to another target counts as zero. */
function targetOf({ target, targetUnion }: pb.Compare): CompareTarget | undefined {
  const given = targetUnion;
  switch (target) {
    case pb.Compare_CompareTarget.VERSION:
      return { field: "version", operand: safe(given?.$case === "version" ? given.version : 0n) };
    case pb.Compare_CompareTarget.CREATE:
      return {
        field: "create",
        operand: safe(given?.$case === "createRevision" ? given.createRevision : 0n),
      };
    case pb.Compare_CompareTarget.MOD:
      return {
        field: "mod",
        operand: safe(given?.$case === "modRevision" ? given.modRevision : 0n),
      };
    case pb.Compare_CompareTarget.VALUE:
      return {
        field: "value",
        operand: given?.$case === "value" ? byteStringOf(given.value) : "",
      };
    case pb.Compare_CompareTarget.LEASE:
      return { field: "lease", operand: given?.$case === "lease" ? given.lease : 0n };
    default:
      return undefined;
  }
}

/** The nearest safe number: no revision or version is further out, so it compares the same. */
function safe(operand: bigint): number {
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(operand)));
}

function rangeOf({ key, rangeEnd }: { readonly key: Uint8Array; readonly rangeEnd: Uint8Array }) {
  return { key: byteStringOf(key), end: byteStringOf(rangeEnd) };
}

/** The header of every response but those inside a transaction. */
export function headerOf(header: Header): pb.ResponseHeader {
  const { clusterId, memberId, revision, term } = header;
  return { clusterId, memberId, revision, raftTerm: term };
}

/** Inside a transaction a header tells the revision and nothing else. */
function innerHeader(revision: number): pb.ResponseHeader {
  return { clusterId: 0n, memberId: 0n, revision, raftTerm: 0 };
}

export function rangeResponseOf(reply: RangeReply, header: pb.ResponseHeader): pb.RangeResponse {
  return { header, kvs: reply.kvs.map(keyValueOf), more: reply.more, count: reply.count };
}

export function putResponseOf(reply: PutReply, header: pb.ResponseHeader): pb.PutResponse {
  return { header, prevKv: reply.previous && keyValueOf(reply.previous) };
}

export function deleteRangeResponseOf(
  reply: DeleteRangeReply,
  header: pb.ResponseHeader,
): pb.DeleteRangeResponse {
  return { header, deleted: reply.deleted, prevKvs: reply.previous.map(keyValueOf) };
}

export function txnResponseOf(reply: TxnReply, header: pb.ResponseHeader): pb.TxnResponse {
  const responses = reply.responses.map((inner) => ({ response: innerResponseOf(inner) }));
  return { header, succeeded: reply.succeeded, responses };
}

function innerResponseOf(reply: OperationReply): pb.ResponseOp["response"] {
  const header = innerHeader(reply.revision);
  switch (reply.kind) {
    case "range":
      return { $case: "responseRange", responseRange: rangeResponseOf(reply, header) };
    case "put":
      return { $case: "responsePut", responsePut: putResponseOf(reply, header) };
    case "deleteRange":
      return {
        $case: "responseDeleteRange",
        responseDeleteRange: deleteRangeResponseOf(reply, header),
      };
    case "txn":
      return { $case: "responseTxn", responseTxn: txnResponseOf(reply, innerHeader(0)) };
    default:
      return unreachable(reply);
  }
}

export function keyValueOf(kv: KeyValue): kvpb.KeyValue {
  const { createRevision, key, lease, modRevision, value, version } = kv;
  return { key: bytesOf(key), createRevision, modRevision, version, value, lease };
}

/** A change as a watcher sees it; a deletion tells its key and revision only. */
export function eventOf(event: Event): kvpb.Event {
  const prevKv = event.previous && keyValueOf(event.previous);
  if (event.type === "put") return { type: 0, kv: keyValueOf(event.kv), prevKv };
  const { key, modRevision } = event;
  return { type: 1, kv: { ...deleted, key: bytesOf(key), modRevision }, prevKv };
}

const deleted = { createRevision: 0, version: 0, value: new Uint8Array(0), lease: 0n };
