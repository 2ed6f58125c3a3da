/** Random operations, aimed by what is known of the servers. The same seed makes the same ones. */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { prefixEnd } from "../../src/lib/bytes.ts";
import { Dice } from "./dice.ts";
import {
  type CallOperation,
  type Extreme,
  encode,
  type MethodName,
  methods,
  type Operation,
  streamPaths,
} from "./operation.ts";
import type { Pair } from "./pair.ts";
import { killsEtcd, knownLeases, Requests } from "./requests.ts";
import type { World } from "./world.ts";

const streamsMax = 4;
const watchesPerStream = 5;
const leasesMax = 12;
/** So long that none ends in a run, and so far apart that their order is clear. */
const ttls = [100_000, 200_000, 1_000_000, 9_000_000_000];

export class Generator {
  readonly #dice: Dice;
  readonly #world: World;
  readonly #streams: ReadonlyMap<number, Pair>;
  readonly #requests: Requests;
  /** What is to come next, whatever chance says. */
  readonly #next: Operation[] = [];

  constructor(seed: number, world: World, streams: ReadonlyMap<number, Pair>) {
    this.#dice = new Dice(seed);
    this.#world = world;
    this.#streams = streams;
    this.#requests = new Requests(this.#dice, world);
  }

  operation(): Operation {
    const next = this.#next.shift();
    if (next !== undefined) return next;
    const make = this.#dice.weighted<() => Operation>([
      [240, () => this.#range()],
      [240, () => call("Put", this.#requests.put(), this.#requests.extremes([3]))],
      [80, () => call("DeleteRange", this.#requests.deleteRange())],
      [200, () => call("Txn", this.#requests.txn(this.#dice.below(4)))],
      [8, () => this.#compact()],
      [40, () => this.#grant()],
      [20, () => call("LeaseRevoke", { ID: this.#lease() })],
      [25, () => call("LeaseTimeToLive", { ID: this.#lease(), keys: !this.#dice.oneIn(3) })],
      [10, () => call("LeaseLeases", {})],
      [15, () => this.#keepAlive()],
      [60, () => this.#watch()],
      [25, () => this.#unwatch()],
      [20, () => ({ kind: "progress", stream: this.#stream() })],
      [3, () => ({ kind: "silence", stream: this.#stream() })],
      [4, () => ({ kind: "halfClose", stream: this.#stream() })],
      [10, () => ({ kind: "hangUp", stream: this.#stream() })],
      [15, () => ({ kind: "settle" })],
      [30, () => this.#damaged()],
      [5, () => this.#nowhere()],
      [3, () => this.#damagedStream()],
      [1, () => this.#tooLarge()],
      [1, () => this.#large()],
    ]);
    return make();
  }

  #range(): Operation {
    const extremes = this.#requests.extremes([3, 4, 10, 11, 12, 13]);
    return call("Range", this.#requests.range(), extremes);
  }

  #compact(): Operation {
    const { compactRevision, revision } = this.#world;
    const dice = this.#dice;
    const at = dice.weighted([
      [6, Math.max(1, revision - dice.below(30))],
      [1, revision],
      [1, compactRevision],
      [1, compactRevision - 1],
      [1, compactRevision + 1],
      [1, revision + 1],
      [1, 0],
      [1, -1],
    ]);
    const extremes = this.#requests.extremes([1]);
    return call("Compact", { revision: at, physical: dice.oneIn(2) }, extremes);
  }

  #lease(): bigint {
    return this.#requests.lease();
  }

  #grant(): Operation {
    const dice = this.#dice;
    const { leases } = this.#world;
    if (leases.size >= leasesMax) return call("LeaseRevoke", { ID: dice.pick([...leases.keys()]) });
    const ID = dice.weighted([
      [3, 0n],
      [4, dice.pick(knownLeases)],
      [1, 1n + BigInt(dice.below(9))],
    ]);
    if (!dice.oneIn(3)) {
      const extremes: Extreme[] = dice.oneIn(20) ? [[1, 2n ** 63n - 1n]] : [];
      return call("LeaseGrant", { ID, TTL: dice.pick([...ttls, 9_000_000_001]) }, extremes);
    }
    const exists = leases.has(ID);
    const ttl = dice.pick([-1, 0, 1, 2, -(2 ** 40)]);
    return exists ? call("LeaseGrant", { ID, TTL: ttl }) : { kind: "passingLease", lease: ID, ttl };
  }

  #keepAlive(): Operation {
    const count = this.#dice.oneIn(10) ? 0 : 1 + this.#dice.below(4);
    return { kind: "keepAlive", leases: this.#dice.many(count, () => this.#lease()) };
  }

  #stream(): number {
    return this.#dice.below(streamsMax);
  }

  #watch(): Operation {
    const dice = this.#dice;
    const stream = this.#stream();
    const open = this.#streams.get(stream);
    if (open !== undefined && open.watches.size + open.compacted.size >= watchesPerStream) {
      return this.#unwatch();
    }
    const key = dice.oneIn(12) ? "" : this.#requests.key();
    const end = dice.oneIn(5) ? (prefixEnd(key) ?? "\0") : this.#requests.end(key);
    const filters = dice.weighted<number[]>([
      [6, []],
      [1, [0]],
      [1, [1]],
      [1, [0, 1]],
      [1, [7]],
    ]);
    const request: Partial<pb.WatchCreateRequest> = {
      key: Buffer.from(key, "latin1"),
      rangeEnd: Buffer.from(end, "latin1"),
      startRevision: this.#startRevision(),
      filters: filters as (0 | 1)[],
      prevKv: dice.oneIn(2),
      progressNotify: dice.oneIn(4),
      fragment: dice.oneIn(3),
      watchId: dice.weighted([
        [5, 0n],
        [1, 1n],
        [1, 3n],
        [1, -7n],
        [1, 2n ** 63n - 1n],
      ]),
    };
    return { kind: "watch", stream, request, extremes: this.#requests.extremes([3]) };
  }

  #startRevision(): number {
    const { compactRevision, revision } = this.#world;
    const { below, weighted } = { below: (n: number) => this.#dice.below(n), weighted: this.#dice };
    return weighted.weighted([
      [8, 0],
      [2, revision],
      [2, revision + 1],
      [2, revision + 2 + below(20)],
      [6, Math.max(1, revision - below(200))],
      [1, compactRevision + 1],
      [1, compactRevision],
      [1, compactRevision - 1],
      [1, 1],
      [1, -1],
    ]);
  }

  #unwatch(): Operation {
    const stream = this.#stream();
    const open = this.#streams.get(stream);
    const ids = [...(open?.watches.keys() ?? []), ...(open?.compacted ?? [])];
    const id = ids.length === 0 || this.#dice.oneIn(8) ? 77n : this.#dice.pick(ids);
    return { kind: "unwatch", stream, id };
  }

  /** A request some bytes of which are others. */
  #damaged(): Operation {
    const dice = this.#dice;
    const [method, request] = dice.weighted<readonly [MethodName, object]>([
      [2, ["Range", this.#requests.range()]],
      [2, ["Put", this.#requests.put()]],
      [1, ["DeleteRange", this.#requests.deleteRange()]],
      [3, ["Txn", this.#requests.txn(1)]],
    ]);
    const bytes = this.#damage(encode(methods[method].requestType, request));
    const { path } = methods[method];
    return isHarmless(method, bytes) ? { kind: "bytes", path, bytes } : call(method, request);
  }

  #damage(bytes: Buffer): Buffer {
    const dice = this.#dice;
    const damaged = Buffer.from(bytes);
    for (let left = 1 + dice.below(3); left > 0 && damaged.length > 0; left--) {
      const at = dice.below(damaged.length);
      damaged[at] = dice.oneIn(2) ? dice.below(256) : (damaged[at] ?? 0) ^ (1 << dice.below(8));
    }
    if (dice.oneIn(3)) return damaged.subarray(0, dice.below(damaged.length + 1));
    if (dice.oneIn(4))
      return Buffer.concat([damaged, Buffer.from(dice.many(3, () => dice.below(256)))]);
    return damaged;
  }

  #nowhere(): Operation {
    const path = this.#dice.pick([
      ...["/etcdserverpb.KV/Nothing", "/etcdserverpb.KV/", "/etcdserverpb.KV/range"],
      ...[
        "/etcdserverpb.Nothing/Range",
        "/etcdserverpb/Range",
        "/kv/Range",
        "/etcdserverpb.kv/Range",
      ],
    ]);
    return { kind: "bytes", path, bytes: Buffer.from(this.#dice.pick(["", "\n\x01a", "junk"])) };
  }

  #damagedStream(): Operation {
    const bytes = this.#dice.pick([
      "\xff",
      "\n\x05a",
      "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ]);
    return {
      kind: "streamBytes",
      path: this.#dice.pick(streamPaths),
      bytes: Buffer.from(bytes, "latin1"),
    };
  }

  /** More than may go into the log, or more than a message may be. */
  #tooLarge(): Operation {
    const bytes = this.#dice.pick([
      1_572_864, 1_572_900, 1_800_000, 2_097_140, 2_097_152, 2_200_000,
    ]);
    return call("Put", { key: Buffer.from("large"), value: Buffer.alloc(bytes, "v") });
  }

  /** Events that do not fit one message: two large values, changed at once, twice. */
  #large(): Operation {
    const change = (letter: string) =>
      call("Txn", {
        compare: [],
        failure: [],
        success: ["large1", "large2", "large3"].map((key) => ({
          request: {
            $case: "requestPut",
            requestPut: { ...noPut, key: Buffer.from(key), value: Buffer.alloc(500_000, letter) },
          },
        })),
      });
    const request = {
      key: Buffer.from("l"),
      rangeEnd: Buffer.from("m"),
      prevKv: true,
      fragment: true,
    };
    const past = { ...request, startRevision: this.#world.revision + 1 };
    this.#next.push(
      change("w"),
      { kind: "watch", stream: this.#stream(), request: past },
      call("DeleteRange", { key: Buffer.from("large"), rangeEnd: Buffer.from("m"), prevKv: true }),
      { kind: "settle" },
    );
    this.#next.unshift(change("v"));
    return { kind: "watch", stream: this.#stream(), request };
  }
}

const noPut = pb.PutRequest.decode(new Uint8Array(0));

function call(
  method: MethodName,
  request: object,
  extremes: readonly Extreme[] = [],
): CallOperation {
  return extremes.length === 0
    ? { kind: "call", method, request }
    : { kind: "call", method, request, extremes };
}

/**
 * Whether damage did not turn a request into one that etcd dies of, or that T4 is stricter with on
 * purpose: a tag of more than 32 bits (see the decision in src/README.md).
 */
function isHarmless(method: MethodName, bytes: Uint8Array): boolean {
  try {
    const request: unknown = methods[method].requestType.decode(bytes);
    if (method === "Txn") return !killsEtcd(request as pb.TxnRequest);
    return method !== "Range" || (request as pb.RangeRequest).sortTarget in [0, 1, 2, 3, 4];
  } catch (error) {
    // What we cannot decode, etcd cannot either; where that is wrong, the run shows it.
    return !String(error).includes("more than 32 bits");
  }
}
