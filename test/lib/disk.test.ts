import { expect, test } from "bun:test";
import { PosixDisk } from "../../src/lib/posix.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { diskContract } from "../contract/disk.ts";
import { SimDisk, sectorBytes } from "../sim/disk.ts";
import { temporaryDirectory } from "../support/t4.ts";

diskContract("posix", () => {
  const directory = temporaryDirectory();
  return {
    disk: new PosixDisk(),
    root: directory.path,
    done: () => directory[Symbol.dispose](),
  };
});

diskContract("simulated", () => {
  const disk = new SimDisk();
  disk.makeDirectory("/root");
  return { disk, root: "/root", done: () => undefined };
});

test("power loss keeps what was synced, and of the rest each sector in any of three ways", async () => {
  const fates = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const disk = new SimDisk();
    const file = disk.create("/f");
    file.write(Buffer.alloc(sectorBytes, "a"), 0);
    await file.sync();
    await disk.syncDirectory("/");
    file.write(Buffer.alloc(2 * sectorBytes, "b"), sectorBytes);
    const found = disk.powerLoss(new SeededRandom(seed)).peek("/f");
    expect(found.subarray(0, sectorBytes).equals(Buffer.alloc(sectorBytes, "a"))).toBe(true);
    const rest = [1, 2].map((at) => found.subarray(at * sectorBytes, (at + 1) * sectorBytes));
    fates.add(rest.map((sector) => `${sector.length}${sector[0] ?? "-"}`).join());
  }
  // Kept, zeroed, or beyond the end of the file, in the combinations that can be.
  expect(fates.size).toBeGreaterThanOrEqual(5);
});

test("power loss forgets names that were not synced, and a removal that was not", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const disk = new SimDisk();
    const kept = disk.create("/kept");
    await kept.sync();
    await disk.syncDirectory("/");
    disk.remove("/kept");
    const made = disk.create("/made");
    await made.sync();
    seen.add(disk.powerLoss(new SeededRandom(seed)).paths().join());
  }
  expect([...seen].sort()).toEqual(["", "/kept", "/kept,/made", "/made"]);
});

test("a process that dies loses nothing it wrote; a later power loss still can", async () => {
  const disk = new SimDisk();
  const file = disk.create("/f");
  file.write(Buffer.from("x"), 0);
  const after = disk.processCrash();
  expect(after.peek("/f").toString()).toBe("x");
  expect(() => disk.open("/f")).toThrow("no power");
  const outcomes = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const again = disk.processCrash().powerLoss(new SeededRandom(seed));
    outcomes.add(again.paths().join());
  }
  expect(outcomes).toEqual(new Set(["", "/f"]));
  await after.syncDirectory("/");
});

test("a failed sync cleans the pages: the next one succeeds and makes nothing durable", async () => {
  let failing = true;
  const disk = new SimDisk({
    fault: ({ operation }) => (operation === "sync" && failing ? "EIO" : undefined),
  });
  const file = disk.create("/f");
  await disk.syncDirectory("/");
  file.write(Buffer.from("lost"), 0);
  expect(file.sync()).rejects.toThrow("EIO");
  failing = false;
  await file.sync();
  expect(disk.powerLoss(new SeededRandom(1)).peek("/f").toString()).not.toBe("lost");
});
