/**
 * Two servers, one driver: every operation goes to both, and what they answer is compared before
 * the next one. A watch of everything on each side tells what changed, so that what every other
 * watch is to be told can be counted and waited for.
 */
import { WatchCreateRequest, type WatchRequest } from "../../src/gen/etcdserverpb/rpc.ts";
import type { EtcdTools } from "../setup/etcd.ts";
import { type Etcd, startEtcd } from "../support/etcd.ts";
import { type Running, startT4, temporaryDirectory } from "../support/t4.ts";
import { type Difference, diverges, explain, isOlder } from "./differences.ts";
import { brief, Mismatch, show } from "./mismatch.ts";
import { type CallOperation, effective, type Operation, subjectOf } from "./operation.ts";
import { Pair } from "./pair.ts";
import type { Plain } from "./plain.ts";
import { type Answer, answerOf, Side } from "./side.ts";
import { changeOf, World } from "./world.ts";

/** Stream numbers of the driver's own watches. */
const everything = -1;
const past = -2;

export interface Flags {
  readonly t4?: readonly string[];
  readonly etcd?: readonly string[];
}

export class Arena implements AsyncDisposable {
  readonly world = new World();
  readonly tools: EtcdTools;
  /** Operations that were sent to the servers; those without a stream to go to are not. */
  sent = 0;
  /** Those by method. */
  readonly calls = new Map<string, number>();
  /** Refusals by code and message. */
  readonly refusals = new Map<string, number>();
  /** Known differences that were met. */
  readonly met = new Map<Difference, number>();
  readonly #resources: AsyncDisposableStack;
  readonly #t4: Side;
  readonly #etcd: Side;
  readonly #pairs = new Map<number, Pair>();
  readonly #waiting = new Set<() => void>();
  /** Rejects when a server ends. */
  readonly #ended: Promise<never>;
  #compared = 0;
  #fragments = 0;

  /** Both servers, on new directories. */
  static async open(tools: EtcdTools, flags: Flags = {}): Promise<Arena> {
    await using resources = new AsyncDisposableStack();
    const directory = resources.use(temporaryDirectory());
    const etcd = resources.use(await startEtcd(tools, flags.etcd));
    const t4 = resources.use(await startT4(`${directory.path}/data`, flags.t4));
    const sides = [
      resources.adopt(await Side.connect("t4", Number(t4.endpoint.split(":")[1])), close),
      resources.adopt(await Side.connect("etcd", etcd.port), close),
    ] as const;
    const arena = new Arena(tools, sides, endOf(t4, etcd), resources.move());
    await arena.#pair(everything).create({ kind: "watch", request: { ...all, prevKv: true } });
    return arena;
  }

  private constructor(
    tools: EtcdTools,
    [t4, etcd]: readonly [Side, Side],
    ended: Promise<never>,
    resources: AsyncDisposableStack,
  ) {
    this.tools = tools;
    this.#t4 = t4;
    this.#etcd = etcd;
    this.#ended = ended;
    ended.catch(() => undefined);
    this.#resources = resources;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }

  get version(): string {
    return this.tools.version;
  }

  /** Open streams, for the generator to choose from. */
  get streams(): ReadonlyMap<number, Pair> {
    return this.#pairs;
  }

  get eventsCompared(): number {
    return [...this.#pairs.values()].reduce((sum, { compared }) => sum + compared, this.#compared);
  }

  get fragmentsSeen(): number {
    const open = [...this.#pairs.values()].map(({ etcd, t4 }) => t4.fragments + etcd.fragments);
    return open.reduce((sum, count) => sum + count, this.#fragments);
  }

  /** Runs an operation on both servers. Throws Mismatch when they do not agree. */
  async run(operation: Operation): Promise<void> {
    if (this.#goesOut(operation)) {
      const name = operation.kind === "call" ? operation.method : operation.kind;
      this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
      this.sent++;
    }
    await Promise.race([this.#run(operation), this.#ended]);
  }

  /** Whether the servers are known to go on from an operation differently. */
  async diverges(operation: Operation): Promise<boolean> {
    if (diverges(this.version, ...subjectOf(operation))) return true;
    if (operation.kind !== "watch") return false;
    const { compactRevision, history } = this.world;
    if (effective(operation).startRevision !== compactRevision) return false;
    // What is told of the compacted revision itself depends on what etcd has dropped of it so far:
    // deletions, before these releases, and to this day all but the last change of a key.
    await this.#learnHistory();
    const changes = history.filter(({ revision }) => revision === compactRevision);
    const keys = new Set(changes.map(({ key }) => key));
    const drops = isOlder(this.version, ["3.4.34", "3.5.16"]);
    return keys.size < changes.length || (drops && changes.some(({ type }) => type === 1));
  }

  #goesOut(operation: Operation): boolean {
    if (["await", "fence", "settle"].includes(operation.kind)) return false;
    if (!("stream" in operation)) return true;
    const pair = this.#pairs.get(operation.stream);
    if (pair === undefined) return operation.kind === "watch";
    return operation.kind === "hangUp" || !pair.halfClosed;
  }

  async #run(operation: Operation): Promise<void> {
    switch (operation.kind) {
      case "call":
        return await this.#call(operation);
      case "bytes":
      case "messages":
      case "streamBytes":
      case "keepAlive":
        await this.#both(operation);
        return;
      case "passingLease":
        return await this.#passingLease(operation.lease, operation.ttl);
      case "replay":
        return await this.#replay(operation.request);
      case "progressInVain":
        return await this.#progressInVain(operation.watch);
      case "await":
        return await this.#await();
      case "settle":
        return await this.settle();
      case "fence":
        return await this.#fence();
      case "watch":
        if (this.#pairs.get(operation.stream)?.halfClosed) return;
        await this.#pair(operation.stream).create(operation);
        return;
      default:
        return await this.#onStream(operation, this.#pairs.get(operation.stream));
    }
  }

  async #onStream(
    operation: Extract<Operation, { stream: number }>,
    pair: Pair | undefined,
  ): Promise<void> {
    if (pair === undefined) return;
    if (operation.kind === "hangUp") {
      await this.settle();
      this.#compared += pair.compared;
      this.#fragments += pair.t4.fragments + pair.etcd.fragments;
      pair.hangUp();
      this.#pairs.delete(operation.stream);
    }
    if (pair.halfClosed) return;
    if (operation.kind === "halfClose") pair.halfClose();
    if (operation.kind === "silence") pair.silence();
    if (operation.kind === "notified") await pair.notified(operation.id);
    if (operation.kind === "unwatch") {
      await this.settle();
      await pair.cancel(operation.id);
    }
    if (operation.kind === "progress") {
      // Older ones answer at once, whatever they have not told yet.
      const rash = isOlder(this.version, ["3.4.25", "3.5.8"]);
      if (rash) await this.settle();
      if (!pair.answersProgress) {
        if (!rash) pair.askInVain();
        return;
      }
      await pair.progress();
      if (!rash) for (const watch of pair.watches.values()) watch.live = true;
    }
  }

  /** Waits until every watch was told everything, and compares what they were told. */
  async settle(): Promise<void> {
    await this.#learnHistory();
    for (const [stream, pair] of this.#pairs) if (stream !== everything) await pair.settle();
  }

  /** What changed up to now, as both tell it. */
  async #learnHistory(): Promise<void> {
    const { history, revision } = this.world;
    const { etcd, t4, watches } = this.#pair(everything);
    const [watch] = watches.values();
    if (watch === undefined) throw new Mismatch("the watch of everything ended", t4, etcd);
    const told = () => watch.t4.lastRevision >= revision && watch.etcd.lastRevision >= revision;
    const known = history.at(-1)?.revision ?? 1;
    if (revision > known && !(await this.#wait(told, 30_000))) {
      throw new Mismatch(`no event of ${revision}`, watch.t4.lastRevision, watch.etcd.lastRevision);
    }
    history.push(...watch.etcd.events.map(changeOf));
    await this.#pair(everything).settle();
  }

  /** Makes sure that no watch reads history any more: one that began after all others is told. */
  async #fence(): Promise<void> {
    await this.settle();
    const key = Buffer.from("fence");
    await this.#call({ kind: "call", method: "Put", request: { key } });
    const pair = this.#pair(past);
    const request = { key, startRevision: this.world.revision, watchId: 1n };
    await pair.create({ kind: "watch", request });
    await this.settle();
    await pair.cancel(1n);
    for (const { watches } of this.#pairs.values()) {
      for (const watch of watches.values()) watch.live = true;
    }
  }

  /** Asks when there is nothing to tell, and then when there is: what both tell in the end. */
  async #progressInVain(request: Partial<WatchCreateRequest> | undefined): Promise<void> {
    const feeds = [this.#t4, this.#etcd].map((side) => side.watch(this.#wake));
    const send = (union: WatchRequest["requestUnion"]) => {
      for (const feed of feeds) feed.send(union);
    };
    const create = (watch: Partial<WatchCreateRequest>) =>
      send({ $case: "createRequest", createRequest: whole(watch) });
    const created = async (count: number) => {
      const all = () => feeds.every(({ control }) => control.length >= count);
      if (!(await this.#wait(all, 30_000))) throw new Mismatch("no created response", ...feeds);
    };
    if (request !== undefined) create(request);
    await created(request === undefined ? 0 : 1);
    send({ $case: "progressRequest", progressRequest: {} });
    if (request !== undefined) send({ $case: "cancelRequest", cancelRequest: { watchId: 0n } });
    create({ key: Buffer.from("vain") });
    await created(request === undefined ? 1 : 3);
    await this.#call({ kind: "call", method: "Put", request: { key: Buffer.from("moved") } });
    send({ $case: "progressRequest", progressRequest: {} });
    const { revision } = this.world;
    const told = () => feeds.map(({ claims }) => claims.map((claim) => claim.revision - revision));
    const done = () => told().every((revisions) => revisions.includes(0));
    if (!(await this.#wait(done, 30_000))) throw new Mismatch("no progress", ...told());
    for (const feed of feeds) feed.hangUp();
    const [t4, etcd] = told();
    this.#compare("progressInVain", { watch: request }, t4, etcd);
  }

  async #await(): Promise<void> {
    const { watches } = this.#pair(everything);
    const known = this.world.revision;
    const told = () => [...watches.values()].flatMap(({ etcd, t4 }) => [t4, etcd]);
    const all = () => told().every(({ lastRevision }) => lastRevision > known);
    if (!(await this.#wait(all, 30_000))) throw new Mismatch("nothing changed", ...told());
    this.world.revision = known + 1;
  }

  async #replay(request: Partial<WatchCreateRequest>): Promise<void> {
    const feeds = [this.#t4, this.#etcd].map((side) => side.watch(this.#wake));
    for (const feed of feeds) feed.send({ $case: "createRequest", createRequest: whole(request) });
    await this.#call({ kind: "call", method: "Put", request: { key: request.key } });
    const { compactRevision, revision } = this.world;
    const told = () => feeds.map((feed) => feed.told(0n));
    const done = () => told().every((each) => each?.lastRevision === revision);
    if (!(await this.#wait(done, 30_000)))
      throw new Mismatch(`replay ${brief(request)}`, ...told());
    for (const feed of feeds) feed.hangUp();
    const [t4, etcd] = told().map((each) => each?.events);
    this.#compare("replay", { ...request, compactRevision }, t4, etcd);
  }

  async #call(operation: CallOperation): Promise<void> {
    // Which watches a compaction ends must not depend on how fast a server reads history.
    if (operation.method === "Compact" && this.#someRead) await this.#fence();
    await this.#both(operation);
  }

  get #someRead(): boolean {
    const pairs = [...this.#pairs.values()];
    return pairs.some(({ watches }) => [...watches.values()].some(({ live }) => !live));
  }

  /** A lease with the least TTL may end before it is revoked. */
  async #passingLease(ID: bigint, TTL: number): Promise<void> {
    const from = performance.now();
    const granted = await this.#both({ kind: "call", method: "LeaseGrant", request: { ID, TTL } });
    if (granted.code !== 0) return;
    const lease = granted.response.ID;
    const revoke = { kind: "call", method: "LeaseRevoke", request: { ID: lease } } as const;
    const [t4, etcd] = await this.#answers(revoke);
    const passed = performance.now() - from >= granted.response.TTL * 1000;
    if (!passed) this.#compare("LeaseRevoke", revoke.request, t4, etcd);
    this.world.leases.delete(lease);
  }

  /** Has both answer, and compares. */
  async #both(operation: Operation): Promise<Answer> {
    const from = performance.now();
    const [t4, etcd] = await this.#answers(operation);
    const during = { from, to: performance.now() };
    const [name, request] = subjectOf(operation);
    if (name === "LeaseTimeToLive") this.world.judgeRemaining(t4, etcd, during);
    this.#compare(name, request, t4, etcd);
    if (etcd.code !== 0) {
      const refusal = `${etcd.code} ${etcd.message}`;
      this.refusals.set(refusal, (this.refusals.get(refusal) ?? 0) + 1);
    }
    this.world.learn(operation, etcd, during);
    return etcd;
  }

  async #answers(operation: Operation): Promise<[Answer, Answer]> {
    const answers = [this.#t4, this.#etcd].map((side) => answerOf(side, operation));
    return (await Promise.all(answers)) as [Answer, Answer];
  }

  #compare(what: string, request: object, t4: Plain, etcd: Plain): void {
    if (Bun.deepEquals(t4, etcd, true)) return;
    const known = explain({ version: this.version, what, request, t4, etcd });
    if (known === undefined) throw new Mismatch(`${what} ${brief(request)}`, t4, etcd);
    this.met.set(known, (this.met.get(known) ?? 0) + 1);
  }

  readonly #wake = () => {
    for (const look of this.#waiting) look();
  };

  #pair(stream: number): Pair {
    const open = this.#pairs.get(stream);
    if (open !== undefined) return open;
    const pair = new Pair({
      t4: this.#t4.watch(this.#wake),
      etcd: this.#etcd.watch(this.#wake),
      world: this.world,
      wait: (holds, milliseconds) => this.#wait(holds, milliseconds),
      compare: (...difference) => this.#compare(...difference),
    });
    this.#pairs.set(stream, pair);
    return pair;
  }

  #wait(holds: () => boolean, milliseconds: number): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    return new Promise((resolve) => {
      const done = (answer: boolean) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(answer);
      };
      const look = () => {
        if (holds()) done(true);
      };
      const timer = setTimeout(() => done(false), milliseconds);
      this.#waiting.add(look);
    });
  }
}

const all = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };

function close(side: Side): void {
  side.close();
}

function whole(request: Partial<WatchCreateRequest>): WatchCreateRequest {
  return { ...WatchCreateRequest.decode(new Uint8Array(0)), ...request };
}

async function endOf(t4: Running, etcd: Etcd): Promise<never> {
  const dead = await Promise.race([
    t4.exited.then((code) => `t4 ended with ${code}: ${show(t4.log.slice(-5))}`),
    etcd.exited.then((code) => `etcd ended with ${code}`),
  ]);
  throw new Mismatch(dead);
}
