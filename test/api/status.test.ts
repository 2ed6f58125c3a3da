import { expect, test } from "bun:test";
import { statusErrorOf, statuses } from "../../src/api/status.ts";
import { Refusal, type RefusalKind } from "../../src/model/refusal.ts";
import { codeName } from "../../src/rpc/status.ts";

/** Written from the wire contract, not from the table under test. */
const contract: Record<RefusalKind, [code: string, message: string]> = {
  emptyKey: ["InvalidArgument", "etcdserver: key is not provided"],
  keyNotFound: ["InvalidArgument", "etcdserver: key not found"],
  valueProvided: ["InvalidArgument", "etcdserver: value is provided"],
  leaseProvided: ["InvalidArgument", "etcdserver: lease is provided"],
  tooManyOperations: ["InvalidArgument", "etcdserver: too many operations in txn request"],
  duplicateKey: ["InvalidArgument", "etcdserver: duplicate key given in txn request"],
  invalidSortOption: ["InvalidArgument", "etcdserver: invalid sort option"],
  requestTooLarge: ["InvalidArgument", "etcdserver: request is too large"],
  compacted: ["OutOfRange", "etcdserver: mvcc: required revision has been compacted"],
  futureRevision: ["OutOfRange", "etcdserver: mvcc: required revision is a future revision"],
  leaseNotFound: ["NotFound", "etcdserver: requested lease not found"],
  leaseExists: ["FailedPrecondition", "etcdserver: lease already exists"],
  leaseTtlTooLarge: ["OutOfRange", "etcdserver: too large lease TTL"],
  noSpace: ["ResourceExhausted", "etcdserver: mvcc: database space exceeded"],
  tooManyRequests: ["ResourceExhausted", "etcdserver: too many requests"],
  noLeader: ["Unavailable", "etcdserver: no leader"],
  stopped: ["Unavailable", "etcdserver: server stopped"],
  outcomeUnknown: ["Unavailable", "etcdserver: request timed out"],
};

test("every refusal has etcd's code and exact text", () => {
  const told = Object.entries(statuses).map(([kind, { code, message }]) => [
    kind,
    [codeName(code), message],
  ]);
  expect(Object.fromEntries(told)).toEqual(contract);
});

test("a refusal becomes the error that ends a call with its status", () => {
  expect(statusErrorOf(new Refusal("compacted"))).toMatchObject(statuses.compacted);
});
