/**
 * The life of a member, from one seed: it is opened, sixteen clients write, read, watch, compact and
 * hold leases, until it is closed or the process or the machine dies; then again. After every start
 * it must be what its book says.
 */
import { expect } from "bun:test";
import { DiskError } from "../../src/lib/disk.ts";
import { silent } from "../../src/lib/logger.ts";
import { type Random, SeededRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { limitsOf } from "../../src/member/limits.ts";
import { Member } from "../../src/member/member.ts";
import { recover } from "../../src/member/recover.ts";
import type { Command } from "../../src/model/command.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { Reply } from "../../src/model/reply.ts";
import { checkStore } from "../../src/mvcc/check.ts";
import { Commands } from "../mvcc/commands.ts";
import { plainPair, plainReply } from "../mvcc/rig.ts";
import type { DiskCall } from "../sim/disk.ts";
import { SimDisk } from "../sim/disk.ts";
import { wholeQuery } from "../support/query.ts";
import { Book, pairsAt } from "./book.ts";
import { type Fate, type Fortune, Host } from "./host.ts";
import { Sight } from "./sight.ts";
import { pipelined, settings } from "./sizes.ts";

export interface LifeOptions {
  readonly seed: number;
  /** How many times the member is opened and serves. */
  readonly starts: number;
  /** What each client asks for in each start. */
  readonly operations: number;
  /** Whether the machine loses power where it may, or only the process ever dies. */
  readonly losesPower?: boolean;
  /** Decides about each call of the disk; `number` counts over the whole life, from 1. */
  readonly fate?: (call: DiskCall, number: number) => Fate;
  /** A sync, as syncSiteOf names it, and whether it is carried out, asked each time. */
  readonly site?: string;
  readonly isDone?: () => boolean;
  /** Looks at each start when its end has come; true when nothing more is wanted of the life. */
  readonly ended?: (host: Host) => boolean;
}

const dataDirectory = "/data";
const clients = 16;
/** How long the disk goes on failing: some wait for room as long as it takes. */
const troubleMsMax = 30_000;
/** By then whatever failed is told, or was tried again. */
const retryMsMax = 15_000;
const everything = { key: "\0", end: "\0" };

export class Life {
  readonly #options: LifeOptions;
  readonly #random: Random;
  readonly #commands: Commands;
  readonly #fortune: Fortune;
  readonly book = new Book();
  #host: Host;
  #start = 0;
  #revoke: (command: Command) => Promise<Reply | Refusal> = () =>
    Promise.reject(new Error("nothing is open"));

  constructor(options: LifeOptions) {
    const { fate = () => undefined, isDone = () => true, seed, site } = options;
    this.#options = options;
    this.#random = new SeededRandom(seed);
    this.#commands = new Commands(this.#random);
    this.#fortune = { calls: 0, trace: 0, fate, site, isDone };
    this.#host = this.#newHost();
    this.#host.attach(new SimDisk(this.#host.hooks()));
  }

  /** Calls of the disk so far. */
  get calls(): number {
    return this.#fortune.calls;
  }

  /** A number that two lives share only if the same happened in both. */
  get trace(): number {
    return this.#fortune.trace;
  }

  /** Lives the whole life. Rejects, naming the place, when the member is not what it must be. */
  async run(): Promise<void> {
    try {
      while (this.#start++ < this.#options.starts) {
        const host = this.#host;
        await Promise.race([this.#live(host), host.death]);
        expect(host.leases.early).toEqual([]);
        this.#end(host);
        if (this.#options.ended?.(host)) break;
      }
      this.#host.isCalm = true;
      await this.#inspect(this.#host);
      const member = await this.#open(this.#host);
      if (member === undefined) throw new Error("it does not open");
      await this.#compare(this.#host, member);
      await this.#host.settled(member.close());
    } catch (error) {
      const why = error instanceof Error ? error.message : `${error}`;
      const where = `start ${this.#start}, call ${this.calls}`;
      throw new Error(`${where}: ${why}`, { cause: error });
    }
  }

  #newHost(): Host {
    return new Host(this.#fortune, new SeededRandom(this.#random.below(2 ** 32)));
  }

  /** The process or the machine is gone; the next one finds what is left. */
  #end(host: Host): void {
    host.isDead = true;
    const next = this.#newHost();
    const power = this.#options.losesPower === true && this.#random.below(2) === 0;
    next.attach(
      power
        ? host.disk.powerLoss(this.#random, next.hooks())
        : host.disk.processCrash(next.hooks()),
    );
    this.#host = next;
  }

  /** From one start of the process to its end. */
  async #live(host: Host): Promise<void> {
    if (this.#start > 1 && this.#random.below(4) === 0) {
      await this.#inspect(host);
      return;
    }
    const member = await this.#open(host);
    if (member === undefined) return;
    await this.#compare(host, member).catch((error) => this.#tolerate(host, error));
    const sights = await this.#serve(host, member);
    if (host.faults.length > 0) {
      // What failed in the background is told by then, or has been tried again.
      host.isCalm = true;
      await host.settled(host.clock.sleep(retryMsMax));
    }
    if (host.fatals.length > 0) await this.#afterFatal(host, member);
    else if (host.faults.length > 0 || this.#random.below(2) === 0)
      await this.#settleDown(host, member, sights);
    else return;
    await host.settled(member.close());
  }

  /** Undefined when it does not open and a fault explains that. */
  async #open(host: Host): Promise<Member | undefined> {
    let beganMs = 0;
    const opening = Member.open({
      dataDirectory,
      name: "one",
      clientUrls: () => [],
      settings: this.#options.seed % 2 === 0 ? settings : pipelined,
      disk: host.disk,
      clock: host.clock,
      random: new SeededRandom(this.#random.below(2 ** 32)),
      logger: silent,
      registry: new Registry(),
      onStep: () => {
        beganMs = host.clock.now();
      },
      fatal: host.fatal,
    });
    let member: Member;
    try {
      member = await host.settled(opening);
    } catch (error) {
      if (host.faults.length === 0) throw error;
      return undefined;
    }
    host.wasOpenAt = host.disk.calls;
    host.note(`open ${member.applied.index} ${member.revision}`);
    this.book.settle(member.applied.index - member.term, true);
    this.#compareLeases(host, member);
    for (const [id, ttl] of this.book.model.leases) host.leases.begins(id, ttl, beganMs);
    const propose = member.propose.bind(member);
    // What clients revoke goes through #revoke; the rest are leases that the member ends.
    member.propose = (command) => {
      if (command.kind === "revoke") host.leases.ends(command.lease, host.clock.now());
      return this.#ask(host, command, propose);
    };
    this.#revoke = (command) => this.#ask(host, command, propose);
    return member;
  }

  /** Every command takes this way to the log, those of the member itself included. */
  async #ask(
    host: Host,
    command: Command,
    propose: (command: Command) => Promise<Reply | Refusal>,
  ): Promise<Reply | Refusal> {
    const askedMs = host.clock.now();
    const answer = await this.book.ask(command, propose);
    if (answer instanceof Refusal) host.note(answer.kind);
    else host.note(`${answer.kind} ${answer.revision}`);
    if (command.kind === "grant" && answer instanceof Refusal && answer.kind === "outcomeUnknown") {
      host.leases.mayBegin(command.lease);
    }
    if (!(answer instanceof Refusal) && answer.kind === "grant") {
      host.leases.begins(answer.lease, answer.ttlSeconds, askedMs);
    }
    return answer;
  }

  /** Opens the rooms alone and walks through everything they hold. */
  async #inspect(host: Host): Promise<void> {
    const { clock, disk } = host;
    const opening = recover({
      dataDirectory,
      name: "one",
      limits: limitsOf(settings),
      disk,
      clock,
      random: new SeededRandom(this.#random.below(2 ** 32)),
      logger: silent,
      registry: new Registry(),
      onStep: () => undefined,
      wakeWatchers: () => undefined,
      leaseChanged: () => undefined,
      checkpointed: () => undefined,
      fatal: host.fatal,
    });
    const rooms = await host.settled(opening).catch((error) => {
      if (host.faults.length === 0) throw error;
      return undefined;
    });
    if (rooms === undefined) return;
    const { directory, log, store, tree } = rooms;
    const look = async () => {
      expect(checkStore(store, tree)).toEqual([]);
      expect(await host.settled(tree.check())).toEqual([]);
    };
    await look().catch((error) => {
      if (host.faults.length === 0) throw error;
    });
    await host.settled(tree.close());
    await host.settled(log.close());
    directory.lock.release();
  }

  /** Holds what the member shows of the book's last revision against the model. */
  async #compare(host: Host, member: Member): Promise<void> {
    const { model } = this.book;
    const floor = Math.max(1, model.floor);
    const between = floor + this.#random.below(model.revision - floor + 1);
    for (const revision of [model.revision, floor, between]) {
      const reply = await host.settled(
        Promise.resolve(member.range(wholeQuery(everything, revision))),
      );
      if (reply instanceof Refusal && host.fatals.length > 0) return;
      if (reply instanceof Refusal) throw new Error(`a read at ${revision}: ${reply.kind}`);
      expect(reply.kvs.map(plainPair)).toEqual(pairsAt(model, everything, revision));
    }
    const sight = new Sight(member, {
      range: everything,
      startRevision: floor,
      previous: this.#random.below(2) === 0,
      noPut: false,
      noDelete: false,
    });
    await host.settled(this.#current(host, [sight]));
    expect(sight.ended).toBe(false);
    sight.forgetAfter(model.revision);
    sight.verify(model, true);
    sight.cancel();
  }

  #compareLeases(host: Host, member: Member): void {
    const { model } = this.book;
    expect<number>(member.revision).toBe(model.revision);
    const leases = member.lessor.all();
    if (leases instanceof Refusal && host.fatals.length > 0) return;
    if (leases instanceof Refusal) throw new Error(`the leases: ${leases.kind}`);
    expect(new Set(leases)).toEqual(new Set(model.leases.keys()));
    for (const [id, ttlSeconds] of model.leases) {
      const keys = pairsAt(model, everything, model.revision)
        .filter(({ lease }) => lease === id)
        .map(({ key }) => key);
      expect(member.lessor.life(id)).toMatchObject({ ttlSeconds, keys });
    }
  }

  /** Drains watchers until they have everything there is for them. */
  async #current(host: Host, sights: readonly Sight[]): Promise<void> {
    while (!sights.every((sight) => sight.isDone)) {
      for (const sight of sights) sight.drain(Infinity);
      if (host.isDead) return;
      await host.clock.yield();
    }
  }

  /** Sixteen clients at once, until they have asked all they want. Resolves to their watchers. */
  async #serve(host: Host, member: Member): Promise<Sight[]> {
    const work = Array.from({ length: clients }, () => this.#client(host, member));
    const relieved = host.clock.sleep(troubleMsMax).then(() => {
      host.isCalm ||= host.faults.length > 0;
    });
    await host.settled(Promise.race([Promise.all(work), relieved]));
    const sights = await host.settled(Promise.all(work));
    const { faults, fatals } = host;
    expect(fatals.length).toBeLessThanOrEqual(faults.length > 0 ? 1 : 0);
    return sights;
  }

  async #client(host: Host, member: Member): Promise<Sight> {
    let sight = this.#watch(member);
    for (let left = this.#options.operations; left > 0; left--) {
      try {
        await this.#operation(host, member);
      } catch (error) {
        this.#tolerate(host, error);
      }
      for (let turns = this.#random.below(3); turns > 0; turns--) await host.clock.yield();
      if (host.isDead) break;
      sight.drain(this.#random.below(3));
      if (sight.ended || this.#random.below(30) === 0) {
        sight.cancel();
        sight = this.#watch(member);
      }
    }
    return sight;
  }

  /** A request may fail with what the disk was told to say. */
  #tolerate(host: Host, error: unknown): void {
    if (host.isDead || (error instanceof DiskError && host.faults.length > 0)) return;
    throw error;
  }

  #watch(member: Member): Sight {
    const random = this.#random;
    const sight = new Sight(member, {
      range: random.below(2) === 0 ? everything : this.#commands.range(),
      startRevision: Math.max(0, member.revision - random.below(40) + 10),
      previous: random.below(3) === 0,
      noPut: random.below(8) === 0,
      noDelete: random.below(8) === 0,
    });
    this.book.watches(sight);
    return sight;
  }

  async #operation(host: Host, member: Member): Promise<void> {
    const random = this.#random;
    const { revision } = member;
    const pick = random.below(100);
    if (pick < 78) {
      const command = this.#commands.command(revision);
      await (command.kind === "revoke" ? this.#revoke(command) : member.propose(command));
    } else if (pick < 82) await member.compact(revision - random.below(9), random.below(3) === 0);
    else if (pick < 85) await member.lessor.grant(0n, random.below(30));
    else if (pick < 90) await this.#keepAlive(host, member);
    else await this.#read(member);
  }

  async #keepAlive(host: Host, member: Member): Promise<void> {
    const leases = member.lessor.all();
    if (leases instanceof Refusal) return;
    const lease = leases[this.#random.below(leases.length + 1)] ?? 77n;
    const sinceMs = host.clock.now();
    const ttl = await member.lessor.keepAlive(lease);
    if (typeof ttl === "number") host.leases.begins(lease, ttl, sinceMs);
  }

  async #read(member: Member): Promise<void> {
    const { revision } = member;
    const back = this.#random.below(2) === 0 ? 0 : this.#random.below(10);
    const at = back === 0 ? 0 : Math.max(1, revision - back);
    const query = wholeQuery(this.#commands.range(), at);
    const reply = await member.range(query);
    if (!(reply instanceof Refusal)) this.book.read(query, revision, reply);
  }

  /** Nothing goes wrong any more: writes are taken, and everything said so far is true now. */
  async #settleDown(host: Host, member: Member, sights: readonly Sight[]): Promise<void> {
    host.isCalm = true;
    const put = { ...this.#commands.put(), lease: 0n, ignoreValue: false, ignoreLease: false };
    const answer = await host.settled(member.propose(put));
    if (answer instanceof Refusal) throw new Error(`a put, with all in order: ${answer.kind}`);
    this.book.settle(member.applied.index - member.term, false);
    this.#compareLeases(host, member);
    await this.#compare(host, member);
    await host.settled(this.#current(host, sights));
    for (const sight of sights) {
      sight.forgetAfter(this.book.model.revision);
      sight.verify(this.book.model, !sight.ended);
    }
    expect(host.fatals).toEqual([]);
  }

  /** A member that called something fatal takes no more writes, and says so. */
  async #afterFatal(host: Host, member: Member): Promise<void> {
    expect(member.isLeader).toBe(false);
    const answer = await host.settled(member.propose(this.#commands.put()));
    expect(plainReply(answer as Refusal)).toBe("stopped");
  }
}
