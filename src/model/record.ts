/**
 * Entries as bytes: one msgpack array each, in the log on disk and in the log objects of the bucket.
 *
 *   [index, term, revision, action, …fields of the action]
 *     0 write   changes            3 compact  floor
 *     1 grant   lease, ttl         4 begin
 *     2 revoke  lease, changes
 *   change: [key, value, createRevision, version, lease, previousLease] for a put,
 *           [key, previousLease] for a delete
 *
 * Keys are msgpack strings (UTF-8 of the latin1 byte string: exact, one byte for ASCII), values
 * binary, leases 0 or int64. Fields are only ever added at the end of an array; a new action or
 * anything that an old reader would misread raises the log's format version (wal/segment.ts).
 */
import { Packr } from "msgpackr";
import { unreachable } from "../lib/assert.ts";
import { MsgpackWriter } from "../lib/msgpack.ts";
import type { Action, Change, Entry } from "./entry.ts";
import { indexOf, type LeaseId, revisionOf, termOf } from "./revision.ts";

const packr = new Packr({ useRecords: false, int64AsType: "bigint", variableMapSize: true });
const writer = new MsgpackWriter();

const codes = { write: 0, grant: 1, revoke: 2, compact: 3, begin: 4 } as const;
/** Index, term, revision and action come before the fields of the action. */
const placeFields = 4;

/** The bytes of `entry`. They stay valid until the next call: copy them before. */
export function encodeEntry(entry: Entry): Uint8Array {
  const { action, index, revision, term } = entry;
  writer.begin();
  writer.array(placeFields + fieldsOf(action));
  writer.number(index);
  writer.number(term);
  writer.number(revision);
  writer.number(codes[action.kind]);
  writeFields(action);
  return writer.end();
}

/** The entry in `bytes`. Throws Error on anything `encodeEntry` does not make. Values are views of `bytes`. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const [index, term, revision, code, ...fields] = tuple(packr.unpack(bytes));
  return {
    index: indexOf(safe(index)),
    term: termOf(safe(term)),
    revision: revisionOf(safe(revision)),
    action: actionOf(safe(code), fields),
  };
}

/** How many fields of its own an action has. */
function fieldsOf({ kind }: Action): number {
  if (kind === "begin") return 0;
  return kind === "grant" || kind === "revoke" ? 2 : 1;
}

function writeFields(action: Action): void {
  switch (action.kind) {
    case "write":
      writeChanges(action.changes);
      break;
    case "grant":
      writeLease(action.lease);
      writer.number(action.ttlSeconds);
      break;
    case "revoke":
      writeLease(action.lease);
      writeChanges(action.changes);
      break;
    case "compact":
      writer.number(action.floor);
      break;
    case "begin":
      break;
    default:
      unreachable(action);
  }
}

function writeChanges(changes: readonly Change[]): void {
  writer.array(changes.length);
  for (const change of changes) {
    if (change.kind === "delete") {
      writer.array(2);
      writer.text(change.key);
    } else {
      writer.array(6);
      writer.text(change.key);
      writer.binary(change.value);
      writer.number(change.createRevision);
      writer.number(change.version);
      writeLease(change.lease);
    }
    writeLease(change.previousLease);
  }
}

function actionOf(code: number, fields: readonly unknown[]): Action {
  switch (code) {
    case codes.write:
      return { kind: "write", changes: tuple(fields[0]).map(unpackChange) };
    case codes.grant:
      return { kind: "grant", lease: leaseOf(fields[0]), ttlSeconds: safe(fields[1]) };
    case codes.revoke:
      return {
        kind: "revoke",
        lease: leaseOf(fields[0]),
        changes: tuple(fields[1]).map(unpackChange),
      };
    case codes.compact:
      return { kind: "compact", floor: revisionOf(safe(fields[0])) };
    case codes.begin:
      return { kind: "begin" };
    default:
      throw new Error(`unknown action ${code}`);
  }
}

function unpackChange(packed: unknown): Change {
  const fields = tuple(packed);
  const key = fields[0];
  if (typeof key !== "string") throw new Error("a key is a string");
  if (fields.length === 2) return { kind: "delete", key, previousLease: leaseOf(fields[1]) };
  const value = fields[1];
  if (!(value instanceof Uint8Array)) throw new Error("a value is binary");
  return {
    kind: "put",
    key,
    value,
    createRevision: revisionOf(safe(fields[2])),
    version: safe(fields[3]),
    lease: leaseOf(fields[4]),
    previousLease: leaseOf(fields[5]),
  };
}

/** Most keys have no lease: 0 takes one byte. */
function writeLease(lease: LeaseId): void {
  if (lease === 0n) writer.number(0);
  else writer.bigint(lease);
}

function leaseOf(packed: unknown): LeaseId {
  if (packed === 0) return 0n;
  if (typeof packed !== "bigint") throw new Error("a lease is 0 or a 64-bit integer");
  return packed;
}

function tuple(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error("expected an array");
  return value;
}

function safe(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    throw new Error("expected a safe integer");
  }
  return value;
}
