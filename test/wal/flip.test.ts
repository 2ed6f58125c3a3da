/** Damage is never a silent wrong answer. */
import { expect, test } from "bun:test";
import { must } from "../../src/lib/assert.ts";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { SimDisk } from "../sim/disk.ts";
import {
  append,
  directory,
  diskWith,
  filesOf,
  openLog,
  print,
  randomValue,
  say,
  whole,
} from "./logbook.ts";

/** Three segments of small frames, the last of which holds zeros and ends in mid-sector. */
async function smallLog() {
  const random = new SeededRandom(5);
  const disk = new SimDisk();
  const limits = { segmentBytesMax: 2560, segmentAgeMsMax: 10_000 };
  const { log } = await openLog(disk, { limits });
  await append(log, randomValue(random, 60), randomValue(random, 70));
  await append(log, randomValue(random, 500));
  await append(log, randomValue(random, 1000));
  await append(log, Buffer.alloc(0));
  await append(log, randomValue(random, 10));
  await append(log, Buffer.alloc(700), randomValue(random, 10));
  expect(log.status().segments).toBe(3);
  return filesOf(disk);
}

/** What one damaged byte becomes: a bit flipped, all bits, zero; with time, any other value. */
function damagesOf(byte: number, at: number): Set<number> {
  const values = whole ? Array.from({ length: 256 }, (_, value) => value) : [0];
  const damages = new Set([byte ^ (1 << (at & 7)), byte ^ 0xff, ...values]);
  damages.delete(byte);
  return damages;
}

test("after any damage to one byte, all entries come back or the log is refused", async () => {
  const files = await smallLog();
  const expected = (await openLog(diskWith(files))).replayed.map(print);
  expect(expected).toHaveLength(8);
  let tried = 0;
  let refused = 0;
  for (const [path, bytes] of files) {
    for (let at = 0; at < bytes.length; at++) {
      const byte = must(bytes[at], "inside the file");
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
        const known = failure instanceof CorruptionError || failure instanceof ForeignError;
        if (!known) throw new Error(`${path} at ${at}, ${byte} to ${damaged}`, { cause: failure });
        expect(failure.path).toStartWith(directory);
      }
    }
  }
  say(`${tried} damaged bytes, ${refused} of them refused`);
  expect(refused).toBeGreaterThan(tried / 4);
}, 600_000);
