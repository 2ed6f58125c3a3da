import { expect, test } from "bun:test";
import { CorruptionError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { nodeKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { addBoot, type Registration, readNode, registerNode } from "../../src/replication/nodes.ts";
import { chance, FaultyStore } from "../sim/store.ts";
import { cluster, seeded } from "./rig.ts";

const registration: Registration = {
  cluster,
  incarnation: 0xa1n,
  name: "a",
  bootIds: ["boot-1"],
  createdMs: 1_800_000_000_000,
};

test("the first registration of a directory stands, starts of machines are added to it", async () => {
  const store = new MemoryStore();
  const options = seeded(1);
  expect(await readNode(store, 0xa1n, cluster)).toBeUndefined();
  expect(await registerNode(store, registration, options)).toEqual(registration);
  const again = { ...registration, bootIds: ["boot-2"], createdMs: 1 };
  expect(await registerNode(store, again, options)).toEqual(registration);
  const added = { ...registration, bootIds: ["boot-1", "boot-2"] };
  expect(await addBoot(store, registration, "boot-2", options)).toEqual(added);
  expect(await addBoot(store, registration, "boot-2", options)).toEqual(added);
  expect(await readNode(store, 0xa1n, cluster)).toEqual(added);
});

test("of very many starts the newest are remembered", async () => {
  const store = new MemoryStore();
  await registerNode(store, registration, seeded(1));
  for (let boot = 2; boot < 40; boot++) {
    await addBoot(store, registration, `boot-${boot}`, seeded(1));
  }
  const { bootIds } = (await readNode(store, 0xa1n, cluster)) ?? { bootIds: [] };
  expect(bootIds).toEqual(Array.from({ length: 16 }, (_, at) => `boot-${at + 24}`));
});

test("a bucket that fails half of the time is tried until it is known what stands there", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const plan = chance(new SeededRandom(seed), 2, [
      "lost",
      "again",
      "conflict",
      "timeout",
      "twice",
    ]);
    const store = new FaultyStore(new MemoryStore(), { plan });
    expect(await registerNode(store, registration, seeded(seed))).toEqual(registration);
    const { bootIds } = await addBoot(store, registration, "boot-2", seeded(seed));
    expect(bootIds).toEqual(["boot-1", "boot-2"]);
  }
});

test("a damaged registration, or one of another cluster, is refused by its key", async () => {
  const store = new MemoryStore();
  await registerNode(store, registration, seeded(1));
  expect(readNode(store, 0xa1n, 0xeen)).rejects.toThrow("nodes/a1 is of cluster c1a5, not of ee");
  const bytes = store.peek(nodeKey(0xa1n)) ?? Buffer.alloc(0);
  await store.put(nodeKey(0xa2n), bytes);
  expect(readNode(store, 0xa2n, cluster)).rejects.toThrow(CorruptionError);
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped.writeUInt8(bytes.readUInt8(at) ^ 4, at);
    await store.put(nodeKey(0xa1n), flipped);
    expect(readNode(store, 0xa1n, cluster)).rejects.toThrow("nodes/a1 is damaged at offset 0");
  }
});
