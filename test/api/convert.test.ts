import { describe, expect, test } from "bun:test";
import {
  deleteRangeCommandOf,
  deleteRangeResponseOf,
  eventOf,
  headerOf,
  putCommandOf,
  putResponseOf,
  rangeQueryOf,
  rangeResponseOf,
  txnCommandOf,
  txnResponseOf,
} from "../../src/api/convert.ts";
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import type { Compare } from "../../src/model/command.ts";
import type { KeyValue } from "../../src/model/event.ts";
import { Refusal, type RefusalKind } from "../../src/model/refusal.ts";
import { revisionOf, termOf } from "../../src/model/revision.ts";
import { bytes, compare, deleteRange, op, put, range, txn } from "./requests.ts";

const refused = (kind: RefusalKind) => new Refusal(kind);

describe("a range request", () => {
  test("keeps every option", () => {
    const request = range("a\xff", "z\0", {
      limit: 5,
      revision: 6,
      sortOrder: 2,
      sortTarget: 4,
      serializable: true,
      keysOnly: true,
      countOnly: true,
      minModRevision: 7,
      maxModRevision: 8,
      minCreateRevision: 9,
      maxCreateRevision: 10,
    });
    expect(rangeQueryOf(request)).toEqual({
      kind: "range",
      range: { key: "a\xff", end: "z\0" },
      limit: 5,
      revision: 6,
      sortOrder: "descend",
      sortTarget: "value",
      serializable: true,
      keysOnly: true,
      countOnly: true,
      minModRevision: 7,
      maxModRevision: 8,
      minCreateRevision: 9,
      maxCreateRevision: 10,
    });
  });

  test.each([
    [0, "none"],
    [1, "ascend"],
    [2, "descend"],
  ] as const)("sort order %d is %s", (sortOrder, expected) => {
    expect(rangeQueryOf(range("a", "", { sortOrder }))).toMatchObject({ sortOrder: expected });
  });

  test.each([
    [0, "key"],
    [1, "version"],
    [2, "create"],
    [3, "mod"],
    [4, "value"],
  ] as const)("sort target %d is %s", (sortTarget, expected) => {
    expect(rangeQueryOf(range("a", "", { sortTarget }))).toMatchObject({ sortTarget: expected });
  });

  test.each([
    ["an empty key", "emptyKey", range("", "z")],
    ["sort order 3", "invalidSortOption", range("a", "", { sortOrder: 3 as never })],
    ["sort order -1", "invalidSortOption", range("a", "", { sortOrder: -1 })],
    ["sort target 5", "invalidSortOption", range("a", "", { sortTarget: 5 as never })],
    ["an empty key and a bad sort", "emptyKey", range("", "", { sortTarget: 5 as never })],
  ] as const)("with %s is refused: %s", (_, kind, request) => {
    expect(rangeQueryOf(request)).toEqual(refused(kind));
  });
});

describe("a put request", () => {
  test("keeps every option, and its value without a copy", () => {
    const request = put("k", "v", { lease: -5n, prevKv: true });
    const command = putCommandOf(request);
    expect(command).toEqual({
      kind: "put",
      key: "k",
      value: bytes("v"),
      lease: -5n,
      previous: true,
      ignoreValue: false,
      ignoreLease: false,
    });
    expect(command).toHaveProperty("value", request.value);
  });

  test.each([
    ["an empty key", "emptyKey", put("", "v", { ignoreValue: true })],
    ["a value to ignore", "valueProvided", put("a", "v", { ignoreValue: true })],
    ["a lease to ignore", "leaseProvided", put("a", "", { ignoreLease: true, lease: 1n })],
  ] as const)("with %s is refused: %s", (_, kind, request) => {
    expect(putCommandOf(request)).toEqual(refused(kind));
  });

  test("may ignore a value and a lease it does not give", () => {
    expect(putCommandOf(put("a", "", { ignoreValue: true, ignoreLease: true }))).toMatchObject({
      ignoreValue: true,
      ignoreLease: true,
    });
  });
});

test("a delete request keeps its range and options", () => {
  expect(deleteRangeCommandOf(deleteRange("a", "\0", true))).toEqual({
    kind: "deleteRange",
    range: { key: "a", end: "\0" },
    previous: true,
  });
  expect(deleteRangeCommandOf(deleteRange("", "z"))).toEqual(refused("emptyKey"));
});

describe("a txn request", () => {
  const compareOf = (request: pb.Compare): Compare | undefined => {
    const command = txnCommandOf(txn({ compare: [request] }), 128);
    return command instanceof Refusal ? undefined : command.compares[0];
  };

  test("keeps its operations in their branches and order", () => {
    const request = txn({
      success: [op.put("a"), op.txn({ failure: [op.delete("b")] })],
      failure: [op.range("c")],
    });
    expect(txnCommandOf(request, 128)).toMatchObject({
      success: [
        { kind: "put", key: "a" },
        {
          kind: "txn",
          success: [],
          failure: [{ kind: "deleteRange", range: { key: "b", end: "" } }],
        },
      ],
      failure: [{ kind: "range", range: { key: "c", end: "" } }],
    });
  });

  const given = {
    version: { $case: "version", version: 5n },
    create: { $case: "createRevision", createRevision: 2n ** 63n - 1n },
    mod: { $case: "modRevision", modRevision: -(2n ** 63n) },
    value: { $case: "value", value: bytes("v\xfe") },
    lease: { $case: "lease", lease: 2n ** 63n - 1n },
  } as const;

  test.each<[string, Partial<pb.Compare>, Omit<Compare, "range">]>([
    [
      "version",
      { target: 0, result: 0, targetUnion: given.version },
      { result: "equal", target: { field: "version", operand: 5 } },
    ],
    [
      "create revision, beyond all revisions",
      { target: 1, result: 1, targetUnion: given.create },
      { result: "greater", target: { field: "create", operand: Number.MAX_SAFE_INTEGER } },
    ],
    [
      "mod revision, before all revisions",
      { target: 2, result: 2, targetUnion: given.mod },
      { result: "less", target: { field: "mod", operand: Number.MIN_SAFE_INTEGER } },
    ],
    [
      "value",
      { target: 3, result: 3, targetUnion: given.value },
      { result: "notEqual", target: { field: "value", operand: "v\xfe" } },
    ],
    [
      "lease",
      { target: 4, result: 0, targetUnion: given.lease },
      { result: "equal", target: { field: "lease", operand: 2n ** 63n - 1n } },
    ],
    [
      "an operand of another target, which counts as 0",
      { target: 2, result: 0, targetUnion: given.version },
      { result: "equal", target: { field: "mod", operand: 0 } },
    ],
    [
      "a value that is not given, which is empty",
      { target: 3, result: 0, targetUnion: given.lease },
      { result: "equal", target: { field: "value", operand: "" } },
    ],
    [
      "an unknown result, which always holds",
      { target: 3, result: 9 as never, targetUnion: given.value },
      { result: "always", target: { field: "value", operand: "v\xfe" } },
    ],
    [
      "an unknown target, which is equal",
      { target: 9 as never, result: 0 },
      { result: "always", target: { field: "version", operand: 0 } },
    ],
    [
      "an unknown target, which is not greater",
      { target: 9 as never, result: 1 },
      { result: "less", target: { field: "version", operand: Number.MIN_SAFE_INTEGER } },
    ],
  ])("compares %s", (_, request, expected) => {
    const range = { key: "k", end: "" };
    expect(compareOf(compare("k", request))).toEqual({ range, ...expected });
  });

  test("compares a whole range", () => {
    expect(compareOf(compare("k", { rangeEnd: bytes("l") }))?.range).toEqual({
      key: "k",
      end: "l",
    });
  });
});

const kv: KeyValue = {
  key: "k\xff",
  value: bytes("v"),
  createRevision: revisionOf(2),
  modRevision: revisionOf(3),
  version: 2,
  lease: 7n,
};
const kvOnTheWire = {
  key: bytes("k\xff"),
  value: bytes("v"),
  createRevision: 2,
  modRevision: 3,
  version: 2,
  lease: 7n,
};
const revision = revisionOf(9);
const header = headerOf({ clusterId: 2n ** 64n - 1n, memberId: 5n, revision, term: termOf(4) });

describe("a response", () => {
  test("has a header of cluster, member, revision and term", () => {
    expect(header).toEqual({ clusterId: 2n ** 64n - 1n, memberId: 5n, revision: 9, raftTerm: 4 });
  });

  test("to a range, a put and a delete has what the reply has", () => {
    expect(
      rangeResponseOf({ kind: "range", revision, kvs: [kv], more: true, count: 8 }, header),
    ).toEqual({ header, kvs: [kvOnTheWire], more: true, count: 8 });
    expect(putResponseOf({ kind: "put", revision, previous: kv }, header)).toEqual({
      header,
      prevKv: kvOnTheWire,
    });
    expect(putResponseOf({ kind: "put", revision, previous: undefined }, header)).toEqual({
      header,
      prevKv: undefined,
    });
    expect(
      deleteRangeResponseOf({ kind: "deleteRange", revision, deleted: 1, previous: [kv] }, header),
    ).toEqual({ header, deleted: 1, prevKvs: [kvOnTheWire] });
  });

  test("to a txn tells inner revisions only, and of a nested txn not even that", () => {
    const inner = { clusterId: 0n, memberId: 0n, revision: 9, raftTerm: 0 };
    const reply = {
      kind: "txn",
      revision,
      succeeded: true,
      responses: [
        { kind: "put", revision, previous: undefined },
        {
          kind: "txn",
          revision,
          succeeded: false,
          responses: [{ kind: "deleteRange", revision, deleted: 0, previous: [] }],
        },
      ],
    } as const;
    expect(txnResponseOf(reply, header)).toEqual({
      header,
      succeeded: true,
      responses: [
        {
          response: { $case: "responsePut", responsePut: { header: inner, prevKv: undefined } },
        },
        {
          response: {
            $case: "responseTxn",
            responseTxn: {
              header: { ...inner, revision: 0 },
              succeeded: false,
              responses: [
                {
                  response: {
                    $case: "responseDeleteRange",
                    responseDeleteRange: { header: inner, deleted: 0, prevKvs: [] },
                  },
                },
              ],
            },
          },
        },
      ],
    });
  });
});

test("an event of a put has the pair, one of a deletion its key and revision only", () => {
  expect(eventOf({ type: "put", kv })).toEqual({ type: 0, kv: kvOnTheWire, prevKv: undefined });
  expect(eventOf({ type: "delete", key: "k", modRevision: revisionOf(4), previous: kv })).toEqual({
    type: 1,
    kv: {
      key: bytes("k"),
      value: bytes(""),
      createRevision: 0,
      modRevision: 4,
      version: 0,
      lease: 0n,
    },
    prevKv: kvOnTheWire,
  });
});
