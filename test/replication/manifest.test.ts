import { expect, test } from "bun:test";
import { CorruptionError, ForeignError } from "../../src/lib/corruption.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { indexOf, termOf } from "../../src/model/revision.ts";
import { branchKey, checkpointKey, pendingKey } from "../../src/object/keys.ts";
import { decodeBoundary, encodeBoundary } from "../../src/replication/boundary.ts";
import { decodeCondemned, encodeCondemned } from "../../src/replication/condemned.ts";
import {
  decodeLatest,
  decodeManifest,
  decodePending,
  encodeAbandoned,
  encodeLatest,
  encodeManifest,
  encodePending,
  latestOf,
  type Manifest,
} from "../../src/replication/manifest.ts";
import { decodePin, encodePin, type Pin } from "../../src/replication/pin.ts";
import { seal } from "../../src/replication/sealed.ts";
import { say } from "../support/effort.ts";

const manifest: Manifest = {
  cluster: 0xfedcba9876543210n,
  term: termOf(3),
  revision: 12,
  position: { index: indexOf(20), term: termOf(2), chain: 0xffffffffffffffffn },
  lastSeq: 9,
  floor: 4,
  wallMs: 1_800_000_000_000,
  attempt: "00000000000000ab",
  tables: [
    { hash: "a".repeat(64), bytes: 10, copy: "0".repeat(16), source: undefined },
    { hash: "b".repeat(64), bytes: 0, copy: "1".repeat(16), source: "old/db" },
  ],
  tree: '{"any":"text"}\n"and more"',
};
const key = checkpointKey(3, 12);
const pin: Pin = {
  checkpoint: manifest,
  createdMs: 5,
  nonce: "0123456789abcdef",
  isVerified: true,
  branchPrefix: "new/db",
  expiresMs: undefined,
  releasedMs: undefined,
  point: undefined,
};

/** Each small object: its bytes, and how they are read. */
const objects: Readonly<Record<string, [Buffer, (bytes: Buffer) => unknown]>> = {
  manifest: [encodeManifest(manifest), (bytes) => decodeManifest(key, bytes)],
  abandoned: [encodeAbandoned("0".repeat(16)), (bytes) => decodeManifest(key, bytes)],
  pending: [
    encodePending({ wallMs: 7, tables: manifest.tables }),
    (bytes) => decodePending(pendingKey(3, 12, "0".repeat(16)), bytes),
  ],
  latest: [encodeLatest(latestOf(manifest)), decodeLatest],
  boundary: [encodeBoundary({ seq: 4, index: 8 }), decodeBoundary],
  condemned: [
    encodeCondemned({ writes: 2, keys: new Map([["sst/x", ["0".repeat(16)]]]) }),
    decodeCondemned,
  ],
  pin: [encodePin(pin), (bytes) => decodePin(branchKey("x"), bytes)],
};

test("what is written is read", () => {
  const read = (name: string) => {
    const [bytes, decode] = objects[name] ?? [Buffer.alloc(0), () => undefined];
    return decode(bytes);
  };
  expect(read("manifest")).toEqual(manifest);
  expect(read("abandoned")).toBeUndefined();
  expect(read("pending")).toEqual({ wallMs: 7, tables: manifest.tables });
  expect(read("latest")).toEqual(latestOf(manifest));
  expect(read("boundary")).toEqual({ seq: 4, index: 8 });
  expect(read("condemned")).toEqual({ writes: 2, keys: new Map([["sst/x", ["0".repeat(16)]]]) });
  expect(read("pin")).toEqual(pin);
});

test("a flipped byte, a missing end or one more byte is found in every small object", () => {
  const random = new SeededRandom(1);
  let flips = 0;
  for (const [name, [bytes, decode]] of Object.entries(objects)) {
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(bytes.readUInt8(at) ^ (1 + random.below(255)), at);
      const caseOnly = Buffer.from(bytes);
      caseOnly.writeUInt8(bytes.readUInt8(at) ^ 0x20, at);
      for (const damaged of [flipped, caseOnly, bytes.subarray(0, at)]) {
        expect(() => decode(damaged), `${name}, byte ${at}`).toThrow(CorruptionError);
        flips++;
      }
    }
    expect(() => decode(Buffer.concat([bytes, Buffer.from(" ")]))).toThrow(CorruptionError);
  }
  say(`small objects: ${flips} damaged ones refused, of ${Object.keys(objects).length} kinds`);
});

test("a newer format is refused as such", () => {
  for (const [name, [bytes, decode]] of Object.entries(objects)) {
    const { checksum: _, ...fields } = JSON.parse(bytes.toString());
    const newer = seal({ ...fields, format_version: 2 });
    expect(() => decode(newer), name).toThrow(ForeignError);
    // A field that this version does not know is no reason.
    expect(() => decode(seal({ ...fields, novel: 1 })), name).not.toThrow();
  }
});

test("a manifest that lies under another's key is refused", () => {
  const bytes = encodeManifest(manifest);
  expect(() => decodeManifest(checkpointKey(3, 13), bytes)).toThrow(CorruptionError);
});

test("a sealed object of impossible content is refused", () => {
  const json = JSON.parse(encodeManifest(manifest).toString());
  const wrong: Record<string, unknown>[] = [
    { index: -1 },
    { term: 1.5 },
    { chain: "x" },
    { cluster: 7 },
    { tables: 5 },
    { tables: [null] },
    { tables: [{ hash: "a", bytes: 1, copy: "0".repeat(16) }] },
    { tables: [manifest.tables[0], manifest.tables[0]] },
    { tree: null },
    { attempt: "short" },
  ];
  for (const fields of wrong) {
    const { checksum: _, ...rest } = json;
    const bytes = seal({ ...rest, ...fields });
    expect(() => decodeManifest(key, bytes), JSON.stringify(fields)).toThrow(CorruptionError);
  }
});

test("the pointer is JSON that people can read", () => {
  const text = encodeLatest(latestOf(manifest)).toString();
  expect(JSON.parse(text)).toMatchObject({
    format_version: 1,
    checkpoint_key: "checkpoint/0000000003/00000000000000000012/manifest.json",
    revision: 12,
    term: 3,
    index: 20,
    last_wal_key: "wal/00000000000000000009",
  });
});
