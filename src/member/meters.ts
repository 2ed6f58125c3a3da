/** What a member counts and times, and what its gauges show. */
import { unreachable } from "../lib/assert.ts";
import type { Counter, Histogram } from "../lib/meter.ts";
import type { Registry } from "../lib/registry.ts";
import type { Action } from "../model/entry.ts";
import { metrics, writeOperations } from "../model/metrics.ts";
import { Refusal } from "../model/refusal.ts";
import type { OperationReply, Reply, TxnReply } from "../model/reply.ts";
import type { Slice } from "../mvcc/watchers.ts";
import type { ArchiveMeters } from "../replication/archive.ts";

type WriteOperation = (typeof writeOperations)[number];

/** What the bucket's log measures. */
export function archiveMeters(registry: Registry): ArchiveMeters {
  return {
    uploads: registry.counter(metrics.logUploads, {}),
    errors: registry.counter(metrics.logUploadErrors, {}),
    seconds: registry.histogram(metrics.logUploadSeconds, {}),
  };
}

/** What the commit path measures. */
export interface CommitMeters {
  readonly queueSeconds: Histogram;
  readonly syncSeconds: Histogram;
  readonly applySeconds: Histogram;
  /** An action was committed, `seconds` after it was proposed. */
  committed(action: Action, seconds: number): void;
  /** An action was decided and then could not be committed. */
  failed(action: Action): void;
  /** A command got an answer that stands. */
  answered(reply: Reply | Refusal): void;
}

export function commitMeters(registry: Registry): CommitMeters {
  const labelled = <T>(make: (op: WriteOperation) => T) =>
    Object.fromEntries(writeOperations.map((op) => [op, make(op)])) as Record<WriteOperation, T>;
  const writes = labelled((op) => registry.counter(metrics.writes, { op }));
  const errors = labelled((op) => registry.counter(metrics.writeErrors, { op }));
  const seconds = labelled((op) => registry.histogram(metrics.writeSeconds, { op }));
  const deletes = registry.counter(metrics.deletes, {});
  const txns = registry.counter(metrics.txns, {});
  const failures = registry.counter(metrics.proposalsFailed, {});
  const granted = registry.counter(metrics.leasesGranted, {});
  const revoked = registry.counter(metrics.leasesRevoked, {});
  return {
    queueSeconds: registry.histogram(metrics.commitPhaseSeconds, { phase: "queue" }),
    syncSeconds: registry.histogram(metrics.commitPhaseSeconds, { phase: "fsync" }),
    applySeconds: registry.histogram(metrics.commitPhaseSeconds, { phase: "apply" }),
    committed(action, elapsed) {
      const operation = operationOf(action);
      if (operation === undefined) return;
      writes[operation].add(1);
      seconds[operation].observe(elapsed);
      if (action.kind === "grant") granted.add(1);
      if (action.kind !== "revoke") return;
      revoked.add(1);
      deletes.add(action.changes.length);
      if (action.changes.length > 1) txns.add(1);
    },
    failed(action) {
      const operation = operationOf(action);
      if (operation !== undefined) errors[operation].add(1);
      failures.add(1);
    },
    answered: operationsCounted(registry),
  };
}

/** Counts what was done and read to answer a command, as etcd does: also where nothing changed. */
function operationsCounted(registry: Registry): (reply: Reply | Refusal) => void {
  const ranges = registry.counter(metrics.ranges, {});
  const puts = registry.counter(metrics.puts, {});
  const deletes = registry.counter(metrics.deletes, {});
  const txns = registry.counter(metrics.txns, {});
  const count = (reply: Reply | OperationReply): number => {
    if (reply.kind === "txn") return reply.responses.reduce((sum, each) => sum + count(each), 0);
    if (reply.kind === "range") ranges.add(1);
    if (reply.kind === "put") puts.add(1);
    if (reply.kind === "deleteRange") deletes.add(1);
    return 1;
  };
  return (reply) => {
    if (!(reply instanceof Refusal) && count(reply) > 1) txns.add(1);
  };
}

/** What a write is called: what it did to its one key, or "txn" when it changed several. */
function operationOf(action: Action): WriteOperation | undefined {
  switch (action.kind) {
    case "write": {
      const [first, second] = action.changes;
      if (second !== undefined || first === undefined) return "txn";
      if (first.kind === "delete") return "delete";
      return first.version === 1 ? "create" : "update";
    }
    case "grant":
    case "revoke":
    case "compact":
      return action.kind;
    case "begin":
      return undefined;
    default:
      return unreachable(action);
  }
}

/** What a member counts besides its writes. */
export interface MemberMeters {
  readonly ranges: Counter;
  readonly leasesRenewed: Counter;
  readonly leasesExpired: Counter;
  /** A transaction was answered that can only read. */
  answered(reply: TxnReply | Refusal): void;
  /** One slice of history was read for watchers that are behind. */
  scanned(slice: Slice, seconds: number): void;
}

export function memberMeters(registry: Registry): MemberMeters {
  const scanSeconds = registry.histogram(metrics.watchScanSeconds, {});
  const scanRevisions = registry.histogram(metrics.watchScanRevisions, {});
  const entriesScanned = registry.counter(metrics.watchScanEntries, { result: "scanned" });
  const entriesMatched = registry.counter(metrics.watchScanEntries, { result: "matched" });
  return {
    ranges: registry.counter(metrics.ranges, {}),
    leasesRenewed: registry.counter(metrics.leasesRenewed, {}),
    leasesExpired: registry.counter(metrics.leasesExpired, {}),
    answered: operationsCounted(registry),
    scanned({ matched, revisions, scanned }, seconds) {
      scanSeconds.observe(seconds);
      scanRevisions.observe(revisions);
      entriesScanned.add(scanned);
      entriesMatched.add(matched);
    },
  };
}
