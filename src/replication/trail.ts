/**
 * The bucket's log, looked at whole: each object, and how it follows the one before. Unlike a replay
 * it does not end at the first damage, but goes on with the next object that can be read.
 */
import { CorruptionError } from "../lib/corruption.ts";
import { decodeBatch } from "../model/batch.ts";
import type { Position } from "../model/revision.ts";
import { logKey } from "../object/keys.ts";
import { decodeLogObject, headerBytes, isSame, type LogObject } from "./record.ts";
import { isUnreadable } from "./survey.ts";

/** Something in a bucket that is not what was put there. */
export interface Finding {
  readonly key: string;
  /** In bytes; undefined where it is no place of the object. */
  readonly offset: number | undefined;
  readonly what: string;
  /** What is in doubt with it, in words. */
  readonly range: string | undefined;
}

/** Somebody who says where the log stands after an entry: a checkpoint. */
export interface Witness {
  readonly key: string;
  readonly position: Position;
  readonly revision: number;
}

export interface TrailOptions {
  readonly cluster: bigint;
  /** The first slot that is whole; below it there may be holes. */
  readonly firstSeq: number;
  readonly witnesses: readonly Witness[];
  readonly report: (finding: Finding) => void;
}

export class Trail {
  fences = 0;
  batches = 0;
  entries = 0;
  /** Objects put by a leader that had been deposed. */
  voids = 0;
  readonly #options: TrailOptions;
  readonly #witnesses = new Map<number, Witness[]>();
  /** The last one that could be read, in a slot from the first whole one on. */
  #last: LogObject | undefined;
  /** The slot taken last. */
  #seq: number;
  /** Findings whose entries are known once the next object is read. */
  #open: Omit<Finding, "range">[] = [];
  #isCut = false;

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#seq = Math.max(options.firstSeq, 1) - 1;
    for (const witness of options.witnesses) {
      const { index } = witness.position;
      this.#witnesses.set(index, [...(this.#witnesses.get(index) ?? []), witness]);
    }
  }

  /** The last object that could be read; undefined for none. */
  get last(): LogObject | undefined {
    return this.#last;
  }

  /** Whether what follows the last object is there and cannot be read. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Takes the object of a slot; slots come in order, and empty ones do not come. */
  take(seq: number, bytes: Buffer): void {
    const isBelow = seq < this.#options.firstSeq;
    if (!isBelow) this.#missing(seq);
    const object = this.#decode(seq, bytes);
    if (object === undefined) return;
    if (!isBelow) this.#settle(object.base.index);
    if (object.term < (this.#last?.term ?? 0)) {
      this.voids++;
      return;
    }
    if (object.kind === "fence") this.fences++;
    if (!isBelow) this.#follow(object);
    this.#read(object);
    if (!isBelow) this.#last = object;
  }

  /** The last object has been taken. */
  finish(): void {
    this.#isCut = this.#open.length > 0;
    this.#settle(undefined);
  }

  #missing(seq: number): void {
    const first = this.#seq + 1;
    this.#seq = seq;
    if (seq === first) return;
    const what = seq === first + 1 ? "it is missing" : `slots ${first} to ${seq - 1} are empty`;
    this.#open.push({ key: logKey(first), offset: undefined, what });
  }

  #decode(seq: number, bytes: Buffer): LogObject | undefined {
    try {
      return decodeLogObject(seq, bytes, this.#options.cluster);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      const isPlaced = error instanceof CorruptionError;
      const what = isPlaced ? error.what : error.message;
      this.#open.push({ key: logKey(seq), offset: isPlaced ? error.offset : undefined, what });
      return undefined;
    }
  }

  /** Up to entry `next` it is known now what damaged objects held. */
  #settle(next: number | undefined): void {
    const first = (this.#last?.end.index ?? 0) + 1;
    const range = next === undefined ? `entries from ${first} on` : rangeText(first, next);
    for (const finding of this.#open) this.#options.report({ ...finding, range });
    this.#open = [];
  }

  #follow(object: LogObject): void {
    const { base, kind, previousHash, seq, term } = object;
    const last = this.#last;
    if (last === undefined || last.seq + 1 !== seq) return;
    if (previousHash !== last.hash || !isSame(base, last.end)) {
      this.#report(object, 56, `it was not put after the object that is in slot ${last.seq}`);
    } else if (term > last.term && kind !== "fence") {
      this.#report(object, 12, `term ${term} does not begin with a fence`);
    }
  }

  /** Decodes its entries, and holds them against who says where the log stands after one. */
  #read(object: LogObject): void {
    for (const batch of object.batches) {
      this.batches++;
      try {
        for (const { entry, position } of decodeBatch(batch)) {
          this.entries++;
          this.#confront(position, entry.revision);
        }
      } catch (error) {
        this.#report(object, headerBytes, (error as Error).message);
      }
    }
  }

  #confront(position: Position, revision: number): void {
    for (const { key, position: said, revision: saidRevision } of this.#witnesses.get(
      position.index,
    ) ?? []) {
      if (isSame(said, position) && saidRevision === revision) continue;
      const what = `it has another history up to entry ${position.index} than the log`;
      const range = `entries up to ${position.index}`;
      this.#options.report({ key, offset: undefined, what, range });
    }
  }

  #report({ base, end, seq }: LogObject, offset: number, what: string): void {
    const range = rangeText(base.index + 1, end.index);
    this.#options.report({ key: logKey(seq), offset, what, range });
  }
}

function rangeText(first: number, last: number): string {
  if (last < first) return `no entry, after entry ${first - 1}`;
  return first === last ? `entry ${first}` : `entries ${first} to ${last}`;
}
