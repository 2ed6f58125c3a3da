/** Operations that random writers ask for: each can be sent, and says what it changes. */
import {
  Compare_CompareTarget,
  type KVDefinition,
  type LeaseDefinition,
  type TxnResponse,
} from "../../src/gen/etcdserverpb/rpc.ts";
import type { KeyValue } from "../../src/gen/mvccpb/kv.ts";
import { bytesOf } from "../../src/lib/bytes.ts";
import { compare, op } from "../api/requests.ts";
import type { Unary } from "../support/client.ts";
import {
  type Answer,
  type Change,
  fingerprint,
  type Kept,
  keptOf,
  keptText,
  type Operation,
  type State,
} from "./history.ts";

export interface Stubs {
  readonly kv: Unary<typeof KVDefinition>;
  readonly lease: Unary<typeof LeaseDefinition>;
}

/** An operation with the call that asks for it. */
export interface Request extends Operation {
  send(stubs: Stubs): Promise<Answer>;
}

const deadlineMs = 60_000;
const options = { deadlineMs };

export interface Put {
  readonly key: string;
  readonly value: Uint8Array;
  readonly lease: bigint;
}

function changeOf({ key, lease, value }: Put): Change {
  return { key, put: { value: fingerprint(value), lease } };
}

export function put(given: Put): Request {
  const { key, lease, value } = given;
  return {
    name: `put ${key} ${fingerprint(value)}`,
    changes: () => [changeOf(given)],
    send: async ({ kv }) => {
      const request = { key: bytesOf(key), value, lease, prevKv: true };
      const { header, prevKv } = await kv.put(request, options);
      return { header, lie: (before) => differs(before.get(key), prevKv) };
    },
  };
}

/** Deletes `key`, or the keys from it up to `end`. */
export function remove(key: string, end = ""): Request {
  return {
    name: `delete ${key} ${end}`,
    changes: (state) => within(state, key, end).map((found) => ({ key: found.key })),
    send: async ({ kv }) => {
      const request = { key: bytesOf(key), rangeEnd: bytesOf(end), prevKv: true };
      const { deleted, header, prevKvs } = await kv.deleteRange(request, options);
      const lie = (before: State) =>
        deleted === prevKvs.length
          ? listDiffers(within(before, key, end), prevKvs)
          : `${deleted} were deleted, ${prevKvs.length} shown`;
      return { header, lie };
    },
  };
}

/** Reads `key`, or the keys from it up to `end`. */
export function read(key: string, end: string, serializable: boolean): Request {
  return {
    name: `read ${key} ${end}`,
    changes: () => [],
    send: async ({ kv }) => {
      const request = { key: bytesOf(key), rangeEnd: bytesOf(end), serializable };
      const { count, header, kvs } = await kv.range(request, options);
      const lie = (at: State) =>
        count === kvs.length
          ? listDiffers(within(at, key, end), kvs)
          : `${kvs.length} keys of ${count}`;
      return { header, lie };
    },
  };
}

/** If `guard` was last modified at `revision`: the puts and the deletion; else the guard is read. */
export function swap(
  guard: string,
  revision: number,
  puts: readonly Put[],
  removed: string,
): Request {
  const holds = (state: State) => (state.get(guard)?.mod ?? 0) === revision;
  return {
    name: `swap ${guard} of ${revision}`,
    changes: (state) => {
      if (!holds(state)) return [];
      return [...puts.map(changeOf), ...(state.has(removed) ? [{ key: removed }] : [])];
    },
    send: async ({ kv }) => {
      const target = Compare_CompareTarget.MOD;
      const targetUnion = { $case: "modRevision", modRevision: BigInt(revision) } as const;
      const success = puts.map(({ key, lease, value }) =>
        op.put(key, Buffer.from(value).toString("latin1"), { lease }),
      );
      const request = {
        compare: [compare(guard, { target, targetUnion })],
        success: [...success, op.delete(removed)],
        failure: [op.range(guard)],
      };
      const response = await kv.txn(request, options);
      const lie = (before: State) =>
        response.succeeded === holds(before)
          ? swapDiffers(response, before.get(guard), before.has(removed))
          : `${response.succeeded ? "success" : "failure"}`;
      return { header: response.header, lie };
    },
  };
}

export function grant(id: bigint, ttlSeconds: number): Request {
  return {
    name: `grant ${id}`,
    changes: () => [],
    lease: { id, ttlSeconds },
    send: async ({ lease }) => {
      const { header, TTL } = await lease.leaseGrant({ ID: id, TTL: ttlSeconds }, options);
      return { header, lie: () => (TTL === ttlSeconds ? undefined : `a TTL of ${TTL}`) };
    },
  };
}

export function revoke(id: bigint): Request {
  return {
    name: `revoke ${id}`,
    changes: (state) => {
      const attached = [...state.values()].filter(({ lease }) => lease === id);
      return attached.map(({ key }) => ({ key })).sort((a, b) => (a.key < b.key ? -1 : 1));
    },
    lease: { id },
    send: async ({ lease }) => {
      const { header } = await lease.leaseRevoke({ ID: id }, options);
      return { header, lie: () => undefined };
    },
  };
}

/** The keys of a state in a range as requests name it, in order. */
export function within(state: State, key: string, end: string): Kept[] {
  if (end === "") return [state.get(key)].filter((kept) => kept !== undefined);
  const found = [...state.values()].filter((kept) => kept.key >= key && kept.key < end);
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

function swapDiffers(
  { responses, succeeded }: TxnResponse,
  guard: Kept | undefined,
  removes: boolean,
): string | undefined {
  const last = responses.at(-1)?.response;
  if (succeeded) {
    const deleted = last?.$case === "responseDeleteRange" ? last.responseDeleteRange.deleted : -1;
    return deleted === Number(removes) ? undefined : `${deleted} deleted`;
  }
  if (last?.$case !== "responseRange") return "nothing about the guard";
  return differs(guard, last.responseRange.kvs[0]);
}

/** How a key that was shown is not the one that there was. */
export function differs(kept: Kept | undefined, shown: KeyValue | undefined): string | undefined {
  const was = kept === undefined ? "nothing" : keptText(kept);
  const told = shown === undefined ? "nothing" : keptText(keptOf(shown));
  return was === told ? undefined : `${told} where there was ${was}`;
}

/** How a list of keys that was shown is not the one that there was. */
export function listDiffers(kept: readonly Kept[], shown: readonly KeyValue[]): string | undefined {
  if (kept.length !== shown.length) return `${shown.length} keys where there were ${kept.length}`;
  for (const [at, each] of kept.entries()) {
    const difference = differs(each, shown[at]);
    if (difference !== undefined) return difference;
  }
  return undefined;
}
