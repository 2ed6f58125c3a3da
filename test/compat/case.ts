/** A case that is written down, and the words to write it in. */
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { prefixEnd } from "../../src/lib/bytes.ts";
import { bytes, txn } from "../api/requests.ts";
import type { Extreme, MethodName, Operation } from "./operation.ts";
import type { World } from "./world.ts";

export interface Case {
  readonly name: string;
  /**
   * Operations; each is made when the one before it is done. A case has keys of its own below a
   * prefix and hangs its streams up, so that cases do not meet.
   */
  readonly steps: (world: World) => Iterable<Operation>;
}

export const call = (method: MethodName, request: object, ...extremes: Extreme[]): Operation => ({
  kind: "call",
  method,
  request,
  extremes,
});

/** A transaction of these operations. */
export const write = (...operations: pb.RequestOp[]) => call("Txn", txn({ success: operations }));

/** A watch of all keys with a prefix, on the first stream unless another is given. */
export const watch = (
  key: string,
  request: Partial<pb.WatchCreateRequest> = {},
  stream = 0,
): Operation => ({
  kind: "watch",
  stream,
  request: { key: bytes(key), rangeEnd: bytes(prefixEnd(key) ?? "\0"), ...request },
});

export const hangUp: Operation = { kind: "hangUp", stream: 0 };
export const settle: Operation = { kind: "settle" };
