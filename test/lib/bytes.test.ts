import { expect, test } from "bun:test";
import {
  byteStringOf,
  bytesOf,
  compact,
  copyOf,
  orderedU32,
  orderedU64,
  prefixEnd,
  readOrderedU32,
  readOrderedU64,
} from "../../src/lib/bytes.ts";
import { chainHash, crc32, sha256 } from "../../src/lib/checksum.ts";
import { Heap } from "../../src/lib/heap.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { SeededRandom, SystemRandom } from "../../src/lib/random.ts";

test("what is to be kept of a packet is a copy, unless it is most of it", () => {
  const packet = Buffer.alloc(1000, "0123456789");
  const [few, most] = [packet.subarray(10, 200), packet.subarray(0, 300)];
  expect(compact(most)).toBe(most);
  expect(compact(few)).toEqual(new Uint8Array(few));
  expect(compact(few).buffer.byteLength).toBe(190);
  // A Buffer's own `slice` would show this change.
  const copy = copyOf(packet, 0, 3);
  packet.fill("x");
  expect(Buffer.from(copy).toString()).toBe("012");
});

test("every byte survives the way to a byte string and back", () => {
  const all = Uint8Array.from({ length: 256 }, (_, at) => at);
  expect(bytesOf(byteStringOf(all))).toEqual(Buffer.from(all));
  expect(byteStringOf(all, 65, 68)).toBe("ABC");
});

test("byte strings order as their bytes do", () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 2000; round++) {
    const [a, b] = [0, 1].map(() =>
      Buffer.from(Array.from({ length: random.below(4) }, () => random.below(256))),
    ) as [Buffer, Buffer];
    const order = Buffer.compare(a, b);
    const [x, y] = [byteStringOf(a), byteStringOf(b)];
    expect(x < y ? -1 : x > y ? 1 : 0).toBe(order as -1 | 0 | 1);
  }
});

test("ordered integers read back and order as numbers", () => {
  const numbers = [
    0,
    1,
    255,
    256,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 40 + 7,
    Number.MAX_SAFE_INTEGER,
  ];
  for (const number of numbers) expect(readOrderedU64(`x${orderedU64(number)}`, 1)).toBe(number);
  expect(numbers.map(orderedU64)).toEqual(numbers.map(orderedU64).sort());
  for (const number of [0, 1, 0x80000000, 0xffffffff]) {
    expect(readOrderedU32(orderedU32(number), 0)).toBe(number);
  }
});

test("the end of a prefix is the next string that does not begin with it", () => {
  expect(prefixEnd("a")).toBe("b");
  expect(prefixEnd("a\xff")).toBe("b");
  expect(prefixEnd("a\xfe\xff\xff")).toBe("a\xff");
  expect(prefixEnd("")).toBeUndefined();
  expect(prefixEnd("\xff\xff")).toBeUndefined();
});

test("checksums are the published ones", () => {
  expect(crc32(Buffer.from("123456789"))).toBe(0xcbf43926);
  expect(crc32(Buffer.from("6789"), crc32(Buffer.from("12345")))).toBe(0xcbf43926);
  expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect(chainHash(0n, Buffer.from(""))).toBe(0xef46db3751d8e999n);
});

test("a heap gives out what was put in, in order", () => {
  const random = new SeededRandom(3);
  const heap = new Heap<number>((a, b) => a < b);
  const numbers = Array.from({ length: 500 }, () => random.below(100));
  for (const number of numbers) heap.push(number);
  const out: number[] = [];
  for (let next = heap.pop(); next !== undefined; next = heap.pop()) out.push(next);
  expect(out).toEqual(numbers.sort((a, b) => a - b));
  expect(heap.size).toBe(0);
});

test("replacing the top of a heap keeps its order", () => {
  const heap = new Heap<number>((a, b) => a < b);
  for (const number of [5, 3, 9, 1]) heap.push(number);
  heap.replaceTop(7);
  expect([heap.pop(), heap.pop(), heap.pop(), heap.pop()]).toEqual([3, 5, 7, 9]);
});

test("a seed gives the same numbers each time, another seed others, all within their bounds", () => {
  const draw = (seed: number) => {
    const random = new SeededRandom(seed);
    return Array.from({ length: 50 }, () => random.below(1000));
  };
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  for (const random of [new SeededRandom(5), new SystemRandom()]) {
    for (let round = 0; round < 500; round++) {
      expect(random.below(3)).toBeLessThan(3);
      expect(random.float()).toBeLessThan(1);
      expect(random.u64()).toBeLessThan(2n ** 64n);
    }
  }
});

test("a log line is one line, as text or as JSON, and says no less than was given", () => {
  const lines: string[] = [];
  const options = { wall: () => 0, write: (line: string) => void lines.push(line) };
  const fields = { id: 12n, path: "/a b", error: new Error("no", { cause: new Error("disk") }) };
  createLogger({ ...options, level: "info", format: "text" })
    .with({ c: 1 })
    .warn("odd", fields);
  createLogger({ ...options, level: "info", format: "json" }).info("fine", fields);
  createLogger({ ...options, level: "error", format: "text" }).warn("not shown");
  expect(lines).toEqual([
    '1970-01-01T00:00:00.000Z WARN  odd c=1 id=12 path="/a b" error="no: disk"\n',
    '{"level":"info","ts":"1970-01-01T00:00:00.000Z","msg":"fine","id":"12","path":"/a b","error":"no: disk"}\n',
  ]);
});
