/** Damage is never a silent wrong answer. */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { CorruptionError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { SimDisk } from "../sim/disk.ts";
import { brief, say, whole } from "../support/effort.ts";
import { append, diskWith, filesOf, openLog, print, randomValue } from "./logbook.ts";

const headerBytes = 512;

/**
 * Three segments of small frames, the last of which holds zeros and ends in mid-sector; and where in
 * each the header and the frames begin.
 */
async function smallLog() {
  const random = new SeededRandom(5);
  const disk = new SimDisk();
  const limits = { segmentBytesMax: 2560, segmentAgeMsMax: 10_000 };
  const { log } = await openLog(disk, { limits });
  const begins = new Map<string, number[]>();
  const batches = [
    [randomValue(random, 60), randomValue(random, 70)],
    [randomValue(random, 500)],
    [randomValue(random, 1000)],
    [Buffer.alloc(0)],
    [randomValue(random, 10)],
    [Buffer.alloc(700), randomValue(random, 10)],
  ];
  for (const batch of batches) {
    const before = filesOf(disk);
    await append(log, ...batch);
    for (const [path, { length }] of filesOf(disk)) {
      const begin = Math.max(before.get(path)?.length ?? 0, headerBytes);
      if (length > begin) begins.set(path, [...(begins.get(path) ?? [0]), begin]);
    }
  }
  expect(log.status().segments).toBe(3);
  expect([...begins.values()].flat()).toHaveLength(3 + batches.length);
  return { files: filesOf(disk), begins };
}

/** What one damaged byte becomes: a bit flipped, all bits, zero; with time, any other value. */
function damagesOf(byte: number, at: number): Set<number> {
  const values = whole ? Array.from({ length: 256 }, (_, value) => value) : [0, byte ^ 0xff];
  const damages = new Set([byte ^ (1 << (at & 7)), ...(brief ? [] : values)]);
  damages.delete(byte);
  return damages;
}

test("after any damage to one byte, all entries come back or the log is refused there", async () => {
  const { begins, files } = await smallLog();
  const expected = (await openLog(diskWith(files))).replayed.map(print);
  expect(expected).toHaveLength(8);
  let tried = 0;
  let refused = 0;
  for (const [path, bytes] of files) {
    for (let at = 0; at < bytes.length; at++) {
      const byte = must(bytes[at], "inside the file");
      const begin = must(begins.get(path), "written").findLast((offset) => offset <= at) ?? 0;
      for (const damaged of damagesOf(byte, at)) {
        const disk = diskWith(files);
        disk.peek(path)[at] = damaged;
        tried++;
        const failure = await openLog(disk).then(
          ({ replayed }) => expect(replayed.map(print)).toEqual(expected),
          (error) => error,
        );
        if (failure === undefined) continue;
        refused++;
        const where = `${path} at ${at}, ${byte} to ${damaged}`;
        if (!(failure instanceof CorruptionError)) throw new Error(where, { cause: failure });
        expect([where, failure.path, failure.offset]).toEqual([where, path, begin]);
      }
    }
  }
  say(`${tried} damaged bytes, ${refused} of them refused`);
  expect(refused).toBeGreaterThan(tried / 4);
}, 600_000);
