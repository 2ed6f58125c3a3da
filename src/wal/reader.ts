/**
 * Reads a log that is in use: the durable entries after a position, as the batches they were
 * written in. The owner keeps segments that it has not passed (Log.trim).
 */
import { chainHash } from "../lib/checksum.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk } from "../lib/disk.ts";
import type { Batch } from "../model/batch.ts";
import { decodeEntry } from "../model/record.ts";
import { indexOf, type Position } from "../model/revision.ts";
import { openFrame } from "./frame.ts";
import type { Segment } from "./replay.ts";
import { Scan, type WholeFrame } from "./scan.ts";
import { damageHint, readSegmentHeader } from "./segment.ts";

export interface ReaderOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly cluster: bigint;
  /** The segments there are, in order of their entries; `bytes` of the last are durable. */
  readonly segments: () => readonly Segment[];
  /** After the last entry that is durable. */
  readonly synced: () => Position;
}

export class LogReader {
  readonly #options: ReaderOptions;
  #position: Position;
  /** The segment read last, and where its next frame begins. */
  #at: { readonly name: string; readonly offset: number } | undefined;

  /** `from` is where some batch ended. */
  constructor(options: ReaderOptions, from: Position) {
    this.#options = options;
    this.#position = from;
  }

  /** After the last entry read. */
  get position(): Position {
    return this.#position;
  }

  /**
   * The next batches, of about `bytesMax` together and at least one; none at the end. Throws
   * CorruptionError or DiskError.
   */
  read(bytesMax: number): Batch[] {
    const batches: Batch[] = [];
    let bytes = 0;
    const { index: end } = this.#options.synced();
    while (bytes < bytesMax && this.#position.index < end) {
      for (const batch of this.#readSegment(bytesMax - bytes, end)) {
        batches.push(batch);
        bytes += batch.entries.length;
      }
    }
    return batches;
  }

  *#readSegment(bytesMax: number, end: number): Generator<Batch> {
    const { cluster, directory, disk } = this.#options;
    const segments = this.#options.segments();
    const place = segments.findLastIndex(({ first }) => first <= this.#position.index + 1);
    const segment = segments[place];
    const next = segments[place + 1];
    if (segment === undefined) throw this.#damaged(directory, 0, "it has been removed");
    const path = `${directory}/${segment.name}`;
    const file = disk.open(path);
    try {
      const { salt } = readSegmentHeader(file, segment, cluster);
      const offset = this.#at?.name === segment.name ? this.#at.offset : undefined;
      const scan = new Scan(file, salt, { offset, size: segment.bytes });
      let bytes = 0;
      const last = next === undefined ? end : next.first - 1;
      while (bytes < bytesMax && this.#position.index < last) {
        const frame = scan.next();
        if (frame?.kind !== "whole") throw this.#damaged(path, scan.offset, "it is not there");
        const batch = this.#batchOf(frame, salt, path);
        this.#at = { name: segment.name, offset: scan.offset };
        if (batch === undefined) continue;
        bytes += batch.entries.length;
        this.#position = batch.end;
        yield batch;
      }
    } finally {
      file.close();
    }
  }

  /** What the frame holds; undefined when that has been read before. */
  #batchOf(frame: WholeFrame, salt: number, path: string): Batch | undefined {
    const { header, offset } = frame;
    const previous = this.#position;
    if (header.first + header.count - 1 <= previous.index) return undefined;
    const content = openFrame(frame.bytes, header, salt);
    if (content === undefined || header.first !== previous.index + 1) {
      throw this.#damaged(path, offset, `a frame of entry ${header.first} is there`);
    }
    let chain = previous.chain;
    for (const bytes of content.entries) chain = chainHash(chain, bytes);
    if (chain !== header.chain) throw this.#damaged(path, offset, "another history is there");
    const first = decodeEntry(content.entries[0] as Buffer);
    const last = decodeEntry(content.entries.at(-1) as Buffer);
    const index = indexOf(header.first + header.count - 1);
    return {
      previous,
      end: { index, term: last.term, chain },
      count: header.count,
      firstRevision: first.revision,
      lastRevision: last.revision,
      wallMs: content.wallMs,
      entries: content.bytes,
    };
  }

  #damaged(path: string, offset: number, why: string): CorruptionError {
    const what = `entry ${this.#position.index + 1} is to be read and ${why}`;
    return new CorruptionError(path, offset, what, damageHint);
  }
}
