import { describe, expect, test } from "bun:test";
import {
  Compare,
  LeaseGrantRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  ResponseHeader,
  StatusResponse,
  TxnRequest,
  WatchCreateRequest,
  WatchResponse,
} from "../../src/gen/etcdserverpb/rpc.ts";
import { HealthCheckResponse, HealthDefinition } from "../../src/gen/grpc/health/v1/health.ts";

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));

test("the health service answers with its status in field 1", () => {
  expect(HealthDefinition.fullName).toBe("grpc.health.v1.Health");
  expect(HealthCheckResponse.encode({ status: 1 }).finish()).toEqual(hex("0801"));
});

test.each([
  ["a number", "08 01"],
  ["64 bits", "09 0000000000000000"],
  ["32 bits", "0d 00000000"],
])("a key that is %s is malformed", (_, bytes) => {
  expect(() => PutRequest.decode(hex(bytes))).toThrow("wrong wire type");
});

test("a filter may come packed or not, and in no other wire type", () => {
  for (const bytes of ["28 01", "2a 01 01"]) {
    expect(WatchCreateRequest.decode(hex(bytes)).filters).toEqual([1]);
  }
  expect(() => WatchCreateRequest.decode(hex("2d 00000000"))).toThrow("wrong wire type");
});

describe("numbers", () => {
  const most = "ffffffffffffffff7f";
  const least = "80808080808080808001";

  test.each([
    ["the largest", `20 ${most}`, Number.MAX_SAFE_INTEGER],
    ["the smallest", `20 ${least}`, Number.MIN_SAFE_INTEGER],
    ["minus one", "20 ffffffffffffffffff01", -1],
    ["2^32", "20 8080808010", 2 ** 32],
    ["2^53 - 1", "20 ffffffffffffff0f", Number.MAX_SAFE_INTEGER],
    ["2^53", "20 8080808080808010", Number.MAX_SAFE_INTEGER],
  ])("a revision of %s decodes to the nearest safe number", (_, bytes, expected) => {
    expect(RangeRequest.decode(hex(bytes)).revision).toBe(expected);
  });

  test("an unsigned number with its top bit set is large, not negative", () => {
    expect(ResponseHeader.decode(hex("20 ffffffffffffffffff01")).raftTerm).toBe(
      Number.MAX_SAFE_INTEGER,
    );
  });

  test.each([
    0,
    1,
    -1,
    127,
    128,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ])("%d survives as a TTL", (TTL) => {
    const bytes = LeaseGrantRequest.encode({ TTL, ID: 0n }).finish();
    expect(LeaseGrantRequest.decode(bytes)).toEqual({ TTL, ID: 0n });
  });

  test.each([1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)])("%s survives as a lease id", (ID) => {
    const bytes = LeaseGrantRequest.encode({ TTL: 0, ID }).finish();
    expect(LeaseGrantRequest.decode(bytes)).toEqual({ TTL: 0, ID });
  });

  test("a member id may use all 64 bits", () => {
    const header = { clusterId: 2n ** 64n - 1n, memberId: 2n ** 63n, revision: 7, raftTerm: 3 };
    expect(ResponseHeader.decode(ResponseHeader.encode(header).finish())).toEqual(header);
  });

  test("an operand of a comparison keeps all 64 bits", () => {
    const { targetUnion } = Compare.decode(hex(`30 ${most}`));
    expect(targetUnion).toEqual({ $case: "modRevision", modRevision: 2n ** 63n - 1n });
  });
});

describe("the wire", () => {
  test("a put is written in the order of its fields, zeros left out", () => {
    const put = {
      key: hex("6b"),
      value: hex("7631"),
      lease: 5n,
      prevKv: true,
      ignoreValue: false,
      ignoreLease: false,
    };
    expect(PutRequest.encode(put).finish()).toEqual(hex("0a016b 12027631 1805 2001"));
  });

  test("the events of a watch response are field 11, the range end of a comparison 64", () => {
    const response = WatchResponse.decode(hex("5a 0b 08 01 12 07 0a 01 6b 18 09 20 02"));
    expect(response.events).toHaveLength(1);
    expect(response.events[0]?.kv).toMatchObject({ modRevision: 9, version: 2 });
    expect(Compare.decode(hex("820401 7a")).rangeEnd).toEqual(hex("7a"));
  });

  test("filters are read packed and one by one", () => {
    expect(WatchCreateRequest.decode(hex("2a020001")).filters).toEqual([0, 1]);
    expect(WatchCreateRequest.decode(hex("2800 2801")).filters).toEqual([0, 1]);
  });

  test("an enum value nobody knows arrives as its number", () => {
    expect(RangeRequest.decode(hex("2809")).sortOrder).toBe(9 as never);
  });

  test("fields nobody knows are passed over", () => {
    expect(StatusResponse.decode(hex("f80101 6a020801 fa0103616263")).downgradeInfo).toEqual({
      enabled: true,
      targetVersion: "",
    });
  });

  test("bytes are a view of the message, not a copy", () => {
    const bytes = hex("0a016b");
    expect(PutRequest.decode(bytes).key.buffer).toBe(bytes.buffer);
  });

  test("a txn nests as deep as a txn has operations", () => {
    let bytes: Uint8Array = new Uint8Array(0);
    for (let depth = 0; depth < 128; depth++) {
      const inner = TxnRequest.decode(bytes);
      const operation = { request: { $case: "requestTxn" as const, requestTxn: inner } };
      bytes = TxnRequest.encode({ compare: [], success: [operation], failure: [] }).finish();
    }
    expect(TxnRequest.decode(bytes).success).toHaveLength(1);
  });
});

describe("malformed", () => {
  test.each([
    ["a field number of zero", "00"],
    ["a field number of zero with a wire type", "0201"],
    ["a stray end of group", "0c"],
    ["an unknown wire type", "0e"],
    ["a length beyond the end", "0a056b"],
    ["a varint without an end", "20ffffffffffffffffffff01"],
    ["a varint that is cut", "2080"],
    ["a fixed number that is cut", "a10601"],
    ["an unknown field that is cut", "fa0105"],
    ["a tag of more than 32 bits that looks like a known field", "8a80808010 016b"],
    ["a tag of 64 bits", "a8ffffffffffffffff01 01"],
    ["a length of more than 32 bits", "0a818080808001 6b"],
    ["an unknown field's length of more than 32 bits", "c23b8080808080af5e"],
  ])("%s is an error", (_, bytes) => {
    expect(() => RangeRequest.decode(hex(bytes))).toThrow();
  });

  test.each([
    ["a field that runs past its message", "0a 02 0a 05 6b 31 32 33 34"],
    ["a message that runs past the one around it", "22 04 0a 05 0a 01 6b 10 01"],
    ["an unknown field that runs past its message", "0a 03 2a 04 00 00 00 00"],
  ])("%s is an error", (_, bytes) => {
    expect(() => RequestOp.decode(hex(bytes))).toThrow();
  });
});
