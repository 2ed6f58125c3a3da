/**
 * `t4 run`: one member, from start to end.
 *
 *   1 pages    served at once, so that the rest can be watched
 *   2 member   opened: recovery, then a new term
 *   3 calls    taken; /readyz says that reads are served
 *   4 end      a signal drains in order; a failure ends it with the code that names its kind
 */
import os from "node:os";
import { servicesOf } from "../api/services.ts";
import { SystemClock } from "../lib/clock.ts";
import { createLogger, type Logger } from "../lib/logger.ts";
import { PosixDisk } from "../lib/posix.ts";
import { SystemRandom } from "../lib/random.ts";
import { Registry } from "../lib/registry.ts";
import { Member, type MemberOptions } from "../member/member.ts";
import type { Vitals } from "../member/vitals.ts";
import type { KeepaliveOptions } from "../rpc/http2/pings.ts";
import { ListenError as CallListenError, type Server, serve } from "../rpc/server.ts";
import { codes } from "../rpc/status.ts";
import { bucketSettings, checkBucketOptions } from "./bucket.ts";
import { build } from "./build.ts";
import { Certificates } from "./certificates.ts";
import type { Command, Shell } from "./command.ts";
import { type End, Ending } from "./ending.ts";
import { exitCodeOf, exitCodes } from "./exit.ts";
import { showGauges } from "./gauges.ts";
import { serveHttp } from "./http.ts";
import { callMeters, watchLoop } from "./instruments.ts";
import { ListenError } from "./listen.ts";
import { type RunOptions, runOptions } from "./options.ts";
import { parse } from "./parse.ts";
import { type Readiness, Start } from "./readiness.ts";
import { type OpenBucket, openBucket, proveBucket } from "./store.ts";
import { readTls, type Tls, tlsFilesOf } from "./tls.ts";
import { addressText } from "./value.ts";

export const run: Command = async (argv, shell) => {
  const options = parse(runOptions, argv, shell.environment);
  return await new Run(options, readTls(options), shell).live();
};

const mebibyte = 2 ** 20;
/** Of the time to drain, what is kept for closing files after the last call. */
const closeMsMax = 2000;
/** After a failure: time for callers to be told, before the process ends. */
const failMsMax = 1000;
const sendQueueBytesMax = 4 * mebibyte;
const concurrentStreamsMax = 100_000;
/** Some more than the largest message there can be: no client is cut off for one answer. */
const heldBytesMax = 2304 * mebibyte;

class Run {
  readonly #options: RunOptions;
  readonly #tls: Tls | undefined;
  readonly #shell: Shell;
  readonly #clock = new SystemClock();
  readonly #random = new SystemRandom();
  readonly #registry = new Registry();
  readonly #ending = new Ending(this.#clock);
  readonly #logger: Logger;
  readonly #start: Start;
  readonly #bucket: OpenBucket | undefined;
  readonly #certificates: Certificates | undefined;
  #member: Member | undefined;
  #server: Server | undefined;

  constructor(options: RunOptions, tls: Tls | undefined, shell: Shell) {
    const { logFormat: format, logLevel: level } = options;
    this.#options = options;
    this.#tls = tls;
    this.#shell = shell;
    const wall = () => this.#clock.wall();
    this.#logger = createLogger({ level, format, wall, write: shell.warn });
    this.#start = new Start(this.#clock, this.#logger);
    this.#certificates = this.#certificatesOf(tls);
    this.#bucket = openBucket(options, {
      clock: this.#clock,
      random: this.#random,
      make: true,
      registry: this.#registry,
      environment: shell.environment,
    });
    checkBucketOptions(options, this.#bucket);
  }

  /** Resolves to the exit code when the process is to end. */
  async live(): Promise<number> {
    try {
      const http = this.#servePages();
      const opened = this.#open(http.port);
      const early = await Promise.race([opened.then(() => undefined), this.#ending.came]);
      if (early !== undefined) {
        // What it was about to open is closed by the exit, as after a crash.
        opened.catch(() => undefined);
        return this.#ended(early, true);
      }
      const end = await this.#ending.came;
      const inOrder = end.kind === "signal" ? await this.#drain(http.stop) : await this.#fail();
      return this.#ended(end, inOrder);
    } catch (error) {
      return this.#ended({ kind: "failure", error }, false);
    }
  }

  #servePages() {
    const vitals = () => (this.#member === undefined ? undefined : this.#member.vitals());
    const readiness = () => awayOr(this.#start.readiness, this.#member);
    const wall = () => this.#clock.wall();
    const ready = () => readiness().ready;
    const certificates = () => this.#certificates;
    showGauges(this.#registry, { vitals, ready, wall, build, certificates });
    const fatal = this.#ending.fail;
    watchLoop({ registry: this.#registry, clock: this.#clock, logger: this.#logger, fatal });
    const pages = {
      readiness,
      leads: () => this.#member?.isLeader ?? false,
      status: () => ({ ...build, ...readiness(), ...statusOf(vitals()) }),
      metrics: () => this.#registry,
      version: build.version,
    };
    return serveHttp(this.#options.metricsAddress, pages, this.#logger);
  }

  /** Opens the member, then the port for its clients. */
  async #open(metricsPort: number): Promise<void> {
    this.#member = await this.#openMember();
    const server = await this.#serveCalls(this.#member, metricsPort);
    this.#server = server;
    this.#certificates?.follow((tls) => server.replaceCertificates(tls));
    this.#start.ready();
    this.#announce(this.#member, server, metricsPort);
  }

  /** What is served, and follows its files. */
  #certificatesOf(inUse: Tls | undefined): Certificates | undefined {
    const files = tlsFilesOf(this.#options);
    if (files === undefined || inUse === undefined) return undefined;
    const [clock, logger, fatal] = [this.#clock, this.#logger, this.#ending.fail];
    return new Certificates({ files, inUse, clock, logger, fatal });
  }

  async #openMember(): Promise<Member> {
    const { advertiseUrls, dataDirectory, name } = this.#options;
    const bucket = await this.#openBucket();
    const derived = () => [this.#clientUrl(this.#server?.port ?? this.#options.listen.port)];
    return await Member.open({
      dataDirectory,
      name: name ?? os.hostname(),
      clientUrls: () => advertiseUrls ?? derived(),
      settings: settingsOf(this.#options),
      bucket,
      disk: new PosixDisk(),
      clock: this.#clock,
      random: this.#random,
      logger: this.#logger,
      registry: this.#registry,
      onStep: (step) => this.#start.at(stepTexts[step.name], step),
      fatal: this.#ending.fail,
    });
  }

  /** The bucket, proven to keep the promises that T4 rests on. */
  async #openBucket(): Promise<MemberOptions["bucket"]> {
    if (this.#bucket === undefined) return undefined;
    this.#start.at(stepTexts.bucket);
    const proof = proveBucket(this.#bucket, { clock: this.#clock, random: this.#random });
    for (const warning of await proof) this.#logger.warn("bucket", { warning });
    return bucketSettings(this.#options, this.#bucket);
  }

  async #serveCalls(member: Member, pagesPort: number): Promise<Server> {
    const { listen, metricsAddress, progressMs, readConsistency } = this.#options;
    try {
      return await serve({
        services: servicesOf({
          member,
          clock: this.#clock,
          random: this.#random,
          registry: this.#registry,
          serializable: readConsistency === "serializable",
          progressMs,
        }),
        listen,
        tls: this.#tls,
        http1: { host: reachable(metricsAddress.host), port: pagesPort },
        limits: {
          receiveBytesMax: member.limits.messageBytesMax,
          sendQueueBytesMax,
          concurrentStreamsMax,
          heldBytesMax,
        },
        keepalive: keepaliveOf(this.#options),
        stopped: { code: codes.unavailable, message: "etcdserver: server stopped" },
        clock: this.#clock,
        logger: this.#logger,
        meters: callMeters(this.#registry),
        fatal: this.#ending.fail,
      });
    } catch (error) {
      if (error instanceof CallListenError) throw new ListenError("--listen", listen, error);
      throw error;
    }
  }

  /** One line for the log and, where a person reads along, what to do next. */
  #announce(member: Member, server: Server, metricsPort: number): void {
    const { dataDirectory, listen, metricsAddress, readConsistency } = this.#options;
    const endpoint = addressText({ ...listen, port: server.port });
    const metrics = addressText({ ...metricsAddress, port: metricsPort });
    this.#logger.info("serving", {
      version: build.version,
      commit: build.commit,
      mode: modeText(this.#options, this.#bucket),
      ...(this.#bucket && { bucket: this.#bucket.store.address }),
      dataDir: dataDirectory,
      listen: endpoint,
      metrics,
      advertise: member.clientUrls.join(),
      tls: tlsText(this.#tls),
      readConsistency,
      name: member.name,
      cluster: member.identity.clusterId.toString(16),
      member: member.identity.memberId.toString(16),
      term: member.term,
      revision: member.revision,
      startSeconds: Number(this.#start.seconds.toFixed(3)),
    });
    if (!this.#shell.interactive) return;
    const url = this.#clientUrl(server.port);
    this.#shell.print(`
etcd clients   ${url}
pages          http://${metrics}/status

Try it:
  etcdctl --endpoints=${url} put hello world
`);
  }

  #clientUrl(port: number): string {
    const { host } = this.#options.listen;
    const everywhere = host === "0.0.0.0" || host === "::";
    const address = addressText({ host: everywhere ? os.hostname() : host, port });
    return `${this.#tls === undefined ? "http" : "https"}://${address}`;
  }

  /** Ends calls, member and pages in order; false when that took too long. */
  async #drain(stopPages: () => Promise<void>): Promise<boolean> {
    const [member, server] = [this.#member, this.#server];
    if (member === undefined || server === undefined) return true;
    this.#start.over("stopping");
    this.#logger.info("stopping", { openStreams: server.streams });
    const { drainMsMax } = member.limits;
    const stopCalls = () => server.stop(drainMsMax - closeMsMax);
    const close = () => member.close();
    // Calls that wait for a bucket that is away end when the member does.
    const isAway = member.bucketAwayMs > 0;
    const [first, second] = isAway ? [close, stopCalls] : [stopCalls, close];
    const drained = first()
      .then(second)
      .then(stopPages)
      .then(() => this.#certificates?.stop())
      .then(() => true);
    return await Promise.race([drained, this.#clock.sleep(drainMsMax).then(() => false)]);
  }

  /** Lets the answers out that callers are owed; files are left as they are. */
  async #fail(): Promise<boolean> {
    this.#start.over("failed");
    const stopped = this.#server?.stop(failMsMax);
    await Promise.race([stopped, this.#clock.sleep(failMsMax)]);
    return false;
  }

  /** Says in one line why it ends; returns the exit code. */
  #ended(end: End, inOrder: boolean): number {
    if (end.kind === "failure") {
      const code = exitCodeOf(end.error);
      // What has no code of its own is a bug: where it happened matters.
      const unexpected = code === exitCodes.failure.code && end.error instanceof Error;
      const stack = unexpected ? { stack: (end.error as Error).stack } : {};
      this.#logger.error(this.#server === undefined ? "cannot start" : "failed", {
        error: end.error,
        exitCode: code,
        ...stack,
      });
      return code;
    }
    const outcome = end.name === "SIGINT" ? exitCodes.interrupted : exitCodes.terminated;
    const { code } = inOrder ? outcome : exitCodes.failure;
    this.#logger.info(inOrder ? "stopped" : "stopped before everything was closed", {
      signal: end.name,
      exitCode: code,
    });
    return code;
  }
}

const stepTexts = {
  directory: "locking the data directory",
  bucket: "looking at the bucket",
  restore: "taking tables from a checkpoint",
  lock: "taking the lock",
  upload: "uploading the first checkpoint",
  tables: "opening the tables",
  log: "replaying the log",
  term: "beginning a term",
} as const;

/** What of the options is a matter of the member's limits. */
export function settingsOf(options: RunOptions) {
  return {
    requestBytesMax: options.requestBytesMax,
    txnOperationsMax: options.transactionOperationsMax,
    segmentBytesMax: options.segmentMib * mebibyte,
    segmentAgeMsMax: options.segmentSeconds * 1000,
    memtableBytesMax: options.memtableMib * mebibyte,
    cacheBytesMax: options.cacheMib * mebibyte,
  };
}

function keepaliveOf(options: RunOptions): KeepaliveOptions {
  return {
    intervalMs: options.keepaliveMs,
    timeoutMs: options.keepaliveTimeoutMs,
    clientIntervalMsMin: options.keepaliveLeastMs,
    permitWithoutCalls: options.keepaliveIdle,
  };
}

/** Where this process itself reaches a server of its own that listens at `host`. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

function modeText(
  { branchPrefix, syncUpload }: RunOptions,
  bucket: OpenBucket | undefined,
): string {
  if (bucket === undefined) return "single";
  const mode = branchPrefix === undefined ? "single+bucket" : "branch";
  return syncUpload ? mode : `${mode}, upload behind`;
}

/** A bucket that does not answer for this long makes a member that waits for it unready. */
const awayMsMax = 10_000;

function awayOr(readiness: Readiness, member: Member | undefined): Readiness {
  const awayMs = readiness.ready ? (member?.bucketAwayMs ?? 0) : 0;
  if (awayMs < awayMsMax) return readiness;
  const step = `the bucket has not answered for ${Math.round(awayMs / 1000)} s; writes wait for it`;
  return { ready: false, step };
}

function tlsText(tls: Tls | undefined): string {
  if (tls === undefined) return "off";
  return tls.clientAuthority === undefined ? "server" : "mutual";
}

/** Ids as etcdctl shows them: in hex. */
function statusOf(vitals: Vitals | undefined): Readonly<Record<string, unknown>> {
  if (vitals === undefined) return {};
  const { clusterId, memberId } = vitals;
  return { ...vitals, clusterId: clusterId.toString(16), memberId: memberId.toString(16) };
}
