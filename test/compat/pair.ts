/** One watch stream to each server, driven in step. */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import type { Claim, Feed, Told } from "./feed.ts";
import { Mismatch, show } from "./mismatch.ts";
import { effective, encode, type WatchOperation } from "./operation.ts";
import type { Plain } from "./plain.ts";
import { Watch, type World } from "./world.ts";

/**
 * Resolves to true once the condition holds, which is looked at whenever a stream brought something,
 * and to false when it does not in time.
 */
export type Wait = (holds: () => boolean, milliseconds: number) => Promise<boolean>;

export interface PairOptions {
  readonly t4: Feed;
  readonly etcd: Feed;
  readonly world: World;
  readonly wait: Wait;
  /** Compares answers; throws Mismatch for a difference nobody has explained. */
  readonly compare: (what: string, request: object, t4: Plain, etcd: Plain) => void;
}

/** How long a request for progress may stay unanswered before it is made again. */
const askAgainMs = 100;

/** What has not come by then never will. */
const waitMsMax = 30_000;

export class Pair {
  readonly t4: Feed;
  readonly etcd: Feed;
  readonly watches = new Map<bigint, Watch>();
  /** Ids of watches that compaction ended: taken until they are cancelled. */
  readonly compacted = new Set<bigint>();
  halfClosed = false;
  /** Events compared. */
  compared = 0;
  readonly #options: PairOptions;

  constructor(options: PairOptions) {
    this.t4 = options.t4;
    this.etcd = options.etcd;
    this.#options = options;
  }

  get #feeds(): readonly Feed[] {
    return [this.t4, this.etcd];
  }

  /** Creates a watch; undefined when both refuse it, or it ended at once. */
  async create(operation: Omit<WatchOperation, "stream">): Promise<Watch | undefined> {
    const { compare, world } = this.#options;
    const inner = encode(pb.WatchCreateRequest, operation.request, operation.extremes);
    const request = effective(operation);
    const create = Buffer.concat([Buffer.from([0x0a]), lengthOf(inner), inner]);
    for (const feed of this.#feeds) feed.sendBytes(create);
    const [t4, etcd] = await this.#control();
    compare("watch", request, t4, etcd);
    const { canceled, watchId: id } = t4;
    if (canceled) return undefined;
    const { startRevision: start = 0 } = request;
    if (start <= 0 || start >= world.compactRevision) {
      const told = { t4: this.t4.told(id) as Told, etcd: this.etcd.told(id) as Told };
      const watch = new Watch(request, world, told);
      this.watches.set(id, watch);
      return watch;
    }
    const [t4End, etcdEnd] = await this.#control();
    compare("ended by compaction", request, t4End, etcdEnd);
    this.compacted.add(id);
    return undefined;
  }

  /** Cancels a watch. Nothing answers for one that is not known. */
  async cancel(watchId: bigint): Promise<void> {
    const known = this.watches.delete(watchId) || this.compacted.delete(watchId);
    this.#send({ $case: "cancelRequest", cancelRequest: { watchId } });
    if (!known) return;
    const [t4, etcd] = await this.#control();
    this.#options.compare("cancelled", { watchId }, t4, etcd);
  }

  /** Whether a request for progress is to be answered, at the latest when asked again. */
  get answersProgress(): boolean {
    const { world } = this.#options;
    const all = [...this.watches.values()];
    return (
      all.length > 0 &&
      this.compacted.size === 0 &&
      all.every(({ startRevision }) => startRevision <= world.revision)
    );
  }

  /** Asks how far the stream is, until both say as far as the store. */
  async progress(): Promise<void> {
    const { wait, world } = this.#options;
    const { revision } = world;
    const behind = () => this.#feeds.filter(({ claims }) => claims.at(-1)?.revision !== revision);
    for (let asked = 0; asked < waitMsMax / askAgainMs; asked++) {
      for (const feed of behind()) {
        feed.asked++;
        feed.send({ $case: "progressRequest", progressRequest: {} });
      }
      if (await wait(() => behind().length === 0, askAgainMs)) return;
    }
    throw this.#mismatch(`no progress to ${revision}`, ({ claims }) => claims);
  }

  /** Waits until the watch was told three times, unasked, how far it is. */
  async notified(watchId: bigint): Promise<void> {
    for (const feed of this.#feeds) feed.notified = [];
    const all = () => this.#feeds.every(({ notified }) => notified.length >= 3);
    await this.#until(all, () => "progress of a watch");
    const [t4, etcd] = this.#feeds.map(({ notified }) => notified.slice(0, 3));
    this.#options.compare("notified", { watchId }, t4, etcd);
  }

  /** Asks how far the stream is when it cannot say. */
  askInVain(): void {
    this.#send({ $case: "progressRequest", progressRequest: {} });
  }

  silence(): void {
    for (const feed of this.#feeds) feed.sendBytes(new Uint8Array(0));
  }

  halfClose(): void {
    this.halfClosed = true;
    for (const feed of this.#feeds) feed.halfClose();
  }

  hangUp(): void {
    for (const feed of this.#feeds) feed.hangUp();
  }

  /** Waits until every watch was told all there is, compares it, and looks for broken rules. */
  async settle(): Promise<void> {
    const { world } = this.#options;
    for (const [id, watch] of this.watches) {
      watch.advance(world);
      const told = () => watch.t4.total >= watch.wanted && watch.etcd.total >= watch.wanted;
      await this.#until(told, () => `events of watch ${id}: ${this.#state(watch)}`);
      this.#compareEvents(id, watch);
    }
    for (const feed of this.#feeds) {
      const [fault] = feed.faults;
      if (fault !== undefined) throw new Mismatch(fault);
      for (const claim of feed.claims) this.#judge(claim);
      if (feed.claimed > feed.asked)
        throw this.#mismatch("unasked", ({ asked, claimed, claims }) => ({
          asked,
          claimed,
          claims,
        }));
      feed.claims = [];
      if (feed.control.length > 0) throw this.#mismatch("unasked", ({ control }) => control);
    }
  }

  #compareEvents(id: bigint, watch: Watch): void {
    const { etcd, t4, wanted } = watch;
    for (let at = 0; at < Math.max(t4.events.length, etcd.events.length); at++) {
      const [one, other] = [t4.events[at], etcd.events[at]];
      if (!Bun.deepEquals(one, other, true)) throw new Mismatch(`event of watch ${id}`, one, other);
      this.compared++;
    }
    t4.events = [];
    etcd.events = [];
    if (t4.total !== wanted) throw new Mismatch(`events of watch ${id}: ${this.#state(watch)}`);
  }

  /** No watch may have been told less than a progress response claims. */
  #judge({ revision, totals }: Claim): void {
    const { world } = this.#options;
    for (const watch of this.watches.values()) {
      const total = totals.get(watch.t4) ?? totals.get(watch.etcd);
      if (total === undefined) continue;
      const due = watch.wanted - watch.wantedAfter(world, revision);
      if (total < due)
        throw new Mismatch(`progress to ${revision} before ${due} events`, total, "");
    }
  }

  #state({ etcd, t4, wanted, start, range }: Watch): string {
    const where = show({ range: [range.key, range.end].map((key) => key.slice(0, 10)), start });
    return `${where} wants ${wanted}, t4 told ${t4.total}, etcd told ${etcd.total}`;
  }

  #send(request: pb.WatchRequest["requestUnion"]): void {
    for (const feed of this.#feeds) feed.send(request);
  }

  async #control(): Promise<[t4: Plain, etcd: Plain]> {
    const both = () => this.t4.control.length > 0 && this.etcd.control.length > 0;
    await this.#until(both, () => `responses: ${show([this.t4.control, this.etcd.control])}`);
    return [this.t4.control.shift(), this.etcd.control.shift()];
  }

  async #until(holds: () => boolean, what: () => string): Promise<void> {
    if (!(await this.#options.wait(holds, waitMsMax))) throw new Mismatch(`missing ${what()}`);
  }

  #mismatch(what: string, part: (feed: Feed) => unknown): Mismatch {
    return new Mismatch(what, part(this.t4), part(this.etcd));
  }
}

function lengthOf({ length }: Uint8Array): Buffer {
  const bytes: number[] = [];
  for (let rest = length; ; rest >>>= 7) {
    bytes.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
    if (rest < 0x80) return Buffer.from(bytes);
  }
}
