/**
 * A batch: the entries that became durable together, as bytes. The log writes one frame for it, the
 * bucket gets it in a log object, and whoever replays either hands it on as it is.
 *
 *   entries   u32 length (little-endian), encoded entry, u32 length, encoded entry, …
 */
import { chainHash } from "../lib/checksum.ts";
import type { Entry } from "./entry.ts";
import { decodeEntry } from "./record.ts";
import { indexOf, type Position } from "./revision.ts";

export interface Batch {
  /** Where the log stood before the first entry. */
  readonly previous: Position;
  /** Where it stands after the last one. */
  readonly end: Position;
  /** How many entries, at least 1. */
  readonly count: number;
  /** Revisions of the store after the first and after the last entry. */
  readonly firstRevision: number;
  readonly lastRevision: number;
  /** The leader's clock when it was closed, in milliseconds since 1970; never goes back in a log. */
  readonly wallMs: number;
  /** As in the picture above; nobody changes them. */
  readonly entries: Buffer;
}

/** The encoded entries of a batch, as views. Throws an Error when the lengths do not add up. */
export function* encodedEntries(entries: Buffer, count: number): Generator<Buffer> {
  let at = 0;
  for (let left = count; left > 0; left--) {
    const end = at + 4 <= entries.length ? at + 4 + entries.readUInt32LE(at) : Infinity;
    if (end > entries.length) throw new Error("the lengths of the entries do not add up");
    yield entries.subarray(at + 4, end);
    at = end;
  }
  if (at !== entries.length) throw new Error("the lengths of the entries do not add up");
}

/** An entry of a batch, and where the log stands after it. */
export interface Placed {
  readonly entry: Entry;
  readonly position: Position;
}

/**
 * Decodes a batch and holds its claims against its entries: indexes follow each other, terms do not
 * fall, chain and revisions end where it says. Throws an Error that says what does not hold.
 */
export function decodeBatch(batch: Batch): Placed[] {
  const placed: Placed[] = [];
  let { chain, index, term } = batch.previous;
  for (const bytes of encodedEntries(batch.entries, batch.count)) {
    const entry = decodeEntry(bytes);
    if (entry.index !== index + 1) throw new Error(`entry ${entry.index} follows entry ${index}`);
    if (entry.term < term) throw new Error(`the term falls at entry ${entry.index}`);
    index = indexOf(entry.index);
    term = entry.term;
    chain = chainHash(chain, bytes);
    placed.push({ entry, position: { index, term, chain } });
  }
  const { end } = batch;
  if (end.index !== index || end.term !== term || end.chain !== chain) {
    throw new Error(`the batch says it ends otherwise than with entry ${index}`);
  }
  const [first, last] = [placed[0]?.entry.revision, placed.at(-1)?.entry.revision];
  if (first !== batch.firstRevision || last !== batch.lastRevision) {
    throw new Error("the batch says other revisions than its entries");
  }
  return placed;
}
