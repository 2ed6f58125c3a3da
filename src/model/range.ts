/**
 * Key ranges, as etcd writes them on the wire: a key and a range end.
 *
 *   key   end          meaning
 *   k     (empty)      exactly k
 *   k     "\0"         every key from k on
 *   k     e > k        k up to, not including, e
 *   k     e <= k       no key at all, save for end "\0"
 */
import type { ByteString } from "../lib/bytes.ts";

export interface KeyRange {
  readonly key: ByteString;
  readonly end: ByteString;
}

/** The range end that means "no upper bound". */
export const openEnd: ByteString = "\0";

/** True for a range of exactly one key. */
export function isSingle(range: KeyRange): boolean {
  return range.end === "";
}

/** The first key after the range; undefined where there is no upper bound. */
export function upperBound(range: KeyRange): ByteString | undefined {
  if (range.end === "") return `${range.key}\0`;
  return range.end === openEnd ? undefined : range.end;
}

/** True when no key can be in the range. */
export function isEmpty(range: KeyRange): boolean {
  return range.end !== "" && range.end !== openEnd && range.end <= range.key;
}

/** True when `key` is in the range. */
export function includes(range: KeyRange, key: ByteString): boolean {
  if (range.end === "") return key === range.key;
  return key >= range.key && (range.end === openEnd || key < range.end);
}
