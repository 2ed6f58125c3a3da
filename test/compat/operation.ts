/**
 * What a differential run can do to a server. Operations are plain data: what a report prints can be
 * run again as it stands. A lease id that servers choose themselves is written as `chosenLease(n)`,
 * the n-th one they chose; each server is asked for what it calls that.
 */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import type { MessageType } from "../../src/rpc/service.ts";

const { compact, deleteRange, put, range, txn } = pb.KVDefinition.methods;
const { leaseGrant, leaseLeases, leaseRevoke, leaseTimeToLive } = pb.LeaseDefinition.methods;

/** The unary methods that are compared, by name. */
export const methods = {
  Range: { path: "/etcdserverpb.KV/Range", ...range },
  Put: { path: "/etcdserverpb.KV/Put", ...put },
  DeleteRange: { path: "/etcdserverpb.KV/DeleteRange", ...deleteRange },
  Txn: { path: "/etcdserverpb.KV/Txn", ...txn },
  Compact: { path: "/etcdserverpb.KV/Compact", ...compact },
  LeaseGrant: { path: "/etcdserverpb.Lease/LeaseGrant", ...leaseGrant },
  LeaseRevoke: { path: "/etcdserverpb.Lease/LeaseRevoke", ...leaseRevoke },
  LeaseTimeToLive: { path: "/etcdserverpb.Lease/LeaseTimeToLive", ...leaseTimeToLive },
  LeaseLeases: { path: "/etcdserverpb.Lease/LeaseLeases", ...leaseLeases },
} as const;

export type MethodName = keyof typeof methods;

/** Bidirectional streams, for requests that are not messages. */
export const streamPaths = ["/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"];

/** A field number and a value beyond what the codecs write: appended to the message, so it wins. */
export type Extreme = readonly [field: number, value: bigint];

export interface CallOperation {
  readonly kind: "call";
  readonly method: MethodName;
  /** Fields; those left out are zero. */
  readonly request: object;
  readonly extremes?: readonly Extreme[];
}

export interface WatchOperation {
  readonly kind: "watch";
  readonly stream: number;
  readonly request: Partial<pb.WatchCreateRequest>;
  readonly extremes?: readonly Extreme[];
}

export type Operation =
  | CallOperation
  /** Bytes that may be no message, to a path that may not be served. */
  | { readonly kind: "bytes"; readonly path: string; readonly bytes: Uint8Array }
  /** Messages of a call of their own, however many the method takes. */
  | { readonly kind: "messages"; readonly path: string; readonly messages: readonly Uint8Array[] }
  /** Bytes as the first message of a stream of their own. */
  | { readonly kind: "streamBytes"; readonly path: string; readonly bytes: Uint8Array }
  /** Renewals of these leases, on one stream. */
  | { readonly kind: "keepAlive"; readonly leases: readonly bigint[] }
  /** A lease that would end soon by itself: granted and revoked at once. */
  | { readonly kind: "passingLease"; readonly lease: bigint; readonly ttl: number }
  /** Watch streams are numbered; one that is not open is opened. */
  | WatchOperation
  | { readonly kind: "unwatch"; readonly stream: number; readonly id: bigint }
  | { readonly kind: "progress"; readonly stream: number }
  /** A request that says nothing. */
  | { readonly kind: "silence"; readonly stream: number }
  | { readonly kind: "halfClose"; readonly stream: number }
  | { readonly kind: "hangUp"; readonly stream: number }
  /** A watch from the past, to the next change of its first key: all it is told is one answer. */
  | { readonly kind: "replay"; readonly request: Partial<pb.WatchCreateRequest> }
  /** Progress asked for on a stream without watches, or with this one that is to come, and again. */
  | { readonly kind: "progressInVain"; readonly watch?: Partial<pb.WatchCreateRequest> }
  /** Waits until a watch was told thrice, unasked, how far it is. */
  | { readonly kind: "notified"; readonly stream: number; readonly id: bigint }
  /** Waits for a change that nobody asks for. */
  | { readonly kind: "await" }
  /** Waits until every watch was told everything, and compares what they were told. */
  | { readonly kind: "settle" }
  /** As `settle`, and makes sure that no watch reads history any more. */
  | { readonly kind: "fence" };

const firstChosenLease = 0x5e5e_0000_0000_0000n;

/** The name of the n-th lease whose id the servers chose. */
export function chosenLease(n: number): bigint {
  return firstChosenLease + BigInt(n);
}

export function isChosenLease(lease: bigint): boolean {
  return lease >= firstChosenLease && lease < firstChosenLease + 0x1_0000_0000n;
}

/** The method an operation calls, and its request. */
export function subjectOf(operation: Operation): [name: string, request: object] {
  if (operation.kind === "call") return [operation.method, operation.request];
  if (operation.kind === "watch") return [operation.kind, effective(operation)];
  if (operation.kind !== "bytes") return [operation.kind, operation];
  for (const [name, { path, requestType }] of Object.entries(methods)) {
    if (path !== operation.path) continue;
    try {
      return [name, requestType.decode(operation.bytes)];
    } catch {
      // Malformed: what it was to ask for is not to be known.
    }
  }
  return [operation.kind, operation];
}

/** A request for a watch as servers take it: with its extremes, as near as numbers come. */
export function effective({ extremes = [], request }: Omit<WatchOperation, "stream">) {
  if (extremes.length === 0) return request;
  return pb.WatchCreateRequest.decode(encode(pb.WatchCreateRequest, request, extremes));
}

/** The bytes of a message of which some fields are given. */
export function encode(
  type: MessageType<unknown>,
  fields: object,
  extremes: readonly Extreme[] = [],
): Buffer {
  const message = { ...(type.decode(new Uint8Array(0)) as object), ...fields };
  const tail = extremes.flatMap(([field, value]) => [
    ...varint(BigInt(field) << 3n),
    ...varint(BigInt.asUintN(64, value)),
  ]);
  return Buffer.concat([type.encode(message).finish(), Buffer.from(tail)]);
}

function varint(value: bigint): number[] {
  const low = Number(value & 0x7fn);
  return value < 0x80n ? [low] : [low | 0x80, ...varint(value >> 7n)];
}

/** The message in `bytes`. Throws when our codec would not make the same bytes of it again. */
export function decodeExactly<T>(type: MessageType<T>, bytes: Uint8Array): T {
  const message = type.decode(bytes);
  if (!Buffer.from(type.encode(message).finish()).equals(bytes)) {
    throw new Error(`a response says more than is decoded: ${Buffer.from(bytes).toString("hex")}`);
  }
  return message;
}
