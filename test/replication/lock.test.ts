import { expect, test } from "bun:test";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { termOf } from "../../src/model/revision.ts";
import { lockKey } from "../../src/object/keys.ts";
import { MemoryStore } from "../../src/object/memory.ts";
import {
  bucketJoins,
  bucketLeaves,
  decodeHead,
  encodeHead,
  grantReadLease,
  type Head,
  readHead,
  recordSelf,
  rereadHead,
  takeThroughBucket,
  takeWithOwnLog,
  writeHead,
} from "../../src/replication/lock.ts";
import { seal } from "../../src/replication/sealed.ts";
import { cluster, say, seeded } from "./rig.ts";

const self = { incarnation: 0xan, name: "a", address: "10.0.0.1:2379" };
const other = { incarnation: 0xbn, name: 'böse "1"\n', address: "" };

const head: Head = {
  cluster,
  ver: 12,
  nonce: "0123456789abcdef0123456789abcdef",
  term: termOf(3),
  leader: other,
  iss: [0xbn, 0xan],
  s3: true,
  readLeaseMs: 8000,
  fenceSeq: 40,
  wallMs: 1_800_000_000_000,
  restored: { from: "checkpoint/…" },
};

test("a head comes back as it was written, and its first line is JSON with a format version", () => {
  const bytes = encodeHead(head);
  expect(decodeHead(bytes)).toEqual(head);
  expect(decodeHead(encodeHead({ ...head, restored: undefined }))).not.toHaveProperty("restored");
  const json = JSON.parse(bytes.toString());
  expect(json).toMatchObject({ format_version: 1, cluster: "c1a5", iss: ["b", "a"], s3: true });
});

test("no flipped bit and no cut of the lock is taken for a head", () => {
  const bytes = encodeHead(head);
  let flips = 0;
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
      expect(() => decodeHead(flipped)).toThrow(CorruptionError);
      flips++;
    }
    expect(() => decodeHead(bytes.subarray(0, at))).toThrow(/^leader-lock is damaged/);
  }
  say(`lock: ${flips} flips and ${bytes.length} cuts refused`);
});

test("fields that cannot be are refused by name, under a good checksum too", () => {
  const { checksum: _, ...good } = JSON.parse(encodeHead(head).toString());
  const wrong: Record<string, unknown>[] = [
    { cluster: "0" },
    { cluster: "xyz" },
    { ver: 0 },
    { ver: 1.5 },
    { nonce: "" },
    { term: "3" },
    { term: 0 },
    { leader: null },
    { leader: [] },
    { iss: "a" },
    { iss: ["a", "a"] },
    { iss: [1] },
    { s3: 1 },
    { read_lease_ms: -1 },
    { fence_seq: null },
    { restored: 1 },
    { format_version: 0 },
  ];
  for (const change of wrong) {
    const [name = ""] = Object.keys(change);
    expect(() => decodeHead(seal({ ...good, ...change }))).toThrow(`"${name}" cannot be`);
  }
  expect(() => decodeHead(seal({ ...good, iss: [], s3: false }))).toThrow("names nobody");
});

test("fields that are new are left alone, a new format is refused as newer", () => {
  const { checksum: _, ...good } = JSON.parse(encodeHead(head).toString());
  expect(decodeHead(seal({ ...good, more: 1 }))).toEqual(head);
  expect(() => decodeHead(seal({ ...good, format_version: 2 }))).toThrow(ForeignError);
  expect(() => decodeHead(seal({ ...good, format_version: 2 }))).toThrow(/newer one/);
});

test("the first takeover makes the lock, and the lock says what each step says", async () => {
  const store = new MemoryStore();
  const options = seeded(1);
  expect(await readHead(store)).toBeUndefined();
  const takeover = { head: undefined, self, cluster, pastTerm: 0 };
  const first = await writeHead(store, undefined, takeThroughBucket(takeover), options);
  expect(first.won).toBe(true);
  expect(first.now.head).toMatchObject({ ver: 1, term: 1, iss: [], s3: true, leader: self });
  const second = await writeHead(store, first.now, recordSelf(first.now.head, 1), options);
  expect(second.now.head).toMatchObject({ ver: 2, term: 1, iss: [0xan], s3: true, fenceSeq: 1 });
  const lease = await writeHead(
    store,
    second.now,
    grantReadLease(second.now.head, 10_000),
    options,
  );
  expect(lease.now.head).toMatchObject({ ver: 3, readLeaseMs: 10_000, iss: [0xan], fenceSeq: 1 });
  const left = await writeHead(store, lease.now, bucketLeaves(lease.now.head), options);
  expect(left.now.head).toMatchObject({ ver: 4, s3: false, iss: [0xan] });
  const back = await writeHead(store, left.now, bucketJoins(left.now.head), options);
  expect(back.now.head).toMatchObject({ ver: 5, s3: true, iss: [0xan] });
  const nonces = [first, second, lease, left, back].map(({ now }) => now.head.nonce);
  expect(new Set(nonces).size).toBe(5);
  expect(await rereadHead(store, back.now)).toBe("same");
  expect(await rereadHead(store, left.now)).toEqual(back.now);
});

test("a takeover begins a term above the lock's and above the member's own, without a lease", () => {
  const based = { self, cluster, pastTerm: 2 };
  const taken = takeThroughBucket({ ...based, head });
  expect(taken).toMatchObject({ term: 4, iss: [], s3: true, readLeaseMs: 0, leader: self });
  expect(taken.restored).toEqual(head.restored);
  expect(takeThroughBucket({ ...based, head: undefined, pastTerm: 9 }).term).toBe(termOf(10));
  const local = takeWithOwnLog({ ...based, head: { ...head, s3: false } });
  expect(local).toMatchObject({ term: 4, iss: [0xan], s3: false });
  expect(takeWithOwnLog({ ...based, head: undefined })).toMatchObject({ term: 3, s3: false });
});

test("only a member of the set may lead with its own log, and only where the bucket is none", () => {
  const stranger = { self: { ...self, incarnation: 0xcn }, cluster, pastTerm: 0 };
  expect(() => takeWithOwnLog({ ...stranger, head: { ...head, s3: false } })).toThrow("holds");
  expect(() => takeWithOwnLog({ ...stranger, head })).toThrow("holds");
  expect(() => takeThroughBucket({ ...stranger, head: { ...head, s3: false } })).toThrow("bucket");
});

test("the lock of another cluster is refused, both named", async () => {
  const store = new MemoryStore();
  await store.put(lockKey, encodeHead(head));
  expect(readHead(store, { cluster: 0xeen })).rejects.toThrow(/of cluster c1a5, not of ee/);
  expect((await readHead(store, { cluster }))?.head).toEqual(head);
});

test("of two that write on one head one wins, and the other is told who", async () => {
  const store = new MemoryStore();
  const takeover = { head: undefined, cluster, pastTerm: 0 };
  const [a, b] = await Promise.all([
    writeHead(store, undefined, takeThroughBucket({ ...takeover, self }), seeded(1)),
    writeHead(store, undefined, takeThroughBucket({ ...takeover, self: other }), seeded(2)),
  ]);
  expect([a.won, b.won].sort()).toEqual([false, true]);
  expect(a.now).toEqual(b.now);
  expect(a.now.head.leader).toEqual(a.won ? self : other);
});

test("a lock that is deleted under its leader is an error, not a free one", async () => {
  const store = new MemoryStore();
  const takeover = { head: undefined, self, cluster, pastTerm: 0 };
  const { now } = await writeHead(store, undefined, takeThroughBucket(takeover), seeded(1));
  await store.delete(lockKey);
  expect(writeHead(store, now, recordSelf(now.head, 1), seeded(1))).rejects.toThrow("deleted");
});
