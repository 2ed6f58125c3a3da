/** The file of a table under way, on a disk whose background writes come late. */
import { expect, test } from "bun:test";
import { sha256 } from "../../src/lib/checksum.ts";
import { readWhole } from "../../src/lib/disk.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Output } from "../../src/lsm/output.ts";
import { SimDisk } from "../sim/disk.ts";

const chunkBytes = 2 ** 18;

const late = async () => {
  for (let turn = 0; turn < 3; turn++) await Promise.resolve();
};

function piecesOf(seed: number): Buffer[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: 40 }, (_, at) => Buffer.alloc(random.below(100_000), `${at} piece`));
}

test("an output holds what was added, under the name its hash gives", async () => {
  for (let seed = 1; seed <= 5; seed++) {
    const disk = new SimDisk({ delay: late });
    const output = new Output(disk, "/made", chunkBytes);
    const pieces = piecesOf(seed);
    for (const [at, piece] of pieces.entries()) {
      // Whoever adds may use the memory again.
      const lent = Buffer.from(piece);
      output.add(lent);
      lent.fill(0);
      if (at % 7 === seed) await output.settle();
    }
    const whole = Buffer.concat(pieces);
    expect(output.bytes).toBe(whole.length);
    const { bytes, hash } = await output.finish((name) => `/${name}`);
    expect({ bytes, hash }).toEqual({ bytes: whole.length, hash: sha256(whole) });
    expect(disk.paths()).toEqual([`/${hash}`]);
    await disk.syncDirectory("/");
    const found = disk.powerLoss(new SeededRandom(seed));
    expect(readWhole(found, `/${hash}`)?.equals(whole)).toBe(true);
  }
});

test("a write that fails in the background is told, and nothing is left of the file", async () => {
  for (const failing of [1, 2, 3]) {
    let writes = 0;
    const fault = ({ operation }: { operation: string }) =>
      operation === "write" && ++writes === failing ? "ENOSPC" : undefined;
    const disk = new SimDisk({ delay: late, fault });
    const output = new Output(disk, "/made", chunkBytes);
    const made = (async () => {
      for (const piece of piecesOf(1)) {
        output.add(piece);
        await output.settle();
      }
      await output.finish((name) => `/${name}`);
    })();
    expect(await made.catch((error) => error)).toMatchObject({ code: "ENOSPC" });
    await output.abandon();
    expect(disk.paths()).toEqual([]);
  }
});

test("an output is abandoned after what is being written of it", async () => {
  const disk = new SimDisk({ delay: late });
  const output = new Output(disk, "/made", chunkBytes);
  output.add(Buffer.alloc(1_000_000, "x"));
  await output.abandon();
  expect(disk.paths()).toEqual([]);
});
