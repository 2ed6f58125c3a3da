import { expect, test } from "bun:test";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Batch } from "../../src/model/batch.ts";
import { type Position, termOf } from "../../src/model/revision.ts";
import { logKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import { encodeLogObject, type LogHeader, noHash } from "../../src/replication/record.ts";
import { findSlot, type ReplayLogOptions, replayLog } from "../../src/replication/replay.ts";
import { FaultyStore } from "../sim/store.ts";
import { lead } from "./reign.ts";
import { batchAfter, batchesAfter, cluster, hurriedClock, keysOf, origin, say } from "./rig.ts";

/** A log of several terms and its entries' positions, by index. */
async function someLog(random: SeededRandom, base: Position = origin) {
  const store = new MemoryStore();
  const positions = new Map([[base.index as number, base]]);
  const objects: { seq: number; end: Position }[] = [];
  let leader = await lead(store, base.term + 1, base);
  for (let term = base.term + 1; ; term++) {
    for (let puts = random.below(4); puts > 0; puts--) {
      const counts = Array.from({ length: 1 + random.below(3) }, () => 1 + random.below(3));
      const batches = batchesAfter(leader.end.position, term, counts);
      for (const batch of batches) note(positions, batch);
      await leader.put(batches);
      objects.push({ seq: leader.end.seq, end: leader.end.position });
    }
    if (term === base.term + 3) return { store, positions, objects, end: leader.end };
    leader = await lead(store, term + 1);
  }
}

/** Notes where the log stands after each entry of `batch`. */
function note(positions: Map<number, Position>, batch: Batch): void {
  let position = batch.previous;
  for (let left = batch.count; left > 0; left--) {
    position = batchAfter(position, batch.end.term, 1).end;
    positions.set(position.index, position);
  }
  expect(position).toEqual(batch.end);
}

/** Replays; what was handed on, and that it follows `from` without a gap. */
async function replayed(
  store: MemoryStore | FaultyStore,
  options: Partial<ReplayLogOptions> & Pick<ReplayLogOptions, "to" | "end">,
) {
  const keys: string[] = [];
  const { from = origin } = options;
  let reached = from;
  const read = await replayLog(store, {
    cluster,
    from,
    fromSeq: 1,
    clock: hurriedClock(),
    onBatch: (batch) => {
      expect(batch.previous).toEqual(reached);
      reached = batch.end;
      keys.push(...keysOf(batch));
    },
    ...options,
  });
  if (keys.length > 0) expect(reached).toEqual(options.end);
  return { ...read, keys };
}

/** The keys of entries from `first` to `last`. */
function keysFrom(first: number, last: number): string[] {
  return Array.from({ length: Math.max(0, last + 1 - first) }, (_, at) => `k${first + at}`);
}

test("whatever a reader has already, it gets the rest, in order and once", async () => {
  let replays = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const random = new SeededRandom(seed);
    const base = seed % 2 === 0 ? origin : batchAfter(origin, 4, 7).end;
    const { end, positions, store } = await someLog(random, base);
    for (const from of positions.values()) {
      const fromSeq = await findSlot(store, {
        cluster,
        index: from.index,
        fromSeq: 1,
        to: end.seq + 1,
      });
      const to = { to: end.seq + 1, end: end.position };
      const whole = await replayed(store, { ...to, from, parallel: 1 + random.below(5) });
      const some = await replayed(store, { ...to, from, fromSeq });
      expect(whole.keys).toEqual(keysFrom(from.index + 1, end.position.index));
      expect(some.keys).toEqual(whole.keys);
      expect(whole.entries).toBe(whole.keys.length);
      replays += 2;
    }
  }
  say(`replay: ${replays} replays from every position of 25 logs`);
});

test("a reader with another history is told so, wherever they part", async () => {
  const { end, positions, store } = await someLog(new SeededRandom(3));
  const to = { to: end.seq + 1, end: end.position };
  for (const from of positions.values()) {
    for (const other of [
      { ...from, chain: from.chain ^ 1n },
      { ...from, term: termOf(from.term + 1) },
    ]) {
      expect(replayed(store, { ...to, from: other })).rejects.toMatchObject({
        name: "DivergedError",
        index: from.index,
      });
    }
  }
  expect(positions.size).toBeGreaterThan(5);
});

test("a reader that is ahead of the log gets nothing", async () => {
  const { end, store } = await someLog(new SeededRandom(3));
  const from = batchAfter(end.position, 9, 3).end;
  const { keys } = await replayed(store, { to: end.seq + 1, end: end.position, from });
  expect(keys).toEqual([]);
});

test("every object that is missing and needed is refused by its slot and entries", async () => {
  const { end, objects, store } = await someLog(new SeededRandom(3));
  let refused = 0;
  for (let seq = 1; seq <= end.seq; seq++) {
    const bytes = store.peek(logKey(seq)) ?? Buffer.alloc(0);
    await store.delete(logKey(seq));
    const read = replayed(store, { to: end.seq + 1, end: end.position });
    const at = objects.findIndex((object) => object.seq === seq);
    if (at >= 0) {
      const from = (objects[at - 1]?.end.index ?? 0) + 1;
      const missing = `slots ${seq} to ${seq} are empty, entries ${from} to ${objects[at]?.end.index}`;
      expect(read).rejects.toThrow(missing);
      refused++;
    }
    await read.catch(() => undefined);
    await store.put(logKey(seq), bytes);
  }
  expect(refused).toBe(objects.length);
  expect((await replayed(store, { to: end.seq + 1, end: end.position })).keys).not.toEqual([]);
});

test("objects that gc removed are not missed by a reader that has what they held", async () => {
  const { end, objects, store } = await someLog(new SeededRandom(3));
  const half = objects[objects.length >> 1];
  if (half === undefined) throw new Error("a log of several objects");
  for (const { seq } of objects) if (seq <= half.seq) await store.delete(logKey(seq));
  const to = { to: end.seq + 1, end: end.position };
  const { keys } = await replayed(store, { ...to, from: half.end });
  expect(keys).toEqual(keysFrom(half.end.index + 1, end.position.index));
  expect(replayed(store, to)).rejects.toThrow("are missing");
});

test("any flipped byte of any object is refused by key and offset", async () => {
  const { end, store } = await someLog(new SeededRandom(5));
  let flips = 0;
  for (let seq = 1; seq <= end.seq; seq++) {
    const bytes = store.peek(logKey(seq)) ?? Buffer.alloc(0);
    for (let at = 0; at < bytes.length; at += 7) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
      await store.put(logKey(seq), flipped);
      const read = replayed(store, { to: end.seq + 1, end: end.position });
      expect(read).rejects.toThrow(`${logKey(seq)} is damaged at offset `);
      await read.catch(() => undefined);
      flips++;
    }
    await store.put(logKey(seq), bytes);
  }
  say(`replay: ${flips} flips refused`);
});

test("objects in each other's slots, or of another log, are refused", async () => {
  const { end, objects, store } = await someLog(new SeededRandom(3));
  const other = await someLog(new SeededRandom(6));
  const to = { to: end.seq + 1, end: end.position };
  const [{ seq: first } = { seq: 0 }, { seq: second } = { seq: 0 }] = objects.slice(1);
  const bytes = store.peek(logKey(first)) ?? Buffer.alloc(0);
  await store.put(logKey(first), store.peek(logKey(second)) ?? bytes);
  expect(replayed(store, to)).rejects.toThrow(`it is the object of slot ${second}`);
  await store.put(logKey(first), other.store.peek(logKey(first)) ?? bytes);
  expect(replayed(store, to)).rejects.toThrow(/it was not put after|takes back|are missing/);
});

/** Puts an object that no leader would put there. */
async function forge(
  store: MemoryStore,
  header: Pick<LogHeader, "seq" | "term" | "previousHash" | "base">,
  batches: readonly Batch[],
): Promise<void> {
  const object: LogHeader = {
    ...header,
    kind: batches.length === 0 ? "fence" : "data",
    cluster,
    writer: 1n,
    nonce: 0n,
    firstRevision: 2,
    lastRevision: 2,
    wallMs: 0,
  };
  await store.put(logKey(header.seq), encodeLogObject(object, batches));
}

test("an object put by a leader whose successor's fence is before it is void", async () => {
  const store = new MemoryStore();
  const first = await lead(store, 1);
  await first.put([batchAfter(origin, 1, 2)]);
  const second = await lead(store, 2);
  const { end } = second;
  const late = batchAfter(first.end.position, 1, 1, "late");
  await forge(store, { seq: 4, term: termOf(1), previousHash: end.hash, base: end.position }, [
    late,
  ]);
  const { keys, voids } = await replayed(store, { to: 5, end: end.position });
  expect({ keys, voids }).toEqual({ keys: ["k1", "k2"], voids: 1 });
});

test("a term that takes back what an earlier one put is refused by name", async () => {
  const store = new MemoryStore();
  const first = await lead(store, 1);
  const kept = first.end;
  await first.put([batchAfter(origin, 1, 2)]);
  const base = { previousHash: first.end.hash, base: kept.position };
  await forge(store, { seq: 3, term: termOf(2), ...base }, []);
  const read = replayed(store, { to: 4, end: kept.position });
  expect(read).rejects.toThrow("takes back entries 1 to 2, which slot 2 (term 1) holds");
});

test("a term without a fence, and a log that ends elsewhere than the fence says, are refused", async () => {
  const store = new MemoryStore();
  const first = await lead(store, 1);
  await first.put([batchAfter(origin, 1, 2)]);
  const { end } = first;
  expect(replayed(store, { to: 3, end: origin })).rejects.toThrow(
    "ends with entry 2, not as slot 3",
  );
  const base = { previousHash: end.hash, base: end.position };
  const batch = batchAfter(end.position, 2, 1);
  await forge(store, { seq: 3, term: termOf(2), ...base }, [batch]);
  const read = replayed(store, { to: 4, end: batch.end });
  expect(read).rejects.toThrow("term 2 does not begin with a fence");
  await forge(store, { seq: 3, term: termOf(2), ...base, base: batch.end }, []);
  expect(replayed(store, { to: 4, end: batch.end })).rejects.toThrow("was not put after");
  await forge(store, { seq: 3, term: termOf(2), ...base, previousHash: noHash }, []);
  expect(replayed(store, { to: 4, end: end.position })).rejects.toThrow("was not put after");
});

test("as many objects are under way as asked for, and no more once it fails", async () => {
  const { end, store } = await someLog(new SeededRandom(3));
  const faulty = new FaultyStore(store, { plan: () => "held" });
  const read = replayed(faulty, { to: end.seq + 1, end: end.position, parallel: 3 });
  const failure = read.catch((error: Error) => error.message);
  const keys = () => faulty.held.map(({ key }) => key);
  await hurriedClock().yield();
  expect(keys()).toEqual([1, 2, 3].map(logKey));
  await faulty.letGo("get", logKey(1));
  await hurriedClock().yield();
  expect(keys()).toEqual([2, 3, 4].map(logKey));
  await faulty.letGo("get", logKey(2), "timeout");
  expect(await failure).toContain("no answer in time");
  expect(keys()).toEqual([3, 4].map(logKey));
});
