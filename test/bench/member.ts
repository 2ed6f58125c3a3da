/**
 * A member in a process of its own and nothing else there but 256 callers: the storage engine
 * without a network, on the real disk, every batch synced. Runs as `main.ts member ...` and prints
 * one line of JSON.
 *
 *   load     on a fresh directory: puts in random key order up to `keys`, then overwrites, then a
 *            compaction under puts; then the process kills itself
 *   reopen   the same directory: time to open, the first read, one full range
 */
import { SystemClock } from "../../src/lib/clock.ts";
import { silent } from "../../src/lib/logger.ts";
import { PosixDisk } from "../../src/lib/posix.ts";
import { SystemRandom } from "../../src/lib/random.ts";
import { Registry } from "../../src/lib/registry.ts";
import { defaultSettings } from "../../src/member/limits.ts";
import { Member, type MemberOptions } from "../../src/member/member.ts";
import type { KeyRange } from "../../src/model/range.ts";
import { Refusal } from "../../src/model/refusal.ts";
import { wholeQuery } from "../support/query.ts";
import { type Driven, drive } from "./drive.ts";
import { keyEnd, keyOf, keyPrefix, shuffled, valueFor } from "./keys.ts";
import { diskBytes, residentBytes, tell } from "./process.ts";

const memberCallers = 256;

interface PhaseOptions {
  readonly directory: string;
  readonly keys: number;
  /** Puts in each measured stretch. */
  readonly stretch: number;
}

export interface LoadFigures {
  /** Puts per second: the first stretch, all of the load, and overwriting once all keys are there. */
  readonly emptyPerSecond: number;
  readonly loadPerSecond: number;
  readonly fullPerSecond: number;
  readonly loadedResidentBytes: number;
  readonly loadedDiskBytes: number;
  /** 99th percentiles of puts in milliseconds. */
  readonly emptyP99Ms: number;
  readonly quietP99Ms: number;
  readonly compactingP99Ms: number;
  readonly compactingPerSecond: number;
  readonly compactionSeconds: number;
  readonly compactedDiskBytes: number;
}

export interface ReopenFigures {
  readonly openSeconds: number;
  readonly openResidentBytes: number;
  readonly rangeSeconds: number;
  readonly rangeKeys: number;
  readonly rangeResidentBytes: number;
}

/** Runs a phase as a process of its own: prints its figures and ends as kill -9 would end it. */
export async function runMember(settings: readonly string[]): Promise<void> {
  const [phase, directory = "", keys, stretch] = settings;
  const options = { directory, keys: Number(keys), stretch: Number(stretch) };
  const figures = phase === "load" ? await load(options) : await reopen(options);
  tell(figures);
}

/** Opens a member as `t4 run` does. */
export function openMember(
  directory: string,
  bucket?: NonNullable<MemberOptions["bucket"]>,
): Promise<Member> {
  return Member.open({
    dataDirectory: directory,
    bucket,
    name: "bench",
    clientUrls: () => [],
    settings: defaultSettings,
    disk: new PosixDisk(),
    clock: new SystemClock(),
    random: new SystemRandom(),
    logger: silent,
    registry: new Registry(),
    onStep: () => undefined,
    fatal: (error) => {
      throw error;
    },
  });
}

/** Puts the keys with numbers `numberAt(0)` to `numberAt(count - 1)`; less when it is `enough`. */
export async function putMany(
  member: Member,
  count: number,
  numberAt: (step: number) => number,
  enough?: () => boolean,
  callers = memberCallers,
): Promise<Driven> {
  const before = member.revision;
  const driven = await drive({
    callers,
    count,
    ...(enough && { enough }),
    call: async (step) => {
      const number = numberAt(step);
      const reply = await member.propose({
        kind: "put",
        key: keyOf(number),
        value: valueFor(number),
        lease: 0n,
        previous: false,
        ignoreValue: false,
        ignoreLease: false,
      });
      if (reply instanceof Refusal) throw new Error(`a put was refused: ${reply.kind}`);
    },
  });
  if (member.revision - before !== driven.calls) throw new Error("a put made no revision");
  return driven;
}

async function load({ directory, keys, stretch }: PhaseOptions): Promise<LoadFigures> {
  const member = await openMember(directory);
  const empty = await putMany(member, stretch, (step) => step);
  const rest = await putMany(member, keys - stretch, (step) => step + stretch);
  const loadedResidentBytes = residentBytes(process.pid);
  const loadedDiskBytes = diskBytes(directory);
  const full = await putMany(member, stretch, (step) => shuffled(step, keys));
  await putMany(member, keys - stretch, (step) => shuffled(step + stretch, keys));
  const quiet = await putMany(member, stretch, (step) => shuffled(step, keys));
  let compacted = false;
  const started = performance.now();
  const compaction = member.compact(member.revision - stretch, true).then((reply) => {
    if (reply instanceof Refusal) throw new Error(`the compaction was refused: ${reply.kind}`);
    compacted = true;
    return (performance.now() - started) / 1000;
  });
  const during = await putMany(
    member,
    Number.MAX_SAFE_INTEGER,
    (step) => shuffled(step, keys),
    () => compacted,
  );
  return {
    emptyPerSecond: empty.perSecond,
    loadPerSecond: keys / (empty.seconds + rest.seconds),
    fullPerSecond: full.perSecond,
    loadedResidentBytes,
    loadedDiskBytes,
    emptyP99Ms: empty.latencies.quantile(0.99),
    quietP99Ms: quiet.latencies.quantile(0.99),
    compactingP99Ms: during.latencies.quantile(0.99),
    compactingPerSecond: during.perSecond,
    compactionSeconds: await compaction,
    compactedDiskBytes: diskBytes(directory),
  };
}

async function reopen({ directory, keys }: PhaseOptions): Promise<ReopenFigures> {
  const started = performance.now();
  const member = await openMember(directory);
  const first = await rangeOf(member, { key: keyOf(0), end: "" });
  const openSeconds = (performance.now() - started) / 1000;
  if (first.count !== 1) throw new Error("the first key is gone");
  const openResidentBytes = residentBytes(process.pid);
  const from = performance.now();
  const all = await rangeOf(member, { key: keyPrefix, end: keyEnd });
  const rangeSeconds = (performance.now() - from) / 1000;
  if (all.count !== keys || all.kvs.length !== keys) throw new Error(`${all.count} keys are left`);
  return {
    openSeconds,
    openResidentBytes,
    rangeSeconds,
    rangeKeys: all.count,
    rangeResidentBytes: residentBytes(process.pid),
  };
}

/** Reads a range; the whole of it. */
export async function rangeOf(member: Member, range: KeyRange) {
  const reply = await member.range(wholeQuery(range));
  if (reply instanceof Refusal) throw new Error(`the range was refused: ${reply.kind}`);
  return reply;
}
