/**
 * The answers that are given most, from what the member says to bytes without a message in between.
 * Each is measured first, then written into memory of just that size, behind `room` bytes that are
 * anything. The bytes are the same as the generated codecs make of convert.ts's messages.
 */
import type { Event, KeyValue } from "../model/event.ts";
import type {
  DeleteRangeReply,
  OperationReply,
  PutReply,
  RangeReply,
  TxnReply,
} from "../model/reply.ts";
import {
  bytesTag,
  varint64Bytes,
  varintBytes,
  varintTag,
  writeVarint,
  writeVarint64,
} from "./protobuf.ts";

/** ResponseHeader as the first field of a response: most of it never changes. */
export class HeaderWriter {
  readonly #identity: Uint8Array;
  #revision = -1;
  #term = -1;
  #newest: Uint8Array = new Uint8Array(0);

  /** For responses of this member. */
  constructor({ clusterId, memberId }: { readonly clusterId: bigint; readonly memberId: bigint }) {
    const identity = Buffer.allocUnsafe(22);
    const at = clusterId === 0n ? 0 : id(identity, 0, 1, clusterId);
    this.#identity = identity.subarray(0, memberId === 0n ? at : id(identity, at, 2, memberId));
  }

  /** The field, tag and length included; to be copied before the next is asked for. */
  field(revision: number, term: number): Uint8Array {
    if (revision === this.#revision && term === this.#term) return this.#newest;
    const length = this.#identity.length + numberBytes(revision) + numberBytes(term);
    const field = Buffer.allocUnsafe(2 + length);
    const from = open(field, 0, 1, length);
    field.set(this.#identity, from);
    number(field, number(field, from + this.#identity.length, 3, revision), 4, term);
    this.#revision = revision;
    this.#term = term;
    this.#newest = field;
    return field;
  }
}

/** PutResponse. */
export function writePut(reply: PutReply, header: Uint8Array, room: number): Uint8Array {
  const { previous } = reply;
  const out = Buffer.allocUnsafe(room + header.length + (previous ? pairBytes(previous) : 0));
  out.set(header, room);
  if (previous !== undefined) pair(out, room + header.length, previous);
  return out;
}

/** RangeResponse. */
export function writeRange(reply: RangeReply, header: Uint8Array, room: number): Uint8Array {
  const out = Buffer.allocUnsafe(room + header.length + rangeBytes(reply));
  out.set(header, room);
  range(out, room + header.length, reply);
  return out;
}

/** Pairs that are measured or written in one go: a millisecond or so. */
const pairsAtOnce = 4096;
const pieceBytes = 65_536;

/** A RangeResponse so large that it is measured in steps and written in pieces. */
export class LargeRange {
  readonly #header: Uint8Array;
  readonly #reply: RangeReply;
  #measured = 0;
  #bytes: number;

  constructor(reply: RangeReply, header: Uint8Array) {
    this.#reply = reply;
    this.#header = header;
    this.#bytes = header.length + rangeBytes({ ...reply, kvs: [] });
  }

  /** Whether this way is worth it. */
  static suits({ kvs }: RangeReply): boolean {
    return kvs.length > pairsAtOnce;
  }

  /** Measures some more; the length of the whole message when that is done. */
  measure(): number | undefined {
    const { kvs } = this.#reply;
    const end = Math.min(kvs.length, this.#measured + pairsAtOnce);
    while (this.#measured < end) this.#bytes += pairBytes(kvs[this.#measured++] as KeyValue);
    return end === kvs.length ? this.#bytes : undefined;
  }

  /** The message, each piece made when it is asked for. */
  *pieces(): Generator<Uint8Array, undefined> {
    yield this.#header;
    const { kvs } = this.#reply;
    for (let at = 0; at < kvs.length; ) {
      const from = at;
      let bytes = 0;
      while (at < kvs.length && bytes < pieceBytes) bytes += pairBytes(kvs[at++] as KeyValue);
      const out = Buffer.allocUnsafe(bytes);
      let end = 0;
      for (let index = from; index < at; index++) end = pair(out, end, kvs[index] as KeyValue);
      yield out;
    }
    const rest = { ...this.#reply, kvs: [] };
    const out = Buffer.allocUnsafe(rangeBytes(rest));
    range(out, 0, rest);
    yield out;
    return undefined;
  }
}

/** TxnResponse; undefined for one with a transaction in it, which others have to write. */
export function writeTxn(
  reply: TxnReply,
  header: Uint8Array,
  room: number,
): Uint8Array | undefined {
  const { responses, succeeded } = reply;
  let total = room + header.length + (succeeded ? 2 : 0);
  for (const response of responses) {
    if (response.kind === "txn") return undefined;
    total += nestedBytes(nestedBytes(innerBytes(response)));
  }
  const out = Buffer.allocUnsafe(total);
  out.set(header, room);
  let at = room + header.length;
  if (succeeded) at = number(out, at, 2, 1);
  for (const response of responses) {
    const size = innerBytes(response);
    at = open(out, at, 3, nestedBytes(size));
    at = inner(out, open(out, at, innerFields[response.kind], size), response);
  }
  return out;
}

/** Where in ResponseOp the answer to an operation stands. */
const innerFields = { range: 1, put: 2, deleteRange: 3, txn: 4 } as const;

/** What an answer within a transaction takes. Its header tells the revision and nothing else. */
function innerBytes(reply: OperationReply): number {
  const header = nestedBytes(numberBytes(reply.revision));
  if (reply.kind === "range") return header + rangeBytes(reply);
  if (reply.kind === "put") return header + (reply.previous ? pairBytes(reply.previous) : 0);
  return header + (reply.kind === "deleteRange" ? deletedRangeBytes(reply) : 0);
}

function inner(out: Buffer, at: number, reply: OperationReply): number {
  const { revision } = reply;
  const end = number(out, open(out, at, 1, numberBytes(revision)), 3, revision);
  if (reply.kind === "range") return range(out, end, reply);
  if (reply.kind === "put") return reply.previous ? pair(out, end, reply.previous) : end;
  return reply.kind === "deleteRange" ? deletedRange(out, end, reply) : end;
}

function deletedRangeBytes({ deleted, previous }: DeleteRangeReply): number {
  let bytes = numberBytes(deleted);
  for (const kv of previous) bytes += nestedBytes(keyValueBytes(kv));
  return bytes;
}

function deletedRange(out: Buffer, at: number, { deleted, previous }: DeleteRangeReply): number {
  let end = number(out, at, 2, deleted);
  for (const kv of previous) end = keyValue(out, end, 3, kv, keyValueBytes(kv));
  return end;
}

function rangeBytes({ count, kvs, more }: RangeReply): number {
  let bytes = (more ? 2 : 0) + numberBytes(count);
  for (const kv of kvs) bytes += pairBytes(kv);
  return bytes;
}

function range(out: Buffer, at: number, { count, kvs, more }: RangeReply): number {
  let end = at;
  for (const kv of kvs) end = pair(out, end, kv);
  if (more) end = number(out, end, 3, 1);
  return number(out, end, 4, count);
}

/** Field 2 of several responses: a KeyValue. */
function pairBytes(kv: KeyValue): number {
  return nestedBytes(keyValueBytes(kv));
}

function pair(out: Buffer, at: number, kv: KeyValue): number {
  return keyValue(out, at, 2, kv, keyValueBytes(kv));
}

/** A WatchResponse that tells of events and of nothing else. */
export function writeEvents(
  watchId: bigint,
  events: readonly Event[],
  header: Uint8Array,
  room: number,
): Uint8Array {
  let total = room + header.length + idBytes(watchId);
  for (const event of events) total += nestedBytes(eventBytes(event));
  const out = Buffer.allocUnsafe(total);
  out.set(header, room);
  let at = room + header.length;
  if (watchId !== 0n) at = id(out, at, 2, watchId);
  for (const event of events) at = writeEvent(out, at, event);
  return out;
}

/** Event.type of a deletion; that of a put is 0 and not written. */
const deleteType = 1;

function eventBytes(event: Event): number {
  const { previous } = event;
  const before = previous === undefined ? 0 : nestedBytes(keyValueBytes(previous));
  if (event.type === "put") return nestedBytes(keyValueBytes(event.kv)) + before;
  return 2 + nestedBytes(deletedBytes(event.key, event.modRevision)) + before;
}

function writeEvent(out: Buffer, at: number, told: Event): number {
  let end = open(out, at, 11, eventBytes(told));
  if (told.type === "put") end = keyValue(out, end, 2, told.kv, keyValueBytes(told.kv));
  else {
    const { key, modRevision } = told;
    end = number(out, end, 1, deleteType);
    end = open(out, end, 2, deletedBytes(key, modRevision));
    end = text(out, end, 1, key);
    end = number(out, end, 3, modRevision);
  }
  const { previous } = told;
  return previous === undefined ? end : keyValue(out, end, 3, previous, keyValueBytes(previous));
}

function deletedBytes(key: string, modRevision: number): number {
  return textBytes(key) + numberBytes(modRevision);
}

function keyValueBytes(kv: KeyValue): number {
  const { createRevision, key, lease, modRevision, value, version } = kv;
  return (
    textBytes(key) +
    numberBytes(createRevision) +
    numberBytes(modRevision) +
    numberBytes(version) +
    (value.length === 0 ? 0 : nestedBytes(value.length)) +
    idBytes(lease)
  );
}

/** Writes field `field`, a KeyValue of `size` bytes. */
function keyValue(out: Buffer, at: number, field: number, kv: KeyValue, size: number): number {
  const { createRevision, key, lease, modRevision, value, version } = kv;
  let end = open(out, at, field, size);
  end = text(out, end, 1, key);
  end = number(out, end, 2, createRevision);
  end = number(out, end, 3, modRevision);
  end = number(out, end, 4, version);
  if (value.length > 0) {
    end = open(out, end, 5, value.length);
    out.set(value, end);
    end += value.length;
  }
  return lease === 0n ? end : id(out, end, 6, lease);
}

/** Writes tag and length of a field of `length` bytes. */
function open(out: Buffer, at: number, field: number, length: number): number {
  out[at] = bytesTag(field);
  return writeVarint(out, at + 1, length);
}

/** What a field of `length` bytes takes: tag, length, itself. */
function nestedBytes(length: number): number {
  return 1 + varintBytes(length) + length;
}

function number(out: Buffer, at: number, field: number, value: number): number {
  if (value === 0) return at;
  out[at] = varintTag(field);
  return writeVarint(out, at + 1, value);
}

function numberBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value);
}

function id(out: Buffer, at: number, field: number, value: bigint): number {
  out[at] = varintTag(field);
  return writeVarint64(out, at + 1, value);
}

function idBytes(value: bigint): number {
  return value === 0n ? 0 : 1 + varint64Bytes(value);
}

function text(out: Buffer, at: number, field: number, value: string): number {
  if (value.length === 0) return at;
  const from = open(out, at, field, value.length);
  return from + out.write(value, from, "latin1");
}

function textBytes(value: string): number {
  return value.length === 0 ? 0 : nestedBytes(value.length);
}
