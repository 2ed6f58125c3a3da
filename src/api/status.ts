/** Refusals on the wire: etcd's codes and exact texts, which clients turn back into typed errors. */
import { Refusal, type RefusalKind } from "../model/refusal.ts";
import { codes, type Status, StatusError } from "../rpc/status.ts";

/** Total by type: a new refusal does not compile until it has a status. */
export const statuses: Readonly<Record<RefusalKind, Status>> = {
  emptyKey: { code: codes.invalidArgument, message: "etcdserver: key is not provided" },
  keyNotFound: { code: codes.invalidArgument, message: "etcdserver: key not found" },
  valueProvided: { code: codes.invalidArgument, message: "etcdserver: value is provided" },
  leaseProvided: { code: codes.invalidArgument, message: "etcdserver: lease is provided" },
  tooManyOperations: {
    code: codes.invalidArgument,
    message: "etcdserver: too many operations in txn request",
  },
  duplicateKey: {
    code: codes.invalidArgument,
    message: "etcdserver: duplicate key given in txn request",
  },
  invalidSortOption: { code: codes.invalidArgument, message: "etcdserver: invalid sort option" },
  requestTooLarge: { code: codes.invalidArgument, message: "etcdserver: request is too large" },
  compacted: {
    code: codes.outOfRange,
    message: "etcdserver: mvcc: required revision has been compacted",
  },
  futureRevision: {
    code: codes.outOfRange,
    message: "etcdserver: mvcc: required revision is a future revision",
  },
  leaseNotFound: { code: codes.notFound, message: "etcdserver: requested lease not found" },
  leaseExists: { code: codes.failedPrecondition, message: "etcdserver: lease already exists" },
  leaseTtlTooLarge: { code: codes.outOfRange, message: "etcdserver: too large lease TTL" },
  noSpace: {
    code: codes.resourceExhausted,
    message: "etcdserver: mvcc: database space exceeded",
  },
  tooManyRequests: { code: codes.resourceExhausted, message: "etcdserver: too many requests" },
  noLeader: { code: codes.unavailable, message: "etcdserver: no leader" },
  stopped: { code: codes.unavailable, message: "etcdserver: server stopped" },
  outcomeUnknown: { code: codes.unavailable, message: "etcdserver: request timed out" },
};

/** The error that ends a call with the status of `refusal`. */
export function statusErrorOf(refusal: Refusal): StatusError {
  const { code, message } = statuses[refusal.kind];
  return new StatusError(code, message);
}

/** `answer`, unless it is a refusal: that is thrown as the error that ends the call. */
export function granted<T>(answer: T | Refusal): T {
  if (answer instanceof Refusal) throw statusErrorOf(answer);
  return answer;
}
