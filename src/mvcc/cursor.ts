/** Walks the live keys of a range, in key order, as they were at one revision. */
import type { ByteString } from "../lib/bytes.ts";
import { RowKey } from "../lsm/rowkey.ts";
import type { Cursor, RowSet } from "../lsm/tree.ts";
import { commonBytes, keyText } from "../lsm/view.ts";
import type { KeyValue } from "../model/event.ts";
import type { KeyRange } from "../model/range.ts";
import type { Revision } from "../model/revision.ts";
import { dataBounds, dataPrefixLength, dataRevision, dataSeek, keyOf } from "./keys.ts";
import { decodeVersion, isTombstone } from "./version.ts";

/** Stands before the first key; valid until the event loop turns. */
export interface LiveCursor {
  /** Moves to the next live key; false at the end of the range. */
  next(): boolean;
  /** The key it stands on. */
  readonly key: ByteString;
  /** The pair it stands on. */
  pair(): KeyValue;
}

/** After this many versions that are too new, seeking over the rest is cheaper than stepping. */
const stepsMax = 8;

/** The live keys of the tree. */
export class TreeCursor implements LiveCursor {
  readonly #rows: Cursor;
  readonly #revision: number;
  /** What the rows of the key begin with whose version at #revision is known; empty: of none. */
  readonly #prefix = new RowKey();
  #modRevision = 0 as Revision;
  #steps = 0;

  /** `tabledRevision`: no table has a version newer than that, at the moment. */
  constructor(tree: RowSet, range: KeyRange, revision: number, tabledRevision: () => number) {
    const { from, to } = dataBounds(range);
    this.#rows = tree.scanFronts(from, to, () => tabledRevision() <= revision);
    this.#revision = revision;
  }

  next(): boolean {
    const rows = this.#rows;
    const prefix = this.#prefix;
    while (rows.next()) {
      const { row } = rows;
      const length = dataPrefixLength(row);
      if (prefix.length === length && commonBytes(prefix, row) === length) {
        // There is one older version at least, and maybe a thousand.
        rows.pass(prefix);
        continue;
      }
      const revision = dataRevision(row);
      if (revision > this.#revision) {
        if (++this.#steps > stepsMax) {
          this.#skip(dataSeek(keyText(row).slice(0, length), this.#revision));
        }
        continue;
      }
      prefix.copy(row, length, 0);
      this.#steps = 0;
      if (isTombstone(row.bytes, row.start)) continue;
      this.#modRevision = revision;
      return true;
    }
    return false;
  }

  get key(): ByteString {
    return keyOf(this.#rows.row);
  }

  pair(): KeyValue {
    const { bytes, end, start } = this.#rows.row;
    return decodeVersion(this.key, this.#modRevision, bytes, start, end);
  }

  #skip(to: ByteString): void {
    this.#rows.seek(to);
    this.#steps = 0;
  }
}

/** What an overlay says of one key: its pair, or undefined when it is deleted there. */
export interface Overlaid {
  readonly key: ByteString;
  readonly pair: KeyValue | undefined;
}

/** A cursor, with the keys of an overlay in place of its own. */
export class OverlayCursor implements LiveCursor {
  readonly #under: LiveCursor;
  readonly #over: readonly Overlaid[];
  #at = 0;
  #underLive: boolean;
  #current: KeyValue | undefined;

  /** `over` is sorted by key and lies in the range of `under`. */
  constructor(under: LiveCursor, over: readonly Overlaid[]) {
    this.#under = under;
    this.#over = over;
    this.#underLive = under.next();
  }

  next(): boolean {
    for (;;) {
      const top = this.#over[this.#at];
      const underKey = this.#underLive ? this.#under.key : undefined;
      if (top === undefined && underKey === undefined) return false;
      if (top === undefined || (underKey !== undefined && underKey < top.key)) {
        this.#current = this.#under.pair();
        this.#underLive = this.#under.next();
        return true;
      }
      if (underKey === top.key) this.#underLive = this.#under.next();
      this.#at++;
      if (top.pair !== undefined) {
        this.#current = top.pair;
        return true;
      }
    }
  }

  get key(): ByteString {
    return this.pair().key;
  }

  pair(): KeyValue {
    return this.#current as KeyValue;
  }
}
