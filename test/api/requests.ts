/** Requests as short as they can be written. */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";

const nothing = new Uint8Array(0);

/** The bytes of a latin1 text. */
export const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

export function range(key: string, end = "", more: Partial<pb.RangeRequest> = {}): pb.RangeRequest {
  return {
    ...pb.RangeRequest.decode(nothing),
    key: bytes(key),
    rangeEnd: bytes(end),
    ...more,
  };
}

export function put(key: string, value = "", more: Partial<pb.PutRequest> = {}): pb.PutRequest {
  return { ...pb.PutRequest.decode(nothing), key: bytes(key), value: bytes(value), ...more };
}

export function deleteRange(key: string, end = "", prevKv = false): pb.DeleteRangeRequest {
  return { key: bytes(key), rangeEnd: bytes(end), prevKv };
}

export function txn(more: Partial<pb.TxnRequest> = {}): pb.TxnRequest {
  return { compare: [], success: [], failure: [], ...more };
}

/** A comparison of `key` exists, that is its create revision is not 0. */
export function compare(key: string, more: Partial<pb.Compare> = {}): pb.Compare {
  return { ...pb.Compare.decode(nothing), key: bytes(key), ...more };
}

export const op = {
  range: (...args: Parameters<typeof range>): pb.RequestOp => ({
    request: { $case: "requestRange", requestRange: range(...args) },
  }),
  put: (...args: Parameters<typeof put>): pb.RequestOp => ({
    request: { $case: "requestPut", requestPut: put(...args) },
  }),
  delete: (...args: Parameters<typeof deleteRange>): pb.RequestOp => ({
    request: { $case: "requestDeleteRange", requestDeleteRange: deleteRange(...args) },
  }),
  txn: (...args: Parameters<typeof txn>): pb.RequestOp => ({
    request: { $case: "requestTxn", requestTxn: txn(...args) },
  }),
  /** An operation that says nothing. */
  nothing: (): pb.RequestOp => ({ request: undefined }),
};
