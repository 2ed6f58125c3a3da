/**
 * Every metric there is: name, help, labels, buckets. docs/metrics.md is printed from this table,
 * and what the process shows is held against it. An alias is the name etcd gives the same number,
 * so that dashboards and alerts made for etcd work; both names always tell the same.
 */
import type { CounterMetric, GaugeMetric, HistogramMetric } from "../lib/registry.ts";

/** `count` bounds from `first`, each twice the one before. */
function doubling(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, at) => first * 2 ** at);
}

function counter<const Label extends string = never>(
  name: string,
  help: string,
  labels: readonly Label[] = [],
  alias?: string,
): CounterMetric<Label> {
  return { kind: "counter", name, help, labels, alias };
}

function gauge<const Label extends string = never>(
  name: string,
  help: string,
  labels: readonly Label[] = [],
  alias?: string,
): GaugeMetric<Label> {
  return { kind: "gauge", name, help, labels, alias };
}

function histogram<const Label extends string = never>(
  name: string,
  help: string,
  buckets: readonly number[],
  labels: readonly Label[] = [],
  alias?: string,
): HistogramMetric<Label> {
  return { kind: "histogram", name, help, buckets, labels, alias };
}

/** What writes are called in the `op` label. A put counts as the create or the update it was. */
export const writeOperations = [
  "create",
  "update",
  "delete",
  "txn",
  "compact",
  "grant",
  "revoke",
] as const;

/** What a member can be, in the `role` label. */
export const roles = ["single", "leader", "follower"] as const;

const call = ["grpc_type", "grpc_service", "grpc_method"] as const;

export const metrics = {
  writes: counter("t4_writes_total", "Writes committed.", ["op"]),
  writeErrors: counter("t4_write_errors_total", "Writes that failed; refusals are not failures.", [
    "op",
  ]),
  writeSeconds: histogram(
    "t4_write_duration_seconds",
    "Time from proposing a write to its answer.",
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5],
    ["op"],
  ),
  commitPhaseSeconds: histogram(
    "t4_commit_phase_seconds",
    "Time a batch of writes spent waiting, becoming durable and being applied.",
    doubling(0.00001, 18),
    ["phase"],
  ),
  logSyncSeconds: histogram(
    "t4_wal_fsync_seconds",
    "Time of one sync of the log to the disk.",
    doubling(0.000125, 17),
    [],
    "etcd_disk_wal_fsync_duration_seconds",
  ),
  logBytes: counter("t4_wal_written_bytes_total", "Bytes appended to the log."),
  flushSeconds: histogram(
    "t4_flush_seconds",
    "Time of one flush of the newest keys from memory into a table.",
    doubling(0.001, 14),
  ),
  compactionSeconds: histogram(
    "t4_compaction_seconds",
    "Time of one merge of tables.",
    doubling(0.001, 18),
  ),

  revision: gauge(
    "t4_current_revision",
    "The newest revision a reader can see.",
    [],
    "etcd_debugging_mvcc_current_revision",
  ),
  compactRevision: gauge(
    "t4_compact_revision",
    "The revision below which history is gone.",
    [],
    "etcd_debugging_mvcc_compact_revision",
  ),
  role: gauge("t4_role", "1 for the role this member has, 0 for the others.", ["role"]),
  databaseBytes: gauge(
    "t4_db_size_bytes",
    "Bytes of the database on the disk: its tables and its log.",
    [],
    "etcd_mvcc_db_total_size_in_bytes",
  ),
  databaseBytesInUse: gauge(
    "t4_db_size_in_use_bytes",
    "Bytes of the database that compaction would keep, as far as known.",
    [],
    "etcd_mvcc_db_total_size_in_use_in_bytes",
  ),
  leases: gauge("t4_leases", "Leases that are alive."),

  watchers: gauge(
    "t4_watch_active",
    "Watches that are open.",
    [],
    "etcd_debugging_mvcc_watcher_total",
  ),
  watchedRanges: gauge("t4_watch_active_prefixes", "Different keys and ranges being watched."),
  slowWatchers: gauge(
    "t4_watch_catching_up",
    "Watches that read history because they are behind.",
    [],
    "etcd_debugging_mvcc_slow_watcher_total",
  ),
  watchScanSeconds: histogram(
    "t4_watch_scan_duration_seconds",
    "Time of one slice of history read for watches that are behind.",
    [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1],
  ),
  watchScanRevisions: histogram(
    "t4_watch_scan_revision_span",
    "Revisions one slice of history covered.",
    [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000],
  ),
  watchScanEntries: counter(
    "t4_watch_scan_entries_total",
    "Changes read from history (scanned), and those a watch wanted (matched).",
    ["result"],
  ),

  loopLagSeconds: histogram(
    "t4_event_loop_lag_seconds",
    "How late a timer fires because the process was busy.",
    doubling(0.0005, 13),
  ),
  ready: gauge("t4_ready", "1 when reads are served, as /readyz says."),
  buildInfo: gauge("t4_build_info", "Always 1; the labels say what is running.", [
    "version",
    "commit",
    "bun",
  ]),

  grpcStarted: counter("grpc_server_started_total", "Calls begun.", call),
  grpcHandled: counter("grpc_server_handled_total", "Calls ended, by status.", [
    ...call,
    "grpc_code",
  ]),
  grpcSeconds: histogram(
    "grpc_server_handling_seconds",
    "Time from the beginning of a call to its status.",
    doubling(0.0001, 16),
    call,
  ),
  grpcReceived: counter("grpc_server_msg_received_total", "Messages received.", call),
  grpcSent: counter("grpc_server_msg_sent_total", "Messages sent.", call),
  receivedBytes: counter(
    "etcd_network_client_grpc_received_bytes_total",
    "Bytes of messages received from clients.",
  ),
  sentBytes: counter(
    "etcd_network_client_grpc_sent_bytes_total",
    "Bytes of messages sent to clients.",
  ),

  certificateExpirySeconds: gauge(
    "t4_cert_expiry_seconds",
    "Time until the certificate in use expires, below 0 when it has; only with TLS.",
  ),
  certificateReloads: counter(
    "t4_tls_reloads_total",
    "Changes of the certificate files that were put into use (success), or refused (error).",
    ["result"],
  ),

  storeOperations: counter(
    "t4_object_store_ops_total",
    "Requests to the object store, each try of one by itself; that nothing is there is no error.",
    ["op", "result"],
  ),
  storeSeconds: histogram(
    "t4_object_store_duration_seconds",
    "Time of one request to the object store.",
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ["op"],
  ),
  logUploads: counter("t4_wal_uploads_total", "Log objects put into the bucket."),
  logUploadErrors: counter("t4_wal_upload_errors_total", "Tries to put a log object that failed."),
  logUploadSeconds: histogram(
    "t4_wal_upload_duration_seconds",
    "Time from the first try of a log object until it is known to be in the bucket.",
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
  ),
  unuploadedRevisions: gauge(
    "t4_unuploaded_revisions",
    "Revisions acknowledged that the bucket does not have yet; 0 where writes wait for it.",
  ),
  bucketAwaySeconds: gauge(
    "t4_bucket_away_seconds",
    "How long the bucket has not taken a log object that was put; 0 while it does.",
  ),
  checkpointAgeSeconds: gauge(
    "t4_checkpoint_age_seconds",
    "Time since the newest checkpoint of this process, or since its start.",
  ),
  checkpoints: counter("t4_checkpoints_total", "Checkpoints put into the bucket."),

  hasLeader: gauge("etcd_server_has_leader", "1 when this member knows a leader."),
  isLeader: gauge("etcd_server_is_leader", "1 when this member leads."),
  isLearner: gauge("etcd_server_is_learner", "1 when this member only learns."),
  leaderChanges: counter("etcd_server_leader_changes_seen_total", "Changes of leader seen."),
  proposalsCommitted: gauge("etcd_server_proposals_committed_total", "Newest log index committed."),
  proposalsApplied: gauge("etcd_server_proposals_applied_total", "Newest log index applied."),
  proposalsPending: gauge("etcd_server_proposals_pending", "Writes not yet committed."),
  proposalsFailed: counter("etcd_server_proposals_failed_total", "Writes that failed."),
  quotaBytes: gauge(
    "etcd_server_quota_backend_bytes",
    "Bytes the database may grow to: what it has and what the disk has left.",
  ),
  serverId: gauge("etcd_server_id", "Always 1; the label is this member's id in hex.", [
    "server_id",
  ]),
  serverVersion: gauge("etcd_server_version", "Always 1; the etcd version this is equal to.", [
    "server_version",
  ]),
  clusterVersion: gauge("etcd_cluster_version", "Always 1; the cluster's etcd version.", [
    "cluster_version",
  ]),
  ranges: counter("etcd_mvcc_range_total", "Ranges read, those of transactions included."),
  puts: counter("etcd_mvcc_put_total", "Puts, those of transactions included."),
  deletes: counter(
    "etcd_mvcc_delete_total",
    "Deletions asked for, those of transactions included, and keys that went with their lease.",
  ),
  txns: counter(
    "etcd_mvcc_txn_total",
    "Transactions of more than one operation, leases that went with several keys among them.",
  ),
  events: counter("etcd_debugging_mvcc_events_total", "Events sent to watches."),
  watchStreams: gauge("etcd_debugging_mvcc_watch_stream_total", "Watch streams that are open."),
  leasesGranted: counter("etcd_debugging_lease_granted_total", "Leases granted."),
  leasesRenewed: counter("etcd_debugging_lease_renewed_total", "Leases kept alive."),
  leasesRevoked: counter("etcd_debugging_lease_revoked_total", "Leases revoked."),
  leasesExpired: counter("etcd_debugging_server_lease_expired_total", "Leases that ran out."),

  residentBytes: gauge("process_resident_memory_bytes", "Memory that is in RAM."),
  virtualBytes: gauge("process_virtual_memory_bytes", "Address space; told on Linux."),
  cpuSeconds: counter("process_cpu_seconds_total", "Processor time, user and system."),
  startSeconds: gauge("process_start_time_seconds", "When the process began, Unix time."),
  openFiles: gauge("process_open_fds", "Open files; told on Linux.", [], "os_fd_used"),
  openFilesMax: gauge("process_max_fds", "Most files it may open; on Linux.", [], "os_fd_limit"),
} as const;
