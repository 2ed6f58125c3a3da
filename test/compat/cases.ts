/** What a random run meets seldom, of keys, leases and calls. */
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { bytes, compare, deleteRange, op, put, range, txn } from "../api/requests.ts";
import { type Case, call, hangUp, settle, watch, write } from "./case.ts";
import { type Operation, streamPaths } from "./operation.ts";
import { extremeNumbers } from "./requests.ts";

export const cases: readonly Case[] = [
  {
    name: "a store that was never compacted is compacted at 0, once",
    *steps() {
      yield call("Txn", txn({ success: [op.range("a", "", { revision: -1 })] }));
      yield call("Txn", txn({ success: [op.range("a", "", { revision: -2 })] }));
      yield call("Compact", { revision: -1 });
      yield call("Compact", { revision: 0 });
      yield call("Compact", { revision: 0 });
      yield call("Compact", { revision: 0, physical: true });
      yield call("Txn", txn({ success: [op.range("a", "", { revision: -1 })] }));
      yield call("Compact", { revision: 1 });
      yield call("Compact", { revision: 2 });
    },
  },
  {
    name: "the duplicate rule, and what a list may hold",
    *steps() {
      const nested = (...list: pb.RequestOp[]) => op.txn(txn({ success: list }));
      yield write(op.put("d/a"), op.put("d/a"));
      yield write(op.put("d/a"), op.delete("d/a"));
      yield write(op.delete("d/a"), op.delete("d/", "d0"));
      yield write(nested(op.put("d/a")), op.put("d/a"));
      yield write(nested(op.put("d/a")), nested(op.put("d/a")));
      yield write(nested(op.delete("d/a")), nested(op.put("d/a")));
      yield write(nested(op.put("d/a")), nested(op.delete("d/a")));
      yield write(op.txn(txn({ success: [op.put("d/a")], failure: [op.put("d/a")] })));
      yield write(op.delete("d/z", "d/a"), op.put("d/b"));
      yield write(op.nothing());
      yield write(nested(op.nothing()));
      yield write();
      yield call("Txn", txn({ compare: [compare("d/none")] }));
      yield call("Txn", txn({ compare: [compare("")] }));
      for (const count of [128, 129]) {
        yield write(...Array.from({ length: count }, (_, at) => op.put(`d/${at}`)));
        yield call("Txn", txn({ compare: Array.from({ length: count }, () => compare("d/a")) }));
      }
      for (const count of [64, 65]) {
        const list = (name: string) =>
          Array.from({ length: count }, (_, at) => op.put(`d/${name}${at}`));
        yield write(...list("x").slice(0, 63), nested(...list("y")));
      }
    },
  },
  {
    name: "of two refusals in a transaction, the put's comes first",
    *steps() {
      const future = op.range("r/a", "", { revision: 2 ** 40 });
      const refused = [
        op.put("r/b", "", { lease: 12345n }),
        op.put("r/c", "", { ignoreValue: true }),
        op.put("r/c", "", { ignoreLease: true, ignoreValue: true }),
        op.put("r/c", "", { ignoreValue: true, lease: 12345n }),
        op.range("r/a", "", { revision: 1 }),
      ];
      for (const other of refused) {
        yield write(future, other);
        yield write(other, future);
        yield write(future, op.txn(txn({ success: [other] })));
      }
      for (const one of refused) for (const other of refused) yield write(one, other);
    },
  },
  {
    name: "keys of leases, attached and taken off in transactions",
    *steps() {
      for (const ID of [101n, 102n]) yield call("LeaseGrant", { ID, TTL: 100_000 });
      yield watch("l/", { prevKv: true });
      yield write(op.put("l/a", "1", { lease: 101n }), op.put("l/b", "1", { lease: 101n }));
      yield write(op.put("l/c", "1", { lease: 101n }), op.put("l/d", "1", { lease: 999n }));
      yield call("LeaseTimeToLive", { ID: 101n, keys: true });
      yield write(op.put("l/a", "2", { lease: 102n }), op.put("l/b", "2", { ignoreLease: true }));
      yield write(op.txn(txn({ success: [op.put("l/c", "", { lease: 102n })] })), op.delete("l/c"));
      yield call(
        "Txn",
        txn({ compare: [compare("l/a", leaseIs(102n))], success: [op.put("l/e")] }),
      );
      for (const ID of [101n, 102n]) yield call("LeaseTimeToLive", { ID, keys: true });
      yield call("Put", put("l/a", "3"));
      yield call("LeaseTimeToLive", { ID: 102n, keys: true });
      yield call("LeaseRevoke", { ID: 102n });
      yield call("Put", put("l/f", "1", { lease: 101n }));
      yield call("LeaseRevoke", { ID: 101n });
      yield call("Range", range("l/", "l0"));
      yield { kind: "keepAlive", leases: [101n, 0n, 102n] };
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "a lease that ends takes its keys along",
    *steps() {
      yield call("LeaseGrant", { ID: 103n, TTL: -1 });
      yield watch("e/", { prevKv: true });
      yield write(op.put("e/b", "1", { lease: 103n }), op.put("e/a", "1", { lease: 103n }));
      yield { kind: "await" };
      yield call("Range", range("e/", "e0"));
      yield call("LeaseTimeToLive", { ID: 103n, keys: true });
      yield call("LeaseLeases", {});
      yield { kind: "keepAlive", leases: [103n] };
      yield call("LeaseRevoke", { ID: 103n });
      yield call("Put", put("e/c", "1", { lease: 103n }));
      yield settle;
      yield hangUp;
    },
  },
  {
    name: "leases: ids, terms, renewals",
    *steps() {
      for (const ID of [0n, 0n, 1n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
        yield call("LeaseGrant", { ID, TTL: 50_000 });
        yield call("LeaseGrant", { ID: ID === 0n ? 104n : ID, TTL: 9_000_000_000 });
        yield call("LeaseGrant", { ID, TTL: 9_000_000_001 });
        yield call("LeaseGrant", { ID, TTL: 0 }, [1, 2n ** 63n - 1n]);
      }
      yield call("LeaseLeases", {});
      yield { kind: "keepAlive", leases: [1n, 1n, 999n, -1n] };
      yield { kind: "keepAlive", leases: [] };
      yield call("LeaseLeases", {});
      for (const ID of [1n, 999n, 0n, 104n]) yield call("LeaseTimeToLive", { ID });
      for (const TTL of [0, 1, 2, -(2 ** 53)])
        yield { kind: "passingLease", lease: 105n, ttl: TTL };
    },
  },
  {
    name: "numbers that no double is",
    *steps() {
      yield call("Put", put("x/a", "1"));
      for (const value of extremeNumbers) {
        for (const field of [3, 4, 10, 11, 12, 13]) {
          yield call("Range", range("x/", "x0"), [field, value]);
        }
        yield call("Put", put("x/a"), [3, value]);
        yield call("Compact", {}, [1, value]);
        yield call("LeaseRevoke", {}, [1, value]);
        if (value > 0n) yield { ...watch("x/"), extremes: [[3, value]] } as Operation;
        for (const result of [0, 1, 2, 3] as const) {
          for (const field of ["version", "createRevision", "modRevision", "lease"] as const) {
            yield call(
              "Txn",
              txn({ compare: [compare("x/a", { result, ...operand(field, value) })] }),
            );
          }
        }
      }
      yield hangUp;
    },
  },
  {
    name: "requests that are too large",
    *steps() {
      // The few bytes between are for chance: what etcd puts around a request varies that much.
      for (const size of [1_572_864 - 19, 1_572_864 - 10]) {
        yield call("Put", { key: bytes("s/a"), value: Buffer.alloc(size - 9, "v") });
      }
      const sizes = [1_572_700, 1_572_900, 2_097_100, 2_097_139, 2_097_140, 2_097_141, 3_000_000];
      for (const size of sizes) {
        const value = Buffer.alloc(size, "v");
        yield call("Put", { key: bytes("s/a"), value });
        yield write({ request: { $case: "requestPut", requestPut: { ...put("s/a"), value } } });
        yield call("Range", { key: bytes("s/b"), rangeEnd: value });
        yield call("DeleteRange", { key: bytes("s/b"), rangeEnd: value });
        yield call("Txn", txn({ success: [op.range("s/b", "v".repeat(size))] }));
      }
      yield call("DeleteRange", deleteRange("s/a"));
    },
  },
  {
    name: "sort options that are not known",
    *steps() {
      yield call("Put", put("t/a"));
      for (const sortOrder of [-1, 3] as unknown as 0[]) {
        yield call("Range", range("t/", "t0", { sortOrder }));
        yield call("Txn", txn({ success: [op.range("t/", "t0", { sortOrder })] }));
      }
    },
  },
  {
    name: "what is no message, no call, no method, no service",
    *steps() {
      const path = "/etcdserverpb.KV/Range";
      const key = Buffer.from("\n\x01a");
      yield { kind: "messages", path, messages: [key, key] };
      yield { kind: "bytes", path, bytes: bytes("\x08\x01") };
      for (const malformed of ["\n", "\n\x02a", "\x0d\0\0\0\0", "\0", "\x0c", "\x0f", "\xff"]) {
        const message = bytes(malformed);
        yield { kind: "bytes", path, bytes: message };
        yield { kind: "bytes", path, bytes: Buffer.concat([key, message]) };
        for (const stream of streamPaths)
          yield { kind: "streamBytes", path: stream, bytes: message };
      }
      const paths = ["KV/Nothing", "KV/", "KV", "Nothing/Range", "", "KV/Range/", "/KV/Range"];
      for (const end of paths) yield { kind: "bytes", path: `/etcdserverpb.${end}`, bytes: key };
    },
  },
];

function leaseIs(lease: bigint): Partial<pb.Compare> {
  return { target: 4, result: 0, targetUnion: { $case: "lease", lease } };
}

const targets = { version: 0, createRevision: 1, modRevision: 2, lease: 4 } as const;

function operand(field: keyof typeof targets, value: bigint): Partial<pb.Compare> {
  const targetUnion = { $case: field, [field]: value } as unknown as pb.Compare["targetUnion"];
  return { target: targets[field], targetUnion };
}
