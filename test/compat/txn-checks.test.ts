/**
 * Transactions that break rules, to real etcd and to our checks: code, text, and which of several
 * broken rules is told must agree. Left out are what etcd dies of (a sort target it does not know,
 * before 3.6) and refusals that need the store.
 */
import { expect, test } from "bun:test";
import { txnCommandOf } from "../../src/api/convert.ts";
import { statuses } from "../../src/api/status.ts";
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { Refusal, type RefusalKind } from "../../src/model/refusal.ts";
import { compare, op, txn } from "../api/requests.ts";
import { newestEtcdTools } from "../setup/etcd.ts";
import { CallError, Client } from "../support/client.ts";
import { startEtcd } from "../support/etcd.ts";

const whole = process.env.T4_TEST_WHOLE === "1";
const requests = whole ? 200_000 : 10_000;
const together = 50;
const seed = Number(process.env.T4_TEST_SEED ?? 1);

/** What is decided without looking at the store; any other answer of etcd's counts as "fine". */
const checked: readonly RefusalKind[] = [
  "emptyKey",
  "valueProvided",
  "leaseProvided",
  "tooManyOperations",
  "duplicateKey",
];

/** Makes transactions out of few keys and short lists, so that rules are broken often. */
class Generator {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  txn(depth: number): pb.TxnRequest {
    const compares = Array.from({ length: this.#random.below(2) }, () => this.#compare());
    return txn({ compare: compares, success: this.#list(depth), failure: this.#list(depth) });
  }

  #list(depth: number): pb.RequestOp[] {
    const length = this.#oneIn(80) ? 60 + this.#random.below(75) : this.#random.below(4);
    return Array.from({ length }, () => this.#operation(depth));
  }

  #operation(depth: number): pb.RequestOp {
    const kind = this.#random.below(depth > 0 ? 10 : 7);
    if (this.#oneIn(150)) return op.nothing();
    if (kind < 3) return op.put(this.#key(), ...this.#pick(this.#puts()));
    if (kind < 5) return op.delete(this.#key(), this.#end());
    if (kind < 7) return op.range(this.#key(), this.#end());
    return op.txn(this.txn(depth - 1));
  }

  /** Values and leases to keep come with one to ignore only: etcd may die of the others. */
  #puts(): readonly [value: string, more?: Partial<pb.PutRequest>][] {
    const plain = Array.from({ length: 20 }, (_, at) => [`${at}`] as [string]);
    return [...plain, ["v", { ignoreValue: true }], ["", { ignoreLease: true, lease: 7n }]];
  }

  #compare(): pb.Compare {
    const result = this.#random.below(5) as pb.Compare_CompareResult;
    const target = this.#random.below(6) as pb.Compare_CompareTarget;
    return compare(this.#key(), { result, target, rangeEnd: Buffer.from(this.#end(), "latin1") });
  }

  #key(): string {
    return this.#oneIn(40) ? "" : this.#pick(["a", "b", "c", "d", "e", "aa", "\0", "\xff"]);
  }

  #end(): string {
    return this.#pick(["", "", "", "b", "d", "z", "\0", "a", "\xff\xff"]);
  }

  #oneIn(count: number): boolean {
    return this.#random.below(count) === 0;
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T;
  }
}

interface Answer {
  readonly code: number;
  readonly message: string;
}

const fine: Answer = { code: 0, message: "fine" };

function ours(bytes: Uint8Array): Answer {
  const command = txnCommandOf(pb.TxnRequest.decode(bytes), 128);
  if (!(command instanceof Refusal)) return fine;
  const { code, message } = statuses[command.kind];
  return { code, message };
}

async function theirs(client: Client, bytes: Uint8Array): Promise<Answer> {
  try {
    await client.raw("/etcdserverpb.KV/Txn", bytes);
    return fine;
  } catch (error) {
    if (!(error instanceof CallError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** "key not found" is both: an operation that says nothing, and a put that keeps what is not there. */
function isCheck({ message }: Answer): boolean {
  return [...checked, "keyNotFound" as const].some((kind) => statuses[kind].message === message);
}

test(`${requests} transactions are judged as by etcd (seed ${seed})`, async () => {
  await using etcd = await startEtcd(newestEtcdTools());
  const client = new Client(etcd.port);
  const generator = new Generator(new SeededRandom(seed));
  const differences: unknown[] = [];
  const seen = new Set<string>();
  for (let done = 0; done < requests && differences.length === 0; done += together) {
    const batch = Array.from({ length: together }, () => generator.txn(3));
    await Promise.all(
      batch.map(async (request) => {
        const bytes = pb.TxnRequest.encode(request).finish();
        const mine = ours(bytes);
        const other = await theirs(client, bytes);
        seen.add(mine.message);
        const same = mine === fine ? !isCheck(other) : Bun.deepEquals(mine, other);
        if (!same) differences.push({ mine, other, request: Buffer.from(bytes).toString("hex") });
      }),
    );
  }
  client.close();
  expect(differences).toEqual([]);
  for (const kind of checked) expect(seen).toContain(statuses[kind].message);
}, 600_000);
