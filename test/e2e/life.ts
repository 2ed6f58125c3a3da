/**
 * The life of one data directory: servers that start on it, are loaded by writers and a watcher, and
 * die at some moment.
 */
import fs from "node:fs";
import { KVDefinition, LeaseDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import type { Random } from "../../src/lib/random.ts";
import { codes } from "../../src/rpc/status.ts";
import { checkDirectory } from "../support/check.ts";
import { CallError, Client } from "../support/client.ts";
import {
  type Launched,
  launchT4,
  type Running,
  startT4,
  temporaryDirectory,
} from "../support/t4.ts";
import { Feed } from "./feed.ts";
import { fail, History } from "./history.ts";
import type { Stubs } from "./operation.ts";
import { Proof } from "./proof.ts";
import { Writer } from "./writer.ts";

/** What a server under load is doing when it is to die. */
export type Moment = "answering" | "making a table" | "making a segment";

const writers = 16;
const connections = 4;
/** Answers after which a server dies, whatever it is doing. */
const answersMax = 2500;
/** Small, so that flushes, merges and rotations happen all the time. */
const flags = [
  ["--memtable-mb", "1"],
  ["--segment-max-size-mb", "1"],
  ["--segment-max-age-sec", "1"],
  ["--cache-mb", "1"],
].flat();

export class Life {
  readonly history = new History();
  readonly counts = { starts: 0, lostDisks: 0, cutOff: 0, halfMadeTables: 0, halfMadeSegments: 0 };
  readonly #directory: string;
  readonly #flags: readonly string[];
  readonly #answersMax: number;
  readonly #random: Random;
  readonly #proof: Proof;
  readonly #writers: readonly Writer[];
  #startMs = 300;

  /**
   * `more` are flags beside those that make everything small; a server under load dies after
   * `answers` at the latest.
   */
  constructor(
    directory: string,
    random: Random,
    { more = [], answers = answersMax }: { more?: readonly string[]; answers?: number } = {},
  ) {
    this.#answersMax = answers;
    this.#directory = directory;
    this.#random = random;
    this.#flags = [...flags, ...more];
    this.#proof = new Proof(this.history, random);
    const mods = new Map<string, number>();
    this.#writers = Array.from({ length: writers }, (_, id) => {
      return new Writer(id, this.history, random, mods);
    });
  }

  /** Starts a server and proves that it has what it must have. */
  async start(): Promise<Running> {
    const began = performance.now();
    const t4 = await startT4(this.#directory, this.#flags);
    this.#startMs = performance.now() - began;
    this.#note(t4);
    const client = new Client(t4.port);
    try {
      await this.#proof.hold(client, stubsOf(client));
      return t4;
    } catch (error) {
      await t4[Symbol.asyncDispose]();
      throw error;
    } finally {
      client.close();
    }
  }

  /** Starts a server and kills it about the time when it begins to serve, mostly before. */
  async startAndDie(): Promise<void> {
    await using t4 = launchT4(this.#directory, this.#flags);
    await Bun.sleep(this.#random.float() * this.#startMs);
    t4.signal("SIGKILL");
    await t4.exited;
    this.#note(t4);
  }

  /** Puts load on a server until `moment` resolves, and ends it then. Returns its exit code. */
  async load(
    t4: Running,
    signal: "SIGKILL" | "SIGTERM",
    moment: () => Promise<void>,
  ): Promise<number> {
    const clients = Array.from({ length: connections }, () => new Client(t4.port));
    const stubs = clients.map(stubsOf);
    const feed = new Feed(clients[0] as Client, this.history, this.#proof.seen);
    const work = this.#writers.map((writer, at) => writer.run(stubs[at % connections] as Stubs));
    const gone = new AbortController();
    work.push(this.#compact(stubs[0] as Stubs, feed, gone.signal));
    try {
      const early = Promise.race([...work, feed.ended]).then(() =>
        fail(`it went by itself: ${JSON.stringify(t4.log)}`),
      );
      await Promise.race([moment(), early]);
      early.catch(() => undefined);
      t4.signal(signal);
      const code = await t4.exited;
      gone.abort();
      await Promise.all([...work, feed.ended]);
      this.#proof.keep(feed);
      return code;
    } finally {
      gone.abort();
      for (const client of clients) client.close();
    }
  }

  /** Resolves while the server under load does what `moment` says. */
  async comes(moment: Moment): Promise<void> {
    const { counts } = this.history;
    const before = counts.answers;
    const most =
      moment === "answering" ? this.#random.below(this.#answersMax / 2) : this.#answersMax;
    const part = moment === "making a table" ? "db" : "wal";
    while (counts.answers - before < most) {
      if (moment !== "answering" && this.#halfMade(part)) break;
      await Bun.sleep(1);
    }
    // Some moment after that: an answer that has just come is a special time for a server, too.
    await Bun.sleep(this.#random.float() * (moment === "answering" ? 15 : 3));
  }

  /** Walks a copy of the directory as it lies there. */
  async check(): Promise<void> {
    this.counts.halfMadeTables += Number(this.#halfMade("db"));
    this.counts.halfMadeSegments += Number(this.#halfMade("wal"));
    using copy = temporaryDirectory();
    fs.cpSync(this.#directory, copy.path, { recursive: true });
    // Alone it would not be opened: what it holds beyond the bucket was not acknowledged.
    fs.rmSync(`${copy.path}/BUCKET`, { force: true });
    const broken = await checkDirectory(copy.path);
    if (broken.length > 0) fail(`broken claims: ${broken.join("; ")}`);
  }

  /** The disk is gone, with everything on it. */
  lose(): void {
    fs.rmSync(this.#directory, { recursive: true, force: true });
    this.counts.lostDisks++;
    this.history.movesOn();
  }

  #halfMade(part: "db" | "wal"): boolean {
    const names = fs.readdirSync(`${this.#directory}/${part}`);
    return names.some((name) => name.endsWith(".tmp"));
  }

  /** Now and then compacts what the watcher has seen. */
  async #compact({ kv }: Stubs, feed: Feed, gone: AbortSignal): Promise<void> {
    const { counts } = this.history;
    let due = counts.answers + this.#random.below(600);
    for (;;) {
      while (counts.answers < due && !gone.aborted) await Bun.sleep(2);
      const revision = feed.seen - this.#random.below(300);
      due += 200 + this.#random.below(800);
      if (revision <= this.history.floor && !gone.aborted) continue;
      this.history.compacting(revision);
      try {
        const { header } = await kv.compact({ revision, physical: this.#random.below(2) === 0 });
        this.history.compacted(revision, header);
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        if (error.code === codes.unavailable) return;
        if (error.code !== codes.resourceExhausted) throw error;
      }
    }
  }

  #note({ log }: Launched): void {
    this.counts.starts++;
    this.counts.cutOff += log.filter(({ msg }) => msg.startsWith("cut off")).length;
  }
}

function stubsOf(client: Client): Stubs {
  return { kv: client.unary(KVDefinition), lease: client.unary(LeaseDefinition) };
}
