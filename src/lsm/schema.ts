/** What the owner of the rows tells the tree about them. */
import type { ByteString } from "../lib/bytes.ts";
import type { TableInfo } from "./table.ts";

export interface Schema {
  /** How much of `key` is the prefix that lookups go by; filters hold its hash. At most its length. */
  prefixLength(key: ByteString): number;
  /** A fresh summary of one table; see Summary. */
  summary(): Summary;
  /**
   * A fresh sieve for one merge: asked about each row that is left, in key order; true drops it. A
   * row that is dropped must not show an older row of the same key. `bottom`: nothing older than
   * the rows merged lies in their key range.
   */
  sieve(bottom: boolean): (key: ByteString, value: Uint8Array) => boolean;
  /**
   * Whether merging everything is worth it, by the summaries of all tables. Asked after the opening,
   * after each flush, and after Tree.reconsider().
   */
  wantsMajor?(tables: readonly TableInfo[]): boolean;
}

/** Collects what a table says about its rows. */
export interface Summary {
  /** Takes the key of each row, deletions included, in key order. */
  add(key: ByteString): void;
  /** What goes into the table's footer. */
  result(): Readonly<Record<string, number>>;
}
