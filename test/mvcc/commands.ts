/** Random commands and queries over few keys, so that they meet. */
import type { ByteString } from "../../src/lib/bytes.ts";
import type { Random } from "../../src/lib/random.ts";
import type {
  Command,
  Compare,
  CompareTarget,
  DeleteRangeCommand,
  Operation,
  PutCommand,
  RangeQuery,
  TxnCommand,
} from "../../src/model/command.ts";
import type { KeyRange } from "../../src/model/range.ts";

/** Keys with the bytes that encodings get wrong: zero, 0xff, prefixes of each other. */
export const someKeys: readonly ByteString[] = [
  "\0",
  "\0\0",
  "\0\xff",
  "a",
  "a\0",
  "a\0\x01",
  "a\0b",
  "a\x01",
  "aa",
  "ab",
  "a\xff",
  "a\xff\xff",
  "b",
  "c/1",
  "c/2",
  "c/3",
  "\xff",
  "\xff\0",
  "\xff\xff",
  "z".repeat(300),
];

const leaseIds = [1n, 2n, -1n, 2n ** 62n];

export class Commands {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A command; `revision` is about where the store is. */
  command(revision: number): Command {
    const pick = this.#random.below(100);
    if (pick < 45) return this.put();
    if (pick < 60) return this.deleteRange();
    if (pick < 85) return this.txn(revision, 0);
    if (pick < 91)
      return { kind: "grant", lease: this.#lease(), ttlSeconds: this.#random.below(20) };
    if (pick < 95) return { kind: "revoke", lease: this.#lease() };
    return { kind: "compact", revision: revision - this.#random.below(12) + 1 };
  }

  query(revision: number): RangeQuery {
    const random = this.#random;
    const maybe = (value: number) => (random.below(4) === 0 ? value : 0);
    const around = () => Math.max(1, revision - random.below(20) + 2);
    return {
      kind: "range",
      range: this.range(),
      limit: maybe(random.below(6)),
      revision: random.below(2) === 0 ? 0 : around() - 1,
      sortOrder: this.#of(["none", "none", "ascend", "descend"] as const),
      sortTarget: this.#of(["key", "key", "version", "create", "mod", "value"] as const),
      serializable: random.below(2) === 0,
      keysOnly: random.below(5) === 0,
      countOnly: random.below(8) === 0,
      minModRevision: maybe(around()),
      maxModRevision: maybe(around()),
      minCreateRevision: maybe(around()),
      maxCreateRevision: maybe(around()),
    };
  }

  range(): KeyRange {
    const key = this.#key();
    switch (this.#random.below(8)) {
      case 0:
        return { key, end: "\0" };
      case 1:
        return { key: "\0", end: "\0" };
      case 2:
        return { key, end: this.#key() };
      case 3:
        return { key, end: `${key}\xff` };
      default:
        return { key, end: "" };
    }
  }

  put(): PutCommand {
    const random = this.#random;
    const ignoreValue = random.below(12) === 0;
    const ignoreLease = random.below(12) === 0;
    return {
      kind: "put",
      key: this.#key(),
      value: ignoreValue ? new Uint8Array(0) : this.#value(),
      lease: !ignoreLease && random.below(4) === 0 ? this.#lease() : 0n,
      previous: random.below(2) === 0,
      ignoreValue,
      ignoreLease,
    };
  }

  deleteRange(): DeleteRangeCommand {
    return { kind: "deleteRange", range: this.range(), previous: this.#random.below(2) === 0 };
  }

  txn(revision: number, depth: number): TxnCommand {
    const operations = () => this.#many(4, () => this.#operation(revision, depth));
    return {
      kind: "txn",
      compares: this.#many(3, () => this.#compare(revision)),
      success: operations(),
      failure: operations(),
    };
  }

  #operation(revision: number, depth: number): Operation {
    const pick = this.#random.below(10);
    if (pick < 3) return this.query(revision);
    if (pick < 7) return this.put();
    if (pick < 9 || depth === 2) return this.deleteRange();
    return this.txn(revision, depth + 1);
  }

  #compare(revision: number): Compare {
    const result = this.#of(["equal", "equal", "greater", "less", "notEqual", "always"] as const);
    return { range: this.range(), result, target: this.#target(revision) };
  }

  #target(revision: number): CompareTarget {
    const field = this.#of(["version", "create", "mod", "lease", "value"] as const);
    if (field === "lease") return { field, operand: this.#of([0n, ...leaseIds]) };
    if (field === "value") return { field, operand: Buffer.from(this.#value()).toString("latin1") };
    const near = field === "version" ? this.#random.below(4) : revision - this.#random.below(10);
    return { field, operand: this.#random.below(3) === 0 ? 0 : near };
  }

  #key(): ByteString {
    return this.#of(someKeys);
  }

  #lease(): bigint {
    return this.#of(leaseIds);
  }

  #value(): Uint8Array {
    const length = this.#of([0, 1, 3, 40, 700]);
    return Buffer.alloc(length, this.#random.below(256));
  }

  #many<T>(below: number, make: () => T): T[] {
    return Array.from({ length: this.#random.below(below) }, make);
  }

  #of<T>(choices: readonly T[]): T {
    return choices[this.#random.below(choices.length)] as T;
  }
}
