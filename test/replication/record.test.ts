import { expect, test } from "bun:test";
import { sha256 } from "../../src/lib/checksum.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Batch } from "../../src/model/batch.ts";
import { decodeBatch } from "../../src/model/batch.ts";
import { termOf } from "../../src/model/revision.ts";
import {
  decodeLogObject,
  encodeLogObject,
  hashOf,
  headerBytes,
  type LogHeader,
  noHash,
} from "../../src/replication/record.ts";
import { batchAfter, batchesAfter, cluster, origin, say } from "./rig.ts";

const header: LogHeader = {
  kind: "data",
  cluster,
  term: termOf(3),
  seq: 7,
  writer: 0xabcdn,
  nonce: 0x0123_4567_89ab_cdefn,
  previousHash: "5a".repeat(32),
  base: origin,
  firstRevision: 2,
  lastRevision: 4,
  wallMs: 1_800_000_000_000,
};

function encoded(batches: readonly Batch[], changes: Partial<LogHeader> = {}): Buffer {
  return encodeLogObject({ ...header, ...changes }, batches);
}

test("what is encoded comes back, whatever the batches", () => {
  const random = new SeededRandom(1);
  for (let round = 0; round < 50; round++) {
    const counts = Array.from({ length: 1 + random.below(5) }, () => 1 + random.below(9));
    const base = batchAfter(origin, 2, 1 + random.below(99)).end;
    const batches = batchesAfter(base, 3, counts);
    const bytes = encoded(batches, { base });
    const end = batches.at(-1)?.end ?? base;
    const hash = hashOf(bytes);
    expect(decodeLogObject(7, bytes, cluster)).toEqual({ ...header, base, end, batches, hash });
    for (const batch of decodeLogObject(7, bytes, cluster).batches) decodeBatch(batch);
  }
});

test("a fence ends where it begins and has no batches", () => {
  const base = batchAfter(origin, 2, 5).end;
  const bytes = encoded([], { kind: "fence", base });
  const { batches, end, kind } = decodeLogObject(7, bytes, cluster);
  expect({ batches, end, kind }).toEqual({ batches: [], end: base, kind: "fence" });
  expect(bytes.length).toBe(headerBytes + 32);
});

test("format 1 is what it has always been", () => {
  const data = encoded(batchesAfter(origin, 3, [1, 2]));
  const fence = encoded([], { kind: "fence", seq: 1, previousHash: noHash });
  expect(sha256(data)).toBe("7ab7b5b17c8233ff6c85fa41a92341e10d28e9999609af6293bd79cbce8bb206");
  expect(fence.toString("hex")).toBe(
    [
      "74342077616c6f6201000000" + "01000000" + "a5c1000000000000",
      "0300000000000000" + "0100000000000000" + "cdab000000000000" + "efcdab8967452301",
      "00".repeat(32),
      "00".repeat(24) + "00".repeat(24),
      "0200000000000000" + "0400000000000000" + "00505c18a3010000" + "00000000" + "a6462a8b",
      "1a392935c491bd5e3e30a293b3477e2f5a1ec1948064c6253c4b3977319a540a",
    ].join(""),
  );
});

test("every flipped bit and every missing end is damage, named with key and offset", () => {
  const bytes = encoded(batchesAfter(origin, 3, [1, 2]));
  let flips = 0;
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
      const error = refusal(() => decodeLogObject(7, flipped, cluster));
      expect(error.message).toContain("wal/00000000000000000007 is damaged at offset ");
      expect(error.offset <= at).toBe(true);
      flips++;
    }
    refusal(() => decodeLogObject(7, bytes.subarray(0, at), cluster));
  }
  refusal(() => decodeLogObject(7, Buffer.concat([bytes, Buffer.alloc(1)]), cluster));
  say(`log object: ${flips} flips and ${bytes.length + 1} wrong lengths refused`);
});

test("an object is refused in another slot than its own", () => {
  const bytes = encoded(batchesAfter(origin, 3, [1]));
  expect(refusal(() => decodeLogObject(8, bytes, cluster)).message).toContain("of slot 7");
});

test("the object of another cluster is refused, both named", () => {
  const bytes = encoded(batchesAfter(origin, 3, [1]));
  expect(() => decodeLogObject(7, bytes, 0xeen)).toThrow(ForeignError);
  expect(() => decodeLogObject(7, bytes, 0xeen)).toThrow(/of cluster c1a5, not of ee/);
});

test("an object of a newer format is refused as newer, not as damaged", () => {
  const bytes = encoded(batchesAfter(origin, 3, [1]));
  bytes.writeUInt32LE(2, 8);
  Buffer.from(sha256(bytes.subarray(0, -32)), "hex").copy(bytes, bytes.length - 32);
  expect(() => decodeLogObject(7, bytes, cluster)).toThrow(ForeignError);
  expect(() => decodeLogObject(7, bytes, cluster)).toThrow(/log object format 2/);
});

test("batches that do not follow the base cannot be encoded", () => {
  const [first, second] = batchesAfter(origin, 3, [1, 1]);
  if (first === undefined || second === undefined) throw new Error("two batches");
  expect(() => encoded([second, first])).toThrow("follows");
  expect(() => encoded([first], { kind: "fence" })).toThrow("a fence none");
});

function refusal(decode: () => unknown): CorruptionError {
  try {
    decode();
  } catch (error) {
    if (error instanceof CorruptionError) return error;
    throw error;
  }
  throw new Error("it was taken");
}
