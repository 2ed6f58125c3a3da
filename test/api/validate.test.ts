import { describe, expect, test } from "bun:test";
import { txnCommandOf } from "../../src/api/convert.ts";
import { checkSize } from "../../src/api/validate.ts";
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { compare, op, txn } from "./requests.ts";

/** The kind of refusal, or "fine". */
function verdict(request: pb.TxnRequest, operationsMax = 128): string {
  const command = txnCommandOf(request, operationsMax);
  return command instanceof Refusal ? command.kind : command.kind.replace("txn", "fine");
}

const many = (count: number, make: (at: number) => pb.RequestOp) =>
  Array.from({ length: count }, (_, at) => make(at));
const puts = (count: number) => many(count, (at) => op.put(`${at}`));

describe("a key changed twice", () => {
  const inSuccess = (...success: pb.RequestOp[]) => txn({ success });

  test.each<[string, string, pb.TxnRequest]>([
    ["two puts", "duplicateKey", inSuccess(op.put("a", "1"), op.put("a", "1"))],
    ["two puts in the else branch", "duplicateKey", txn({ failure: [op.put("a"), op.put("a")] })],
    ["a put in each branch", "fine", txn({ success: [op.put("a")], failure: [op.put("a")] })],
    ["a put, then a delete", "duplicateKey", inSuccess(op.put("a"), op.delete("a"))],
    ["a delete, then a put", "duplicateKey", inSuccess(op.delete("a"), op.put("a"))],
    ["a put inside a deleted range", "duplicateKey", inSuccess(op.put("b"), op.delete("a", "c"))],
    ["a put at the end of a deleted range", "fine", inSuccess(op.put("c"), op.delete("a", "c"))],
    ["a put after a deleted key", "fine", inSuccess(op.put("a\0"), op.delete("a"))],
    ["two deletes", "fine", inSuccess(op.delete("a"), op.delete("a", "z"))],
    ["a range over a put", "fine", inSuccess(op.range("a", "z"), op.put("b"))],
    ["a put beside a delete without end", "fine", inSuccess(op.put("b"), op.delete("a", "\0"))],
    ["a put inside an inverted delete", "fine", inSuccess(op.put("b"), op.delete("c", "a"))],
    [
      "a put and one in a nested txn",
      "duplicateKey",
      inSuccess(op.txn({ success: [op.put("a")] }), op.put("a")),
    ],
    [
      "a put in both branches of a nested txn",
      "fine",
      inSuccess(op.txn({ success: [op.put("a")], failure: [op.put("a")] })),
    ],
    [
      "a put in two nested txns",
      "duplicateKey",
      inSuccess(op.txn({ success: [op.put("a")] }), op.txn({ failure: [op.put("a")] })),
    ],
    [
      "a put in a later nested txn than a delete",
      "duplicateKey",
      inSuccess(op.txn({ success: [op.delete("a")] }), op.txn({ success: [op.put("a")] })),
    ],
    [
      "a put in an earlier nested txn than a delete",
      "fine",
      inSuccess(op.txn({ success: [op.put("a")] }), op.txn({ success: [op.delete("a")] })),
    ],
    [
      "a put in a nested txn and a delete around it",
      "duplicateKey",
      inSuccess(op.txn({ failure: [op.put("a")] }), op.delete("a", "b")),
    ],
    [
      "a delete in a nested txn and a put around it",
      "duplicateKey",
      inSuccess(op.txn({ failure: [op.delete("a", "b")] }), op.put("a")),
    ],
    [
      "two puts deep inside",
      "duplicateKey",
      inSuccess(op.txn({ success: [op.txn({ failure: [op.put("a"), op.put("a")] })] })),
    ],
  ])("%s: %s", (_, expected, request) => {
    expect(verdict(request)).toBe(expected);
  });
});

describe("operations", () => {
  test.each<[string, string, pb.TxnRequest]>([
    ["128 in a branch", "fine", txn({ success: puts(128) })],
    ["129 in a branch", "tooManyOperations", txn({ success: puts(129) })],
    ["129 in the other branch", "tooManyOperations", txn({ failure: puts(129) })],
    ["128 in each branch", "fine", txn({ success: puts(128), failure: puts(128) })],
    [
      "129 comparisons",
      "tooManyOperations",
      txn({ compare: Array.from({ length: 129 }, () => compare("a")) }),
    ],
    ["127 below one", "fine", txn({ success: [op.txn({ success: puts(127) })] })],
    ["128 below one", "tooManyOperations", txn({ success: [op.txn({ success: puts(128) })] })],
    [
      "what a level may have counts its longest list",
      "tooManyOperations",
      txn({
        failure: many(2, () => op.range("a")),
        success: [op.txn({ success: puts(127) })],
      }),
    ],
    [
      "levels side by side do not add up",
      "fine",
      txn({
        success: many(2, (at) => op.txn({ success: many(126, (n) => op.put(`${at} ${n}`)) })),
      }),
    ],
    [
      "42 levels side by side in each of 42, of 42 operations in each branch",
      "fine",
      txn({
        success: many(42, () =>
          op.txn({
            failure: many(42, () =>
              op.txn({
                success: many(42, () => op.range("a")),
                failure: many(42, () => op.range("a")),
              }),
            ),
          }),
        ),
      }),
    ],
  ])("%s: %s", (_, expected, request) => {
    expect(verdict(request)).toBe(expected);
  });

  test("the most there may be is what the flag says", () => {
    const most = 100_000;
    expect(verdict(txn({ success: puts(most) }), most)).toBe("fine");
    expect(verdict(txn({ success: puts(most + 1) }), most)).toBe("tooManyOperations");
  });

  test("a level more than the budget is refused, however deep", () => {
    const nest = (depth: number): pb.TxnRequest =>
      depth === 0 ? txn({ success: [op.range("a")] }) : txn({ success: [op.txn(nest(depth - 1))] });
    expect(verdict(nest(127))).toBe("fine");
    expect(verdict(nest(128))).toBe("tooManyOperations");
  });
});

describe("of two broken rules the first is told", () => {
  test.each<[string, string, pb.TxnRequest]>([
    [
      "too many operations before an empty key",
      "tooManyOperations",
      txn({ compare: [compare("")], success: puts(129) }),
    ],
    [
      "an empty key of a comparison before an operation",
      "emptyKey",
      txn({ compare: [compare("")], success: [op.nothing()] }),
    ],
    ["an operation before the next", "keyNotFound", txn({ success: [op.nothing(), op.put("")] })],
    [
      "the then branch before the else branch",
      "emptyKey",
      txn({ success: [op.put("")], failure: [op.nothing()] }),
    ],
    [
      "a value to ignore before a lease to ignore",
      "valueProvided",
      txn({ success: [op.put("a", "v", { ignoreValue: true, ignoreLease: true, lease: 1n })] }),
    ],
    [
      "a lease to ignore before a key changed twice",
      "leaseProvided",
      txn({ success: [op.put("a"), op.put("a", "", { ignoreLease: true, lease: 1n })] }),
    ],
    [
      "a sort option of the else branch before a key changed twice in the then branch",
      "invalidSortOption",
      txn({
        success: [op.put("a"), op.put("a")],
        failure: [op.range("a", "", { sortTarget: 5 as never })],
      }),
    ],
    [
      "a nested operation before the next one outside",
      "emptyKey",
      txn({ success: [op.txn({ failure: [op.delete("")] }), op.nothing()] }),
    ],
  ])("%s: %s", (_, expected, request) => {
    expect(verdict(request)).toBe(expected);
  });
});

test("the limit of a request counts what the log puts around it", () => {
  expect(checkSize(1_572_846, 1_572_864)).toBeUndefined();
  expect(checkSize(1_572_847, 1_572_864)).toEqual(new Refusal("requestTooLarge"));
});
