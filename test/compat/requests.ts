/**
 * Random requests of KV. Few keys, few values, small numbers: requests meet, and rules are broken
 * often. What makes an etcd die is left out: see `killsEtcd`.
 */
import type * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { compare, deleteRange, put, range, txn } from "../api/requests.ts";
import type { Dice } from "./dice.ts";
import { type Extreme, isChosenLease } from "./operation.ts";
import type { World } from "./world.ts";

const long = "l".repeat(1000);

const keys = [
  ...["a", "a\0", "a\0\0", "aa", "ab", "a\xff", "b", "c", "d", "e", "f"],
  ...["p/", "p/1", "p/2", "p/3", "p/\0", "p/\xff", "q", "\0", "\0\0", "\xff", "\xff\xff", long],
];

const ends = ["", "", "", "", "\0", "\0", "b", "d", "p0", "a\x01", "z", "\xff", "a", "\0\0", long];

const values = ["", "", "1", "1", "2", "10", "\0", "\xff", "v".repeat(200)];

/** The ends of a signed 64-bit number, and numbers that no double is. */
export const extremeNumbers = [
  2n ** 63n - 1n,
  -(2n ** 63n),
  2n ** 53n + 1n,
  -(2n ** 53n) - 1n,
] as const;

export const knownLeases = [1n, 2n, 3n, -1n, 2n ** 63n - 1n, -(2n ** 63n)];

export class Requests {
  readonly #dice: Dice;
  readonly #world: World;

  constructor(dice: Dice, world: World) {
    this.#dice = dice;
    this.#world = world;
  }

  key(): string {
    return this.#dice.oneIn(60) ? "" : this.#dice.pick(keys);
  }

  /** The end of a range; mostly none. */
  end(key: string): string {
    return this.#dice.oneIn(20) ? key : this.#dice.pick(ends);
  }

  revision(): number {
    const { compactRevision, revision } = this.#world;
    return this.#dice.weighted([
      [30, 0],
      [4, revision],
      [10, Math.max(1, revision - this.#dice.below(60))],
      [2, revision + 1],
      [1, revision + 1 + this.#dice.below(1000)],
      [3, compactRevision],
      [2, compactRevision - 1],
      [3, compactRevision + 1],
      [1, -1],
      [1, -5],
      [1, 2 ** 40],
    ]);
  }

  lease(): bigint {
    const existing = [...this.#world.leases.keys()];
    return this.#dice.weighted([
      [12, 0n],
      [4, existing.length > 0 ? this.#dice.pick(existing) : 1n],
      [1, this.#dice.pick(knownLeases)],
      [1, 999n],
    ]);
  }

  range(): pb.RangeRequest {
    const dice = this.#dice;
    const key = this.key();
    const filter = () => (dice.oneIn(12) ? this.#filterRevision() : 0);
    return range(key, dice.oneIn(3) ? "" : this.end(key), {
      revision: this.revision(),
      limit: dice.weighted([
        [8, 0],
        [5, 1 + dice.below(6)],
        [1, -1],
        [1, 1000],
      ]),
      sortOrder: dice.weighted<number>([
        [8, 0],
        [4, 1],
        [4, 2],
        [1, -1],
        [1, 7],
      ]) as 0,
      sortTarget: dice.weighted<number>([
        [8, 0],
        [2, 1],
        [2, 2],
        [2, 3],
        [3, 4],
      ]) as 0,
      serializable: dice.oneIn(4),
      keysOnly: dice.oneIn(6),
      countOnly: dice.oneIn(10),
      minModRevision: filter(),
      maxModRevision: filter(),
      minCreateRevision: filter(),
      maxCreateRevision: filter(),
    });
  }

  #filterRevision(): number {
    return this.#dice.oneIn(8)
      ? this.#dice.pick([-1, 2 ** 50, 1])
      : this.#world.revision - this.#dice.below(80);
  }

  put(): pb.PutRequest {
    const dice = this.#dice;
    const ignoreValue = dice.oneIn(10);
    const ignoreLease = dice.oneIn(10);
    return put(this.key(), ignoreValue && !dice.oneIn(6) ? "" : dice.pick(values), {
      lease: ignoreLease && !dice.oneIn(6) ? 0n : this.lease(),
      prevKv: dice.oneIn(2),
      ignoreValue,
      ignoreLease,
    });
  }

  deleteRange(): pb.DeleteRangeRequest {
    const key = this.key();
    const end = this.#dice.oneIn(3) ? this.end(key) : this.#dice.pick(["", "", "b", "p/2"]);
    return deleteRange(key, end, this.#dice.oneIn(2));
  }

  txn(depth: number): pb.TxnRequest {
    const dice = this.#dice;
    const made = txn({
      compare: dice.many(this.#length(3), () => this.#compare()),
      success: dice.many(this.#length(5), () => this.#operation(depth)),
      failure: dice.many(this.#length(4), () => this.#operation(depth)),
    });
    return killsEtcd(made) ? this.txn(depth) : made;
  }

  #length(usual: number): number {
    return this.#dice.oneIn(150) ? 100 + this.#dice.below(60) : this.#dice.below(usual);
  }

  #operation(depth: number): pb.RequestOp {
    const dice = this.#dice;
    if (dice.oneIn(120)) return { request: undefined };
    const kind = dice.below(depth > 0 ? 12 : 10);
    if (kind < 3) return { request: { $case: "requestRange", requestRange: this.#sortedRange() } };
    if (kind < 8) return { request: { $case: "requestPut", requestPut: this.#onePut() } };
    if (kind < 10) {
      return { request: { $case: "requestDeleteRange", requestDeleteRange: this.deleteRange() } };
    }
    return { request: { $case: "requestTxn", requestTxn: this.txn(depth - 1) } };
  }

  /** With an order every etcd knows: older ones run a transaction that newer ones refuse. */
  #sortedRange(): pb.RangeRequest {
    const request = this.range();
    return { ...request, sortOrder: (Math.max(0, request.sortOrder) % 3) as 0 };
  }

  /** A put that does not collide with every other one: more keys than there are elsewhere. */
  #onePut(): pb.PutRequest {
    const request = this.put();
    if (this.#dice.oneIn(3)) return request;
    return { ...request, key: Buffer.from(`t/${this.#dice.below(300)}`) };
  }

  #compare(): pb.Compare {
    const dice = this.#dice;
    const key = this.key();
    const target = dice.weighted<number>([
      [3, 0],
      [3, 1],
      [3, 2],
      [4, 3],
      [3, 4],
      [1, 5],
      [1, -1],
    ]);
    const targetUnion = this.#operand(dice.oneIn(10) ? dice.below(6) : target);
    const result = dice.weighted<number>([
      [6, 0],
      [3, 1],
      [3, 2],
      [3, 3],
      [1, 4],
      [1, -1],
    ]);
    // Which of two ids that servers choose is greater, chance decides.
    const ordered = targetUnion?.$case === "lease" && isChosenLease(targetUnion.lease);
    return compare(key, {
      target: target as 0,
      result: (ordered && (result === 1 || result === 2) ? 0 : result) as 0,
      targetUnion,
      rangeEnd: Buffer.from(dice.oneIn(4) ? this.end(key) : "", "latin1"),
    });
  }

  #operand(target: number): pb.Compare["targetUnion"] {
    const dice = this.#dice;
    const number = BigInt(
      dice.weighted([
        [5, dice.below(4)],
        [4, this.revision()],
        [1, -1],
      ]),
    );
    const operand = dice.oneIn(40) ? dice.pick(extremeNumbers) : number;
    switch (target) {
      case 0:
        return { $case: "version", version: operand };
      case 1:
        return { $case: "createRevision", createRevision: operand };
      case 2:
        return { $case: "modRevision", modRevision: operand };
      case 3:
        return { $case: "value", value: Buffer.from(dice.pick(values), "latin1") };
      case 4:
        return { $case: "lease", lease: this.lease() };
      default:
        return undefined;
    }
  }

  /** Now and then a number that no double is. */
  extremes(fields: readonly number[]): readonly Extreme[] {
    if (!this.#dice.oneIn(40)) return [];
    return [[this.#dice.pick(fields), this.#dice.pick(extremeNumbers)]];
  }
}

/**
 * Whether some etcd may die of a transaction, or run what others refuse: a put that keeps what an
 * earlier operation deleted, and, before 3.6, a sort option that is not known.
 */
export function killsEtcd(request: pb.TxnRequest): boolean {
  const steps = [...stepsOf(request)];
  const deletes = steps.some((step) => step?.$case === "requestDeleteRange");
  return steps.some((step) => {
    if (step?.$case === "requestRange") {
      const { sortOrder, sortTarget } = step.requestRange;
      return !(sortOrder in sortOrders && sortTarget in sortTargets);
    }
    if (step?.$case !== "requestPut" || !deletes) return false;
    return step.requestPut.ignoreValue || step.requestPut.ignoreLease;
  });
}

const sortOrders = ["none", "ascend", "descend"];
const sortTargets = ["key", "version", "create", "mod", "value"];

function* stepsOf({ success, failure }: pb.TxnRequest): Iterable<pb.RequestOp["request"]> {
  for (const { request } of [...success, ...failure]) {
    yield request;
    if (request?.$case === "requestTxn") yield* stepsOf(request.requestTxn);
  }
}
