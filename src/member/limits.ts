/**
 * Every bound of a member, and how the bounds relate. A queue that is full refuses; none grows.
 * Sizes are bytes, times milliseconds.
 */
import { assert } from "../lib/assert.ts";

const mebibyte = 2 ** 20;

/** What an operator may set; the rest follows or is fixed. */
export interface Settings {
  readonly requestBytesMax: number;
  readonly txnOperationsMax: number;
  readonly segmentBytesMax: number;
  readonly segmentAgeMsMax: number;
  readonly memtableBytesMax: number;
  readonly cacheBytesMax: number;
  /** See below; absent: as it is fixed there. No operator sets them. */
  readonly fewCallersMax?: number;
  readonly quickSyncMsMax?: number;
}

export const defaultSettings: Settings = {
  requestBytesMax: 1_572_864,
  txnOperationsMax: 128,
  segmentBytesMax: 50 * mebibyte,
  segmentAgeMsMax: 10_000,
  memtableBytesMax: 64 * mebibyte,
  cacheBytesMax: 32 * mebibyte,
};

/** What a request message may carry around the request itself, as in etcd. */
const messageOverheadBytes = 512 * 1024;

/** All bounds that follow from the settings. Asserts that they fit together. */
export function limitsOf(settings: Settings) {
  const messageBytesMax = settings.requestBytesMax + messageOverheadBytes;
  // A change and what was there before it, so that one event does not make a watcher fall behind.
  const watcherBytesMax = Math.max(4 * mebibyte, 2 * messageBytesMax);
  const limits = {
    ...settings,
    messageBytesMax,
    /** Responses to a watcher that asked for fragments are cut to this. */
    fragmentBytesMax: messageBytesMax,
    /** A write that is not settled by then is answered with an unknown outcome: 5 s + 2 elections. */
    requestMsMax: 7000,
    /** Callers that are few: they are waited for, to share a sync (gather.ts). */
    fewCallersMax: settings.fewCallersMax ?? 64,
    /**
     * A sync of the log that takes no longer is made on the event loop; where reads wait, half of it.
     * Negative: none is.
     */
    quickSyncMsMax: settings.quickSyncMsMax ?? 1,
    /** Decided and not committed: beyond it, writes are refused untried. */
    pendingEntriesMax: 32_768,
    pendingBytesMax: 256 * mebibyte,
    watcherBytesMax,
    watchersBytesMax: Math.max(64 * mebibyte, 4 * watcherBytesMax),
    watchSliceRowsMax: 2000,
    /** How long a read or a slice of background work may hold the event loop. */
    sliceMsMax: 2,
    leaseExpiriesPerRound: 500,
    leaseRoundMs: 500,
    tableBytesMax: 16 * mebibyte,
    blockBytes: 4096,
    sealedMemtablesMax: 2,
    runFanout: 4,
    /** Segments after which the memtable is flushed however small it is, so that they can go. */
    segmentsMax: 64,
    drainMsMax: 10_000,
    /** On a stop: for the bucket to take what was written, and the lock to be given back. */
    settleMsMax: 3000,
    resignMsMax: 1000,
  };
  assert(limits.requestBytesMax < limits.messageBytesMax, "a request fits a message");
  assert(limits.requestBytesMax < limits.pendingBytesMax, "a request fits the queue");
  assert(limits.fragmentBytesMax <= limits.watcherBytesMax, "a fragment fits a watcher's queue");
  assert(limits.watcherBytesMax < limits.watchersBytesMax, "one watcher cannot fill the budget");
  assert(limits.txnOperationsMax > 0, "a transaction may do something");
  return limits;
}

export type Limits = ReturnType<typeof limitsOf>;
