/**
 * Responses of two servers made comparable: what each server chooses for itself gets a common name,
 * bytes become text, and what etcd leaves to chance (the order of ties and of attached keys) is put
 * into one order.
 */
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { byteStringOf } from "../../src/lib/bytes.ts";

/** What a server has that others cannot have. */
export interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: number;
  /** What this server calls the leases whose ids it chose. */
  readonly leases: ReadonlyMap<bigint, bigint>;
}

// biome-ignore lint/suspicious/noExplicitAny: any message; what is read of it is checked by comparison
export type Plain = any;

/** Keys stay whole: watches are judged by them. */
const wholeBytesMax = 1024;

/** A copy of a message without what only this server can say. */
export function plainOf(value: unknown, identity: Identity, field = ""): Plain {
  if (value instanceof Uint8Array) return textOf(value);
  if (Array.isArray(value)) {
    const list = value.map((item) => plainOf(item, identity));
    return field === "keys" ? list.sort() : list;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
    return Object.fromEntries(entries.map(([key, inner]) => [key, plainOf(inner, identity, key)]));
  }
  if (field === "clusterId" && value === identity.clusterId) return "this cluster";
  if (field === "memberId" && value === identity.memberId) return "this member";
  if (field === "raftTerm" && value === identity.raftTerm) return "this term";
  if (field === "lease" || field === "ID") return identity.leases.get(value as bigint) ?? value;
  return value;
}

function textOf(bytes: Uint8Array): string {
  if (bytes.length <= wholeBytesMax) return byteStringOf(bytes);
  return `${byteStringOf(bytes, 0, 16)}… ${bytes.length} bytes, hash ${Bun.hash(bytes)}`;
}

/** Answers to ranges have ties in one order; others are as they are. */
export function settleTies(method: string, request: object, response: Plain): void {
  if (method === "Range") settleRange(request as Partial<pb.RangeRequest>, response);
  if (method === "Txn") settleTxn(request as Partial<pb.TxnRequest>, response);
}

function settleTxn(request: Partial<pb.TxnRequest>, response: Plain): void {
  const taken = (response.succeeded ? request.success : request.failure) ?? [];
  for (const [at, step] of taken.entries()) {
    const inner = response.responses[at]?.response;
    if (step.request?.$case === "requestRange" && inner?.responseRange) {
      settleRange(step.request.requestRange, inner.responseRange);
    }
    if (step.request?.$case === "requestTxn" && inner?.responseTxn) {
      settleTxn(step.request.requestTxn, inner.responseTxn);
    }
  }
}

/** Go sorts as many as these by insertion, which leaves ties in their order. */
const stableMax = 12;

const sortFields: readonly string[] = ["key", "version", "createRevision", "modRevision", "value"];

function settleRange(request: Partial<pb.RangeRequest>, response: Plain): void {
  const field = sortFields[request.sortTarget ?? 0] ?? "key";
  if (field === "key" || response.count <= stableMax) return;
  const byKey = (a: Plain, b: Plain) => (a.key < b.key ? -1 : 1);
  if (field === "value" && request.keysOnly) {
    // What the order was made by is not told.
    if (response.more) response.kvs = response.kvs.length;
    else response.kvs.sort(byKey);
    return;
  }
  const groups: Plain[][] = [];
  for (const kv of response.kvs) {
    const group = groups.at(-1);
    if (group?.[0][field] === kv[field]) group?.push(kv);
    else groups.push([kv]);
  }
  const last = groups.at(-1);
  response.kvs = groups.map((group) =>
    // Which of the last ties are cut off is left to chance as well.
    response.more && group === last ? group.length : group.sort(byKey),
  );
}
