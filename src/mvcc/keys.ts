/**
 * How the state machine lays its rows out in the tree. Byte order is the order we read in, so one
 * scan serves a key range at any revision and one scan serves a watch from any revision.
 *
 *   data     01 │ key, escaped │ 00 01 │ inverted revision, 8 │ inverted sub, 4   -> version.ts
 *   history  02 │ revision, 8 │ sub, 4                                            -> key
 *   lease    03 'l' │ lease id, 8                                                 -> ttl, decimal
 *   attached 03 'k' │ lease id, 8 │ key                                           -> nothing
 *
 * A key's 00 bytes become 00 ff, so that no escaped key is the beginning of another one and the
 * order of escaped keys is the order of keys. Revisions of one key are inverted: its newest version
 * comes first, and what is written later sorts earlier, as Tree.first wants it. `sub` counts the
 * changes of one entry from 0.
 */
import {
  type ByteString,
  byteStringOf,
  bytesOf,
  orderedU32,
  orderedU64,
  readOrderedU32,
  readOrderedU64,
} from "../lib/bytes.ts";
import { RowKey } from "../lsm/rowkey.ts";
import type { KeyView } from "../lsm/view.ts";
import { type KeyRange, upperBound } from "../model/range.ts";
import { type LeaseId, type Revision, revisionOf } from "../model/revision.ts";

const dataFamily = "\x01";
const historyFamily = "\x02";
const leaseFamily = "\x03l";
const attachedFamily = "\x03k";
/** The first byte string after every row. */
export const afterLeases: ByteString = "\x03m";
export const afterAttached: ByteString = "\x03l";

const terminator = "\0\x01";
const suffixBytes = 12;
/** The row that is being made. */
const made = new RowKey();
const revisionMax = Number.MAX_SAFE_INTEGER;
const subMax = 0xffffffff;

/** What all data rows of `key` begin with. */
export function dataPrefix(key: ByteString): ByteString {
  return dataFamily + escaped(key) + terminator;
}

/** The row of one version of a key. */
export function dataKey(key: ByteString, revision: number, sub: number): ByteString {
  return dataPrefix(key) + orderedU64(revisionMax - revision) + orderedU32(subMax - sub);
}

/** As `dataKey`, for a row that is put; valid until the next row is made. */
export function dataRow(key: ByteString, revision: number, sub: number): RowKey {
  const inner = escaped(key);
  made.begin(inner.length + 3 + suffixBytes);
  made.u8(1);
  made.text(inner);
  made.u8(0);
  made.u8(1);
  made.endPrefix();
  made.u64(revisionMax - revision);
  made.u32(subMax - sub);
  return made;
}

/** Where to look for the newest version at or below `revision`, given the key's prefix. */
export function dataSeek(prefix: ByteString, revision: number): ByteString {
  return prefix + orderedU64(revisionMax - revision);
}

/** After every data row that begins with `prefix`, before those of the next key. */
export function afterPrefix(prefix: ByteString): ByteString {
  return `${prefix}\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff`;
}

/** The data rows of a key range: from, and up to but not including. */
export function dataBounds(range: KeyRange): { from: ByteString; to: ByteString } {
  const upper = upperBound(range);
  return {
    from: dataFamily + escaped(range.key),
    to: upper === undefined ? historyFamily : dataFamily + escaped(upper),
  };
}

/** True for a row of the data family. */
export function isDataKey(row: KeyView): boolean {
  return row.keyBytes[row.keyAt] === 1;
}

/** True for a row of the history family. */
export function isHistoryKey(row: KeyView): boolean {
  return row.keyBytes[row.keyAt] === 2;
}

/** How much of a data row's key is its prefix. */
export function dataPrefixLength(row: KeyView): number {
  return row.keyEnd - row.keyAt - suffixBytes;
}

/** The key that a data row is about. */
export function keyOf({ keyAt, keyBytes, keyEnd }: KeyView): ByteString {
  const end = keyEnd - suffixBytes - terminator.length;
  return unescaped(byteStringOf(keyBytes, keyAt + dataFamily.length, end));
}

/** The revision in a data row's key. */
export function dataRevision({ keyEnd, keyWords }: KeyView): Revision {
  return (revisionMax - u64At(keyWords, keyEnd - suffixBytes)) as Revision;
}

/** The sub-revision in a data row's key. */
export function dataSub({ keyEnd, keyWords }: KeyView): number {
  return subMax - keyWords.getUint32(keyEnd - 4);
}

/** The row that tells which key changed at (revision, sub). */
export function historyKey(revision: number, sub: number): ByteString {
  return historyFamily + orderedU64(revision) + orderedU32(sub);
}

/** As `historyKey`, for a row that is put; valid until the next row is made. */
export function historyRow(revision: number, sub: number): RowKey {
  made.begin(1 + suffixBytes);
  made.u8(2);
  made.endPrefix();
  made.u64(revision);
  made.u32(sub);
  return made;
}

/** The history rows from `revision` on end before this. */
export const afterHistory: ByteString = "\x03";

/** Revision and sub of a history row's key. */
export function historyPosition({ keyAt, keyWords }: KeyView): { revision: Revision; sub: number } {
  return {
    revision: revisionOf(u64At(keyWords, keyAt + 1)),
    sub: keyWords.getUint32(keyAt + 9),
  };
}

/** The row of a lease. */
export function leaseKey(lease: LeaseId): ByteString {
  return leaseFamily + orderedLease(lease);
}

/** The row that attaches `key` to a lease. */
export function attachedKey(lease: LeaseId, key: ByteString): ByteString {
  return attachedFamily + orderedLease(lease) + key;
}

/** Lease and key of an attachment row; the key is empty for a lease row. */
export function leaseOfRow(row: ByteString): { lease: LeaseId; key: ByteString } {
  const bits = (BigInt(readOrderedU32(row, 2)) << 32n) | BigInt(readOrderedU32(row, 6));
  return { lease: BigInt.asIntN(64, bits), key: row.slice(10) };
}

function orderedLease(lease: LeaseId): ByteString {
  const bits = BigInt.asUintN(64, lease);
  return orderedU32(Number(bits >> 32n)) + orderedU32(Number(bits & 0xffffffffn));
}

function escaped(key: ByteString): ByteString {
  return key.includes("\0") ? key.replaceAll("\0", "\0\xff") : key;
}

function unescaped(inner: ByteString): ByteString {
  return inner.includes("\0") ? inner.replaceAll("\0\xff", "\0") : inner;
}

function u64At(words: DataView, at: number): number {
  return words.getUint32(at) * 2 ** 32 + words.getUint32(at + 4);
}

/** What a row is about, in words; any byte string will do, also one that no row has. */
export function describeRow(row: ByteString): string {
  switch (row.slice(0, row.charCodeAt(0) === 3 ? 2 : 1)) {
    case dataFamily: {
      const end = row.indexOf(terminator, 1);
      const key = unescaped(row.slice(1, end < 0 ? row.length : end));
      return `key ${JSON.stringify(bytesOf(key).toString())}`;
    }
    case historyFamily:
      return row.length < 9 ? "the history" : `the history at ${readOrderedU64(row, 1)}`;
    case leaseFamily:
      return "the leases";
    case attachedFamily:
      return "the keys of leases";
    default:
      return "an unknown row";
  }
}

/** How much of any row's key lookups by prefix use: see Schema in lsm/tree.ts. */
export function prefixLength(row: KeyView): number {
  return isDataKey(row) ? dataPrefixLength(row) : 1;
}
