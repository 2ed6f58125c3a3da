/** What the tests of the bucket's log share: batches, a reader of what is there, and how much to try. */
import { chainHash } from "../../src/lib/checksum.ts";
import { noCounter, noHistogram } from "../../src/lib/meter.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { type Batch, decodeBatch } from "../../src/model/batch.ts";
import type { Entry } from "../../src/model/entry.ts";
import { encodeEntry } from "../../src/model/record.ts";
import {
  indexOf,
  origin,
  type Position,
  revisionOf,
  type Term,
  termOf,
} from "../../src/model/revision.ts";
import { logKey } from "../../src/object/keys.ts";
import type { ObjectStore } from "../../src/object/store.ts";
import type { ArchiveMeters } from "../../src/replication/archive.ts";
import { decodeLogObject, type LogObject } from "../../src/replication/record.ts";
import { SimClock } from "../sim/clock.ts";

/** More rounds where time does not matter: T4_TEST_WHOLE=1. */
export const whole = process.env.T4_TEST_WHOLE === "1";

export const cluster = 0xc1a5n;
export const noMeters: ArchiveMeters = {
  uploads: noCounter,
  errors: noCounter,
  seconds: noHistogram,
};

/** A batch of `count` entries of `term` after `previous`; each writes one key named `text`. */
export function batchAfter(previous: Position, term: number, count: number, text = "k"): Batch {
  const parts: Buffer[] = [];
  let { chain, index } = previous;
  const first = previous.index + 1;
  for (let left = count; left > 0; left--) {
    index = indexOf(index + 1);
    const bytes = Buffer.from(encodeEntry(entryAt(index, termOf(term), text)));
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    parts.push(length, bytes);
    chain = chainHash(chain, bytes);
  }
  return {
    previous,
    end: { index, term: termOf(term), chain },
    count,
    firstRevision: first + 1,
    lastRevision: index + 1,
    wallMs: 1_800_000_000_000 + index,
    entries: Buffer.concat(parts),
  };
}

function entryAt(index: number, term: Term, text: string): Entry {
  const revision = revisionOf(index + 1);
  const change = {
    kind: "put" as const,
    key: `${text}${index}`,
    value: Buffer.from(text),
    lease: 0n,
    createRevision: revision,
    version: 1,
    previousLease: 0n,
  };
  return { index: indexOf(index), term, revision, action: { kind: "write", changes: [change] } };
}

/** Batches after `previous`, of `counts` entries each. */
export function batchesAfter(previous: Position, term: number, counts: readonly number[]): Batch[] {
  const batches: Batch[] = [];
  let end = previous;
  for (const count of counts) {
    const batch = batchAfter(end, term, count);
    batches.push(batch);
    end = batch.end;
  }
  return batches;
}

/** The first key each entry of a batch writes: tells entries apart. */
export function keysOf(batch: Batch): string[] {
  return decodeBatch(batch).map(({ entry: { action } }) =>
    action.kind === "write" ? (action.changes[0]?.key ?? "") : action.kind,
  );
}

/** The log object in slot `seq`. */
export async function objectAt(store: ObjectStore, seq: number): Promise<LogObject> {
  const found = await store.get(logKey(seq));
  if (found === undefined) throw new Error(`slot ${seq} is empty`);
  return decodeLogObject(seq, found.bytes, cluster);
}

/** A clock, moved on in the background whenever somebody sleeps on it. */
export function hurriedClock(): SimClock {
  return new HurriedClock();
}

class HurriedClock extends SimClock {
  override async sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    await this.yield();
    if (signal?.aborted) return;
    await this.advance(milliseconds);
  }
}

export function seeded(seed: number): { clock: SimClock; random: SeededRandom } {
  return { clock: hurriedClock(), random: new SeededRandom(seed) };
}

export { origin };

/** Says how much a test has tried. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
