/** What readers and watchers are told about keys. */
import type { ByteString } from "../lib/bytes.ts";
import type { LeaseId, Revision } from "./revision.ts";

/** One version of a key: etcd's mvccpb.KeyValue. */
export interface KeyValue {
  readonly key: ByteString;
  readonly value: Uint8Array;
  /** The revision of the first put since the key was last absent. */
  readonly createRevision: Revision;
  /** The revision of this version. */
  readonly modRevision: Revision;
  /** 1 for the put that made the key, one more for each put since. */
  readonly version: number;
  readonly lease: LeaseId;
}

/** One change of one key, in the order of (revision, position in its entry). */
export type Event = PutEvent | DeleteEvent;

export interface PutEvent {
  readonly type: "put";
  readonly kv: KeyValue;
  /** The key as it was one revision before, where the watcher asked and it is not compacted. */
  readonly previous?: KeyValue | undefined;
}

export interface DeleteEvent {
  readonly type: "delete";
  readonly key: ByteString;
  readonly modRevision: Revision;
  readonly previous?: KeyValue | undefined;
}
