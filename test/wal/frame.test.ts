/** Frames whose checksums hold and whose content still cannot be; and the format, for ever. */
import { describe, expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { chainHash, sha256 } from "../../src/lib/checksum.ts";
import { CorruptionError } from "../../src/lib/corruption.ts";
import { encodeEntry } from "../../src/model/record.ts";
import { indexOf } from "../../src/model/revision.ts";
import { OpenFrame } from "../../src/wal/frame.ts";
import { SimDisk } from "../sim/disk.ts";
import { append, directory, diskWith, entryOf, filesOf, openLog } from "./logbook.ts";

const value = Buffer.from("value");

interface Forgery {
  readonly first: number;
  readonly entries: readonly Uint8Array[];
  readonly chain?: bigint;
  /** Changes the closed frame, whose checksum is then made to hold again. */
  readonly alter?: (frame: Buffer) => void;
}

/** Opens a log with one honest frame, which holds entry 1 of term 2, and this one behind it. */
async function openForged({ alter, chain, entries, first }: Forgery) {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  log.stage(entryOf(1, value, 2));
  await log.sync();
  const [found] = [...filesOf(disk)];
  const [path, honest] = must(found, "there is a segment");
  const forged = new OpenFrame();
  let after = log.position.chain;
  for (const bytes of entries) {
    forged.add(bytes);
    after = chainHash(after, bytes);
  }
  const salt = honest.readUInt32LE(12);
  const frame = forged.close({ salt, first: indexOf(first), chain: chain ?? after, wallMs: 0 });
  if (alter) {
    alter(frame);
    const payload = frame.subarray(32, 32 + frame.readUInt32LE(0));
    frame.writeUInt32LE(Bun.hash.crc32(payload), 4);
    frame.writeUInt32LE(Bun.hash.crc32(frame.subarray(0, 28), salt), 28);
  }
  return openLog(diskWith(new Map([[path, Buffer.concat([honest, frame])]])));
}

function coded(index: number, term: number): Uint8Array {
  return Uint8Array.from(encodeEntry(entryOf(index, value, term)));
}

test("a forged frame that is right in every respect is taken", async () => {
  const { replayed } = await openForged({ first: 2, entries: [coded(2, 2)] });
  expect(replayed).toEqual([entryOf(1, value, 2), entryOf(2, value, 2)]);
});

describe("a frame with good checksums is refused when", () => {
  const cases: readonly (readonly [string, Forgery, string])[] = [
    ["it does not follow", { first: 3, entries: [coded(2, 2)] }, "entry 3 follows entry 1"],
    [
      "its chain is another",
      { first: 2, entries: [coded(2, 2)], chain: 1n },
      "chain of entries is",
    ],
    ["its entry is another", { first: 2, entries: [coded(3, 2)] }, "entry 3 is in the place of 2"],
    ["the term falls", { first: 2, entries: [coded(2, 1)] }, "term falls at entry 2"],
    ["its entry is none", { first: 2, entries: [Buffer.from("?")] }, "an entry cannot be read"],
    [
      "an entry is longer than it",
      { first: 2, entries: [coded(2, 2)], alter: (frame) => frame.writeUInt32LE(400, 40) },
      "do not add up",
    ],
    [
      "an entry is shorter than it",
      { first: 2, entries: [coded(2, 2)], alter: (frame) => frame.writeUInt32LE(3, 40) },
      "do not add up",
    ],
    [
      "it has fewer entries than it says",
      { first: 2, entries: [coded(2, 2)], alter: (frame) => frame.writeUInt32LE(2, 24) },
      "do not add up",
    ],
  ];
  test.each(cases)("%s", async (_, forgery, what) => {
    const refusal = openForged(forgery);
    await expect(refusal).rejects.toThrow(CorruptionError);
    await expect(refusal).rejects.toThrow(what);
  });
});

test("the format is what it was", async () => {
  const disk = new SimDisk();
  const { log } = await openLog(disk);
  await append(log, Buffer.alloc(2000, 3));
  await append(log, value, Buffer.alloc(0), Buffer.alloc(2000));
  await append(log, value);
  const bytes = disk.peek(`${directory}/${log.status().newestSegment}`);
  expect(bytes).toHaveLength(512 + 2560 + 2560 + 512);
  expect(sha256(bytes)).toBe("23351c07d6a85a79818e6a86485c2f235ca3cf721dd12364499e4de7cc89fc86");
});
