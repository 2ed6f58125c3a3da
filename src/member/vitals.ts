/** What a member tells of itself: for gauges, for /status, for Maintenance.Status. */
import type { Disk } from "../lib/disk.ts";
import type { Position } from "../model/revision.ts";
import { garbageShare } from "../mvcc/compact.ts";
import type { Identity } from "./directory.ts";
import type { BucketVitals } from "./duties.ts";
import type { Rooms } from "./rooms.ts";

/** A member at one instant. */
export interface Vitals extends Identity {
  readonly name: string;
  readonly term: number;
  readonly leads: boolean;
  readonly revision: number;
  /** -1 before the first compaction. */
  readonly compactRevision: number;
  readonly committedIndex: number;
  readonly appliedIndex: number;
  /** Decided and not yet committed. */
  readonly pendingWrites: number;
  /** Bytes of tables and log on the disk. */
  readonly databaseBytes: number;
  /** Of those, about what compaction would keep. */
  readonly databaseBytesInUse: number;
  /** Bytes left on the disk that holds the database. */
  readonly freeBytes: number;
  readonly leases: number;
  readonly watchers: number;
  readonly watchersBehind: number;
  readonly watchedRanges: number;
  /** Undefined without a bucket. */
  readonly bucket: BucketVitals | undefined;
}

/** Reads the rooms; the rest is what only the member knows. */
export function vitalsOf(
  { directory, log, store, tree }: Rooms,
  own: {
    readonly name: string;
    readonly term: number;
    readonly leads: boolean;
    readonly applied: Position;
    readonly disk: Disk;
    readonly bucket: BucketVitals | undefined;
  },
): Vitals {
  const { applied, bucket, disk, leads, name, term } = own;
  const tableBytes = tree.stats().bytes;
  const logBytes = log.status().bytes;
  const inUse = tableBytes * (1 - garbageShare(tree.tables(), store.floor));
  return {
    ...directory.identity,
    name,
    term,
    leads,
    revision: store.revision,
    compactRevision: store.floor,
    committedIndex: applied.index,
    appliedIndex: applied.index,
    pendingWrites: store.pendingCount,
    databaseBytes: tableBytes + logBytes,
    databaseBytesInUse: Math.ceil(inUse) + logBytes,
    freeBytes: disk.freeBytes(directory.path),
    leases: store.leases.size,
    watchers: store.watchers.syncedCount + store.watchers.behindCount,
    watchersBehind: store.watchers.behindCount,
    watchedRanges: store.watchers.rangeCount,
    bucket,
  };
}
