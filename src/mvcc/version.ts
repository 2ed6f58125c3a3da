/**
 * What a data row holds: one version of a key.
 *
 *   put        flags │ create revision, varint │ version, varint │ lease, 8 if flag 2 │ value …
 *   tombstone  flags
 *   flags: 1 tombstone, 2 has a lease; varints are LEB128: seven bits a byte, low ones first
 */
import { Beginnings, type ByteString } from "../lib/bytes.ts";
import type { PutChange } from "../model/entry.ts";
import type { KeyValue } from "../model/event.ts";
import { type LeaseId, type Revision, revisionOf } from "../model/revision.ts";

/** What a version of a key says besides key and value. */
export interface VersionHead {
  readonly createRevision: Revision;
  readonly modRevision: Revision;
  readonly version: number;
  readonly lease: LeaseId;
}

/** The pair a put makes at `revision`. */
export function pairOf(change: PutChange, revision: Revision): KeyValue {
  const { createRevision, key, lease, value, version } = change;
  return { key, value, createRevision, modRevision: revision, version, lease };
}

const tombstoneFlag = 1;
const leaseFlag = 2;
const leaseBytes = 8;

/** The whole row of a tombstone. */
export const tombstone: Uint8Array = Uint8Array.of(tombstoneFlag);

const scratch = Buffer.alloc(1 + 8 + 8 + 8);
const heads = new Beginnings(scratch);

/** The bytes before the value in a put's row. They stay valid until the next call. */
export function encodeHead(change: PutChange): Uint8Array {
  scratch[0] = change.lease === 0n ? 0 : leaseFlag;
  let at = writeVarint(change.createRevision, 1);
  at = writeVarint(change.version, at);
  if (change.lease !== 0n) {
    scratch.writeBigInt64BE(change.lease, at);
    at += leaseBytes;
  }
  return heads.of(at);
}

/** True for the row of a deleted key, whose value begins at `start`. */
export function isTombstone(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start] ?? 0) & tombstoneFlag) !== 0;
}

/**
 * The pair in a put's row, which is `bytes` from `start` up to `end`; its value is a view of them.
 */
export function decodeVersion(
  key: ByteString,
  modRevision: Revision,
  bytes: Uint8Array,
  start: number,
  end: number,
): KeyValue {
  const versionAt = readVarint(bytes, start + 1);
  const createRevision = revisionOf(varint);
  let at = readVarint(bytes, versionAt);
  const version = varint;
  let lease: LeaseId = 0n;
  if (((bytes[start] ?? 0) & leaseFlag) !== 0) {
    lease = new DataView(bytes.buffer, bytes.byteOffset + at, leaseBytes).getBigInt64(0);
    at += leaseBytes;
  }
  return { key, value: bytes.subarray(at, end), createRevision, modRevision, version, lease };
}

function writeVarint(value: number, offset: number): number {
  let rest = value;
  let at = offset;
  while (rest >= 0x80) {
    scratch[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  scratch[at++] = rest;
  return at;
}

/** What readVarint read last. */
let varint = 0;

/** Reads a varint into `varint`; returns where it ends. */
function readVarint(bytes: Uint8Array, offset: number): number {
  let value = 0;
  let scale = 1;
  let at = offset;
  for (;;) {
    const byte = bytes[at++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) break;
    scale *= 0x80;
  }
  varint = value;
  return at;
}
