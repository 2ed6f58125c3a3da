/** Entries as bytes are what the picture in model/record.ts says, and come back as they were. */
import { expect, test } from "bun:test";
import { Packr } from "msgpackr";
import { SeededRandom } from "../../src/lib/random.ts";
import type { Action, Change, Entry } from "../../src/model/entry.ts";
import { decodeEntry, encodeEntry } from "../../src/model/record.ts";
import { indexOf, revisionOf, termOf } from "../../src/model/revision.ts";

const packr = new Packr({ useRecords: false, int64AsType: "bigint", variableMapSize: true });

/** Numbers of one byte, two, four and more, as a log that grows comes by them. */
function numberOf(random: SeededRandom): number {
  return random.below(2 ** (1 + random.below(32))) * (random.below(20) === 0 ? 100_003 : 1);
}

function leaseOf(random: SeededRandom): bigint {
  return random.below(3) === 0 ? BigInt.asIntN(64, random.u64()) : 0n;
}

function changeOf(random: SeededRandom): Change {
  const bytes = Array.from({ length: random.below(100) }, () => random.below(random.below(257)));
  const key = String.fromCharCode(...bytes);
  const previousLease = leaseOf(random);
  if (random.below(3) === 0) return { kind: "delete", key, previousLease };
  return {
    kind: "put",
    key,
    value: Buffer.alloc(random.below(2 ** random.below(18)), random.below(256)),
    lease: leaseOf(random),
    createRevision: revisionOf(numberOf(random)),
    version: numberOf(random),
    previousLease,
  };
}

function actionOf(random: SeededRandom): Action {
  const changes = Array.from({ length: random.below(random.below(30) + 1) }, () =>
    changeOf(random),
  );
  const lease = leaseOf(random);
  const kinds: Action[] = [
    { kind: "write", changes },
    { kind: "grant", lease, ttlSeconds: numberOf(random) },
    { kind: "revoke", lease, changes },
    { kind: "compact", floor: revisionOf(numberOf(random)) },
    { kind: "begin" },
  ];
  return kinds[random.below(kinds.length)] ?? { kind: "begin" };
}

const packLease = (lease: bigint) => (lease === 0n ? 0 : lease);

function packChange(change: Change): unknown[] {
  if (change.kind === "delete") return [change.key, packLease(change.previousLease)];
  const { createRevision, key, lease, previousLease, value, version } = change;
  return [key, value, createRevision, version, packLease(lease), packLease(previousLease)];
}

/** As in the picture. */
function packed({ action, index, revision, term }: Entry): Buffer {
  const head = [index, term, revision];
  switch (action.kind) {
    case "write":
      return packr.pack([...head, 0, action.changes.map(packChange)]);
    case "grant":
      return packr.pack([...head, 1, packLease(action.lease), action.ttlSeconds]);
    case "revoke":
      return packr.pack([...head, 2, packLease(action.lease), action.changes.map(packChange)]);
    case "compact":
      return packr.pack([...head, 3, action.floor]);
    case "begin":
      return packr.pack([...head, 4]);
  }
}

test("entries of every kind", () => {
  const random = new SeededRandom(1);
  for (let at = 0; at < 3000; at++) {
    const entry: Entry = {
      index: indexOf(numberOf(random)),
      term: termOf(numberOf(random)),
      revision: revisionOf(numberOf(random)),
      action: actionOf(random),
    };
    const bytes = Buffer.from(encodeEntry(entry));
    expect(bytes.equals(packed(entry))).toBe(true);
    expect(decodeEntry(bytes)).toEqual(entry);
  }
});
