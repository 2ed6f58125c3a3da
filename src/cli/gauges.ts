/**
 * What is shown rather than counted: read from its owner at the moment somebody asks, so it is
 * right at all times. While the member is not open there is nothing to tell of it, and the metrics
 * about it have no samples.
 */
import { processUsage } from "../lib/process.ts";
import type { GaugeMetric, Registry } from "../lib/registry.ts";
import type { BucketVitals } from "../member/duties.ts";
import type { Vitals } from "../member/vitals.ts";
import { metrics, roles } from "../model/metrics.ts";
import { clusterVersion, etcdVersion } from "../model/version.ts";
import type { Build } from "./build.ts";

export interface Sources {
  /** Undefined while the member is not open. */
  readonly vitals: () => Vitals | undefined;
  readonly ready: () => boolean;
  /** Milliseconds since the epoch. */
  readonly wall: () => number;
  readonly build: Build;
  /** Undefined without TLS. */
  readonly certificates?: () => CertificateVitals | undefined;
}

/** What there is to tell of the certificates in use. */
export interface CertificateVitals {
  /** Milliseconds since the epoch. */
  readonly expiresMs: number;
  /** How often others were put into use. */
  readonly replaced: number;
  /** How often others were refused. */
  readonly refused: number;
}

/** Registers every metric that is read on demand. */
export function showGauges(registry: Registry, sources: Sources): void {
  showMember(registry, sources.vitals);
  showProcess(registry, sources.wall);
  showCertificates(registry, sources);
  const { bun, commit, version } = sources.build;
  registry.read(metrics.ready, () => (sources.ready() ? 1 : 0));
  registry.read(metrics.buildInfo, () => [{ labels: { version, commit, bun }, value: 1 }]);
  registry.read(metrics.serverVersion, () => [
    { labels: { server_version: etcdVersion }, value: 1 },
  ]);
  registry.read(metrics.clusterVersion, () => [
    { labels: { cluster_version: clusterVersion.replace(/\.\d+$/, "") }, value: 1 },
  ]);
}

function showMember(registry: Registry, vitals: () => Vitals | undefined): void {
  const show = (metric: GaugeMetric<never>, get: (vitals: Vitals) => number | boolean) =>
    registry.read(metric, () => {
      const now = vitals();
      return now === undefined ? [] : [{ labels: {}, value: Number(get(now)) }];
    });
  show(metrics.revision, (now) => now.revision);
  show(metrics.compactRevision, (now) => now.compactRevision);
  show(metrics.databaseBytes, (now) => now.databaseBytes);
  show(metrics.databaseBytesInUse, (now) => now.databaseBytesInUse);
  show(metrics.quotaBytes, ({ databaseBytes, freeBytes }) => databaseBytes + freeBytes);
  show(metrics.leases, (now) => now.leases);
  show(metrics.watchers, (now) => now.watchers);
  show(metrics.slowWatchers, (now) => now.watchersBehind);
  show(metrics.watchedRanges, (now) => now.watchedRanges);
  show(metrics.isLeader, (now) => now.leads);
  show(metrics.isLearner, () => false);
  show(metrics.proposalsCommitted, (now) => now.committedIndex);
  show(metrics.proposalsApplied, (now) => now.appliedIndex);
  show(metrics.proposalsPending, (now) => now.pendingWrites);
  const showBucket = (metric: GaugeMetric<never>, get: (bucket: BucketVitals) => number) =>
    registry.read(metric, () => {
      const bucket = vitals()?.bucket;
      return bucket === undefined ? [] : [{ labels: {}, value: get(bucket) }];
    });
  showBucket(metrics.unuploadedRevisions, (bucket) => bucket.revisionsAtRisk);
  showBucket(metrics.bucketAwaySeconds, (bucket) => bucket.awayMs / 1000);
  showBucket(metrics.checkpointAgeSeconds, (bucket) => bucket.checkpointAgeMs / 1000);
  // A member that is not open knows no leader: that is told, because alerts wait for it.
  registry.read(metrics.hasLeader, () => (vitals()?.leads ? 1 : 0));
  registry.read(metrics.leaderChanges, () => (vitals() === undefined ? 0 : 1));
  registry.read(metrics.role, () =>
    roles.map((role) => ({
      labels: { role },
      value: role === "single" && vitals()?.leads ? 1 : 0,
    })),
  );
  registry.read(metrics.serverId, () => {
    const now = vitals();
    if (now === undefined) return [];
    return [{ labels: { server_id: now.memberId.toString(16) }, value: 1 }];
  });
}

function showCertificates(registry: Registry, { certificates, wall }: Sources): void {
  registry.read(metrics.certificateExpirySeconds, () => {
    const now = certificates?.();
    return now === undefined ? [] : [{ labels: {}, value: (now.expiresMs - wall()) / 1000 }];
  });
  registry.read(metrics.certificateReloads, () => {
    const now = certificates?.();
    if (now === undefined) return [];
    return [
      { labels: { result: "success" }, value: now.replaced },
      { labels: { result: "error" }, value: now.refused },
    ];
  });
}

function showProcess(registry: Registry, wall: () => number): void {
  const optional = (value: number | undefined) =>
    value === undefined ? [] : [{ labels: {}, value }];
  registry.read(metrics.residentBytes, () => processUsage().residentBytes);
  registry.read(metrics.cpuSeconds, () => processUsage().cpuSeconds);
  registry.read(metrics.startSeconds, () => wall() / 1000 - processUsage().uptimeSeconds);
  registry.read(metrics.virtualBytes, () => optional(processUsage().virtualBytes));
  registry.read(metrics.openFiles, () => optional(processUsage().openFiles));
  registry.read(metrics.openFilesMax, () => optional(processUsage().openFilesMax));
}
