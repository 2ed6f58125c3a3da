/** One member on a simulated machine, for tests that look at one thing at a time. */
import { silent } from "../../src/lib/logger.ts";
import { SeededRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { Committer } from "../../src/member/commit.ts";
import { defaultSettings, type Limits, type Settings } from "../../src/member/limits.ts";
import { Member, type MemberOptions } from "../../src/member/member.ts";
import { commitMeters } from "../../src/member/meters.ts";
import { recover } from "../../src/member/recover.ts";
import type { PutCommand } from "../../src/model/command.ts";
import { Refusal } from "../../src/model/refusal.ts";
import type { RangeReply, Reply } from "../../src/model/reply.ts";
import { termOf } from "../../src/model/revision.ts";
import { SimClock } from "../sim/clock.ts";
import type { SimDisk, SimDiskOptions } from "../sim/disk.ts";
import { wholeQuery } from "../support/query.ts";

export const dataDirectory = "/data";

export interface Rig {
  readonly member: Member;
  readonly clock: SimClock;
  readonly disk: SimDisk;
  /** What the member called fatal. */
  readonly fatals: unknown[];
}

/** What a member is opened with; parts may be replaced. */
export function optionsFor(disk: SimDisk, given: Partial<MemberOptions> = {}): MemberOptions {
  return {
    dataDirectory,
    name: "one",
    clientUrls: () => [],
    settings: defaultSettings,
    disk,
    clock: new SimClock(),
    random: new SeededRandom(1),
    logger: silent,
    registry: new Registry(),
    onStep: () => undefined,
    fatal: (error) => {
      throw error;
    },
    ...given,
  };
}

/** Opens a member on `disk`. */
export async function openMember(
  disk: SimDisk,
  {
    clock = new SimClock(),
    settings = {},
  }: { clock?: SimClock; settings?: Partial<Settings> } = {},
): Promise<Rig> {
  const fatals: unknown[] = [];
  const member = await Member.open(
    optionsFor(disk, {
      clock,
      settings: { ...defaultSettings, ...settings },
      fatal: (error) => fatals.push(error),
    }),
  );
  return { member, clock, disk, fatals };
}

/** The rooms of a member with a write path, and none of its background jobs. */
export async function openWritePath(disk: SimDisk, limits: Limits) {
  const registry = new Registry();
  const fatal = (error: unknown) => {
    throw error;
  };
  const clock = new SimClock();
  const rooms = await recover({
    dataDirectory,
    name: "one",
    limits,
    disk,
    clock,
    random: new SeededRandom(1),
    logger: silent,
    registry,
    onStep: () => undefined,
    wakeWatchers: () => undefined,
    leaseChanged: () => undefined,
    checkpointed: () => undefined,
    fatal,
  });
  const { log, store, tree } = rooms;
  const meters = commitMeters(registry);
  const term = termOf(log.position.term + 1);
  const committer = new Committer({
    clock,
    limits,
    log,
    meters,
    store,
    term,
    tree,
    fatal,
    reads: () => 0,
  });
  await committer.begin();
  return { ...rooms, clock, committer };
}

/** Holds syncs back until it is told to let them through. */
export class Gate {
  #closed: PromiseWithResolvers<void> | undefined;
  /** Syncs that wait at it. */
  waiting = 0;

  /** For the options of a disk. */
  readonly delay: NonNullable<SimDiskOptions["delay"]> = async () => {
    if (this.#closed === undefined) return;
    this.waiting++;
    await this.#closed.promise;
    this.waiting--;
  };

  close(): void {
    this.#closed ??= Promise.withResolvers();
  }

  open(): void {
    this.#closed?.resolve();
    this.#closed = undefined;
  }
}

const turnsMax = 100_000;

/** Lets the event loop turn until `holds`. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turns = 0; !holds(); turns++) {
    if (turns === turnsMax) throw new Error(`not within ${turnsMax} turns: ${holds}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets time pass, a little at a time, until `work` settles. */
export async function whilePassing<T>(clock: SimClock, work: T | Promise<T>): Promise<T> {
  let isOpen = true;
  const done = Promise.resolve(work).finally(() => {
    isOpen = false;
  });
  done.catch(() => undefined);
  for (let steps = 0; isOpen; steps++) {
    if (steps === turnsMax) throw new Error("it hangs");
    await clock.advance(10);
    await clock.yield();
  }
  return await done;
}

/** A plain put. */
export function putOf(key: string, value = "", lease = 0n): PutCommand {
  return {
    kind: "put",
    key,
    value: Buffer.from(value, "latin1"),
    lease,
    previous: false,
    ignoreValue: false,
    ignoreLease: false,
  };
}

/** What an answer comes to: the kind of a refusal, or the revision of a reply. */
export function gist(answer: Reply | Refusal): string | number {
  return answer instanceof Refusal ? answer.kind : answer.revision;
}

/** The pairs of a range as "key=value", at a revision or now. */
export async function pairsOf(member: Member, revision = 0): Promise<string[] | string> {
  return told(await member.range(wholeQuery({ key: "\0", end: "\0" }, revision)));
}

/** What a range was answered with: the kind of a refusal, or the pairs as "key=value". */
export function told(reply: RangeReply | Refusal): string[] | string {
  if (reply instanceof Refusal) return reply.kind;
  return reply.kvs.map(({ key, value }) => `${key}=${Buffer.from(value).toString("latin1")}`);
}

/** Bytes of all tables on a disk. */
export function tableBytes(disk: SimDisk): number {
  const tables = disk.paths().filter((path) => path.endsWith(".sst"));
  return tables.reduce((sum, path) => sum + disk.peek(path).length, 0);
}
