/** What a bucket costs, in time and in money: writes through it, checkpoints, restores, idleness. */
import fs from "node:fs";
import { Clients } from "./clients.ts";
import { type Cloud, cloudBucket, cloudKeys, startCloud } from "./cloud.ts";
import type { Contender, ContenderName } from "./contender.ts";
import { median } from "./drive.ts";
import { h2load, timedH2load } from "./h2load.ts";
import { idleRequests } from "./idle.ts";
import { keyOf } from "./keys.ts";
import type { PhaseFigures, PhaseName, PhaseSettings } from "./phases.ts";
import { inOwnProcess } from "./process.ts";
import { paths, putRequest } from "./requests.ts";
import type { Round, Suite } from "./suite.ts";

const suite = "bucket";
const latenciesMs = [20, 60];
const callerCounts = [1, 16, 256];
/** Of the checkpoints and restores. */
const latencyMs = 20;
const checkpointRounds = 20;
const databaseKeys = 600_000;
const logObjects = 10_000;
/** Of a stretch of puts. */
const stretchSeconds = 5;

/** S3 standard, us-east-1: US dollars for a request. */
const putPrice = 0.005 / 1000;
const getPrice = 0.0004 / 1000;
const monthSeconds = 30 * 86_400;

export const bucket: Suite = {
  name: suite,
  rounds: 2,
  about:
    "T4 alone, with a bucket as member: a put is acknowledged when it is synced on the disk and " +
    "confirmed by the bucket. The bucket is the S3 double of the tests in a process of its own, on " +
    "the same cores; it begins each answer 20 or 60 ms after the request has come. The client is " +
    "the one of `t4 run`. `put 20 ms 256` is 256 callers in the member's process, of many keys; " +
    "`port` is through gRPC by h2load, connections x streams, of one key. The prices are those of " +
    "requests to S3 standard ($0.005 per 1,000 puts, $0.0004 per 1,000 gets) if a month of 30 days " +
    "went on like that. Checkpoints are of a database of 600,000 keys, about 200 MB, after 1 % of " +
    "the keys, random, were put and all before was compacted, 20 times in a row. Beside them 256 callers " +
    "put without a pause. A restore begins in an empty directory and ends with the first read; " +
    "the download gets the same objects, 32 at a time, into files that nobody syncs.",
  run: async (contender, round) => {
    if (contender.name !== "t4") return;
    await using cloud = await startCloud();
    const bench = new Bench(contender, round, cloud);
    const isWhole = round.scale.share === 1;
    for (const milliseconds of isWhole ? latenciesMs : [latencyMs]) {
      await cloud.delay(milliseconds);
      await bench.puts(milliseconds);
      await bench.port(milliseconds);
    }
    await cloud.delay(latencyMs);
    await bench.checkpoints();
    await bench.logObjects();
    await bench.idle();
  },
};

class Bench {
  readonly #contender: Contender;
  readonly #round: Round;
  readonly #cloud: Cloud;

  constructor(contender: Contender, round: Round, cloud: Cloud) {
    this.#contender = contender;
    this.#round = round;
    this.#cloud = cloud;
  }

  /** In the member's process. */
  async puts(milliseconds: number): Promise<void> {
    for (const callers of callerCounts) {
      const name = `put ${milliseconds} ms ${callers}`;
      const { endpoint } = this.#cloud;
      const prefix = `puts-${milliseconds}-${callers}`;
      const directory = `${this.#round.directory}/${prefix}`;
      const settings = { directory, endpoint, prefix, callers, seconds: this.#seconds };
      const figures = await this.#phase("puts", settings);
      this.#note(name, figures.perSecond, "/s");
      this.#note(`${name}, median`, figures.medianMs, "ms");
      this.#note(`${name}, p99`, figures.p99Ms, "ms");
      this.#note(`${name}, objects for 1,000`, figures.objectsPerThousand, "");
      this.#note(`${name}, requests for 1,000`, figures.requestsPerThousand, "");
      const { getsPerSecond, putsPerSecond } = figures;
      const perSecond = putsPerSecond * putPrice + getsPerSecond * getPrice;
      this.#note(`${name}, price of a month`, perSecond * monthSeconds, "$");
      fs.rmSync(directory, { recursive: true });
    }
  }

  /** Through the port of the program. */
  async port(milliseconds: number): Promise<void> {
    const { h2load: tool, scale } = this.#round;
    const directory = `${this.#round.directory}/port-${milliseconds}`;
    const flags = {
      "--object-store": `s3://${cloudBucket}/port-${milliseconds}`,
      "--s3-endpoint": this.#cloud.endpoint,
      "--s3-access-key-id": cloudKeys.accessKeyId,
      "--s3-secret-access-key": cloudKeys.secretAccessKey,
    };
    const server = await this.#contender.start(directory, Object.entries(flags).flat());
    await using _ = server;
    using clients = await Clients.open(server.port, 1, 1);
    const message = putRequest(keyOf(0), 0);
    for (const [connections, streams, requests] of portShapes) {
      const callers = connections * streams;
      const count = Math.max(callers * 2, Math.ceil((requests * scale.share * 20) / milliseconds));
      const call = { port: server.port, path: paths.put, message, connections, streams };
      await h2load(tool, this.#round.directory, { ...call, requests: Math.ceil(count / 2) });
      const before = await clients.revision();
      const figures = await timedH2load(tool, this.#round.directory, { ...call, requests: count });
      const grown = (await clients.revision()) - before;
      if (grown !== count) throw new Error(`${count} puts made ${grown} revisions`);
      const name = `port ${milliseconds} ms ${connections}x${streams}`;
      this.#note(name, figures.perSecond, "/s");
      this.#note(`${name}, median`, figures.latencies.quantile(0.5), "ms");
      this.#note(`${name}, p99`, figures.latencies.quantile(0.99), "ms");
    }
  }

  async checkpoints(): Promise<void> {
    const { scale } = this.#round;
    const isWhole = scale.share === 1;
    const keys = isWhole ? databaseKeys : scale.keys;
    const rounds = isWhole ? checkpointRounds : 2;
    const place = this.#place("database");
    const seconds = this.#seconds;
    const figures = await this.#phase("checkpoints", { ...place, keys, rounds, seconds });
    const { besideP99Ms, databaseBytes, quietP99Ms, uploadedBytes, wholeP99Ms } = figures;
    const share = (bytes: number) => (100 * bytes) / databaseBytes;
    const mean = uploadedBytes.reduce((sum, bytes) => sum + bytes, 0) / uploadedBytes.length;
    const of = "of the database";
    this.#round.sheet.noteBytes(suite, "database", this.#name, databaseBytes);
    this.#note(`checkpoint of 1 %, median, ${of}`, share(median(uploadedBytes)), "%");
    this.#note(`checkpoint of 1 %, mean, ${of}`, share(mean), "%");
    this.#note(`checkpoint of 1 %, most, ${of}`, share(Math.max(...uploadedBytes)), "%");
    this.#note("checkpoint of 1 %", median(figures.checkpointSeconds), "s");
    this.#note("checkpoint of everything", figures.bringSeconds, "s");
    this.#note("put, quiet", figures.quietPerSecond, "/s");
    this.#note("put beside checkpoints", figures.besidePerSecond, "/s");
    this.#note("put p99, quiet", quietP99Ms, "ms");
    this.#note("put p99 beside checkpoints", besideP99Ms, "ms");
    this.#note("put p99 beside checkpoints, of quiet", (100 * besideP99Ms) / quietP99Ms, "%");
    this.#note("put p99 beside one of everything", wholeP99Ms, "ms");
    const wholeShare = (100 * wholeP99Ms) / quietP99Ms;
    this.#note("put p99 beside one of everything, of quiet", wholeShare, "%");
    await this.#restore("the database", "database");
  }

  async logObjects(): Promise<void> {
    const count = Math.ceil(logObjects * this.#round.scale.share);
    await this.#cloud.delay(0);
    await this.#phase("objects", { ...this.#place("objects"), count });
    await this.#cloud.delay(latencyMs);
    await this.#restore("log objects", "objects");
  }

  async idle(): Promise<void> {
    this.#note("requests in an idle hour", await idleRequests(false), "");
    this.#note("requests in an hour with a quiet watch", await idleRequests(true), "");
  }

  async #restore(what: string, prefix: string): Promise<void> {
    const at = (place: string) => {
      return { ...this.#place(prefix), directory: `${this.#round.directory}/${place}-${prefix}` };
    };
    const plain = await this.#phase("download", at("downloaded"));
    const restored = await this.#phase("restore", at("restored"));
    this.#note(`download of ${what}`, plain.seconds, "s");
    this.#note(`cold restore of ${what}`, restored.seconds, "s");
    const share = (100 * restored.seconds) / plain.seconds;
    this.#note(`cold restore of ${what}, of download`, share, "%");
    this.#round.say(`${what}: ${plain.objects} objects, ${Math.round(plain.bytes / 1e6)} MB`);
  }

  #phase<N extends PhaseName>(name: N, settings: PhaseSettings[N]): Promise<PhaseFigures[N]> {
    return inOwnProcess<PhaseFigures[N]>(["bucket", name, JSON.stringify(settings)]);
  }

  #place(prefix: string) {
    const { endpoint } = this.#cloud;
    return { directory: `${this.#round.directory}/${prefix}`, endpoint, prefix };
  }

  #note(name: string, value: number, unit: Parameters<Round["sheet"]["note"]>[4]): void {
    this.#round.sheet.note(suite, name, this.#name, value, unit);
  }

  get #name(): ContenderName {
    return this.#contender.name;
  }

  get #seconds(): number {
    return Math.max(0.3, stretchSeconds * this.#round.scale.share);
  }
}

/** Connections, streams on each, and calls at 20 ms. */
const portShapes = [
  [1, 1, 150],
  [16, 1, 2500],
  [16, 16, 25_000],
] as const;
