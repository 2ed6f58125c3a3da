/**
 * The requests that come most, from bytes to commands without a message in between. What is not as
 * clients usually write it is left to the generated codecs and convert.ts, which say what is wrong.
 */
import type * as pb from "../gen/etcdserverpb/rpc.ts";
import { byteStringOf, compact } from "../lib/bytes.ts";
import type {
  Compare,
  DeleteRangeCommand,
  Operation,
  PutCommand,
  RangeQuery,
  TxnCommand,
} from "../model/command.ts";
import { compareOf } from "./convert.ts";
import { bytesTag, FieldReader, varintTag } from "./protobuf.ts";

const noBytes: Uint8Array = new Uint8Array(0);

/** The PutRequest in bytes[from, to), whose value may be a view; undefined for one that is unusual. */
export function readPut(bytes: Uint8Array, from: number, to: number): PutCommand | undefined {
  const reader = new FieldReader(bytes, from, to);
  let key = "";
  let value = noBytes;
  let lease = 0n;
  let previous = false;
  while (reader.at < to) {
    const tag = bytes[reader.at++] as number;
    if (tag === bytesTag(1)) key = byteStringOf(bytes, reader.pass(), reader.at);
    else if (tag === bytesTag(2)) value = compact(bytes.subarray(reader.pass(), reader.at));
    else if (tag === varintTag(3)) lease = reader.varint64();
    else if (tag === varintTag(4)) previous = reader.varint() !== 0;
    else return undefined;
  }
  if (reader.hasFailed || key === "") return undefined;
  return { kind: "put", key, value, lease, previous, ignoreValue: false, ignoreLease: false };
}

/** The RangeRequest in bytes[from, to); undefined for one that is unusual. */
export function readRange(bytes: Uint8Array, from: number, to: number): RangeQuery | undefined {
  const reader = new FieldReader(bytes, from, to);
  let key = "";
  let end = "";
  let limit = 0;
  let revision = 0;
  let serializable = false;
  let keysOnly = false;
  let countOnly = false;
  while (reader.at < to) {
    const tag = bytes[reader.at++] as number;
    if (tag === bytesTag(1)) key = byteStringOf(bytes, reader.pass(), reader.at);
    else if (tag === bytesTag(2)) end = byteStringOf(bytes, reader.pass(), reader.at);
    else if (tag === varintTag(3)) limit = reader.varint();
    else if (tag === varintTag(4)) revision = reader.varint();
    else if (tag === varintTag(7)) serializable = reader.varint() !== 0;
    else if (tag === varintTag(8)) keysOnly = reader.varint() !== 0;
    else if (tag === varintTag(9)) countOnly = reader.varint() !== 0;
    else return undefined;
  }
  if (reader.hasFailed || key === "") return undefined;
  return {
    kind: "range",
    range: { key, end },
    limit,
    revision,
    sortOrder: "none",
    sortTarget: "key",
    serializable,
    keysOnly,
    countOnly,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
  };
}

/** The DeleteRangeRequest in bytes[from, to); undefined for one that is unusual. */
export function readDeleteRange(
  bytes: Uint8Array,
  from: number,
  to: number,
): DeleteRangeCommand | undefined {
  const reader = new FieldReader(bytes, from, to);
  let key = "";
  let end = "";
  let previous = false;
  while (reader.at < to) {
    const tag = bytes[reader.at++] as number;
    if (tag === bytesTag(1)) key = byteStringOf(bytes, reader.pass(), reader.at);
    else if (tag === bytesTag(2)) end = byteStringOf(bytes, reader.pass(), reader.at);
    else if (tag === varintTag(3)) previous = reader.varint() !== 0;
    else return undefined;
  }
  if (reader.hasFailed || key === "") return undefined;
  return { kind: "deleteRange", range: { key, end }, previous };
}

/** More comparisons than this are unusual. */
const comparesMax = 4;

/**
 * The TxnRequest in bytes[from, to); undefined for one that is unusual: it has several operations in
 * a branch, which may exclude each other, or a transaction in it.
 */
export function readTxn(bytes: Uint8Array, from: number, to: number): TxnCommand | undefined {
  const reader = new FieldReader(bytes, from, to);
  const compares: Compare[] = [];
  const success: Operation[] = [];
  const failure: Operation[] = [];
  while (reader.at < to) {
    const tag = bytes[reader.at++] as number;
    const begin = reader.pass();
    if (reader.hasFailed) return undefined;
    if (tag === bytesTag(1)) {
      const compare = readCompare(bytes, begin, reader.at);
      if (compare === undefined || compares.push(compare) > comparesMax) return undefined;
    } else {
      const branch = tag === bytesTag(2) ? success : failure;
      const operation = readOperation(bytes, begin, reader.at);
      const isUnusual = tag !== bytesTag(2) && tag !== bytesTag(3);
      if (isUnusual || operation === undefined || branch.push(operation) > 1) return undefined;
    }
  }
  return { kind: "txn", compares, success, failure };
}

function readOperation(bytes: Uint8Array, from: number, to: number): Operation | undefined {
  const reader = new FieldReader(bytes, from, to);
  if (from === to) return undefined;
  const tag = bytes[reader.at++] as number;
  const begin = reader.pass();
  if (reader.hasFailed || reader.at !== to) return undefined;
  if (tag === bytesTag(1)) return readRange(bytes, begin, to);
  if (tag === bytesTag(2)) return readPut(bytes, begin, to);
  return tag === bytesTag(3) ? readDeleteRange(bytes, begin, to) : undefined;
}

/** Of the fields that hold an operand, by number. */
const operands = { version: 4, createRevision: 5, modRevision: 6, value: 7, lease: 8 } as const;

function readCompare(bytes: Uint8Array, from: number, to: number): Compare | undefined {
  const reader = new FieldReader(bytes, from, to);
  let key = noBytes;
  let result: pb.Compare_CompareResult = 0;
  let target: pb.Compare_CompareTarget = 0;
  let targetUnion: pb.Compare["targetUnion"];
  while (reader.at < to) {
    const tag = bytes[reader.at++] as number;
    if (tag === varintTag(1)) result = reader.varint() as pb.Compare_CompareResult;
    else if (tag === varintTag(2)) target = reader.varint() as pb.Compare_CompareTarget;
    else if (tag === bytesTag(3)) key = bytes.subarray(reader.pass(), reader.at);
    else if (tag === varintTag(operands.version)) {
      targetUnion = { $case: "version", version: reader.varint64() };
    } else if (tag === varintTag(operands.createRevision)) {
      targetUnion = { $case: "createRevision", createRevision: reader.varint64() };
    } else if (tag === varintTag(operands.modRevision)) {
      targetUnion = { $case: "modRevision", modRevision: reader.varint64() };
    } else if (tag === bytesTag(operands.value)) {
      targetUnion = { $case: "value", value: bytes.subarray(reader.pass(), reader.at) };
    } else if (tag === varintTag(operands.lease)) {
      targetUnion = { $case: "lease", lease: reader.varint64() };
    } else return undefined;
  }
  if (reader.hasFailed || key.length === 0) return undefined;
  return compareOf({ result, target, key, rangeEnd: noBytes, targetUnion });
}
