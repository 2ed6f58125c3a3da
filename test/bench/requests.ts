/** The requests of the benchmarks, encoded. */
import {
  CompactionRequest,
  Compare_CompareResult,
  Compare_CompareTarget,
  PutRequest,
  RangeRequest,
  TxnRequest,
  WatchCreateRequest,
  WatchRequest,
} from "../../src/gen/etcdserverpb/rpc.ts";
import { bytesOf } from "../../src/lib/bytes.ts";
import { valueFor } from "./keys.ts";

export const paths = {
  range: "/etcdserverpb.KV/Range",
  put: "/etcdserverpb.KV/Put",
  txn: "/etcdserverpb.KV/Txn",
  compact: "/etcdserverpb.KV/Compact",
  watch: "/etcdserverpb.Watch/Watch",
} as const;

const nothing = new Uint8Array(0);
const zeroPut = PutRequest.decode(nothing);
const zeroRange = RangeRequest.decode(nothing);
const zeroTxn = TxnRequest.decode(nothing);
const zeroWatch = WatchCreateRequest.decode(nothing);

/** A put of the value with this number. */
export function putRequest(key: string, number: number): Uint8Array {
  return PutRequest.encode(putOf(key, number)).finish();
}

/** A read of one key, or of those from it up to `end`, at most `limit` of them. */
export function rangeRequest(key: string, end = "", limit = 0): Uint8Array {
  const range = { ...zeroRange, key: bytesOf(key), rangeEnd: bytesOf(end), limit };
  return RangeRequest.encode(range).finish();
}

/** A put that happens if the key is there. */
export function compareAndPutRequest(key: string, number: number): Uint8Array {
  const compare = {
    result: Compare_CompareResult.GREATER,
    target: Compare_CompareTarget.VERSION,
    key: bytesOf(key),
    targetUnion: { $case: "version", version: 0n },
    rangeEnd: nothing,
  } as const;
  const success = [requestPut(key, number)];
  return TxnRequest.encode({ ...zeroTxn, compare: [compare], success }).finish();
}

/** Puts in one transaction: keys and the numbers of their values. */
export function putAllRequest(puts: readonly (readonly [string, number])[]): Uint8Array {
  const success = puts.map(([key, number]) => requestPut(key, number));
  return TxnRequest.encode({ ...zeroTxn, success }).finish();
}

/** Answered when what fell below `revision` is gone from the disk. */
export function compactRequest(revision: number): Uint8Array {
  return CompactionRequest.encode({ revision, physical: true }).finish();
}

/** Begins to watch one key. */
export function watchRequest(key: string): Uint8Array {
  const createRequest = { ...zeroWatch, key: bytesOf(key) };
  const requestUnion = { $case: "createRequest", createRequest } as const;
  return WatchRequest.encode({ requestUnion }).finish();
}

function requestPut(key: string, number: number) {
  return { request: { $case: "requestPut", requestPut: putOf(key, number) } } as const;
}

function putOf(key: string, number: number): PutRequest {
  return { ...zeroPut, key: bytesOf(key), value: valueFor(number) };
}
