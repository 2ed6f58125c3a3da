/**
 * What a member with a bucket does and how long that takes, each in a process of its own. Runs as
 * `main.ts bucket <phase> <settings, JSON>` and prints one line of JSON.
 *
 *   puts         a fresh database: callers put for some seconds
 *   checkpoints  a database without a bucket is loaded and brought to one; then rounds of changes,
 *                each followed by a compaction and a checkpoint; then puts beside checkpoints
 *   objects      a fresh database: so many puts, each in an object of its own
 *   restore      an empty directory, a bucket with a database
 *   download     the same objects into files, and nothing but that
 */
import { logKey, logPrefix } from "../../src/object/keys.ts";
import { listAll } from "../../src/object/store.ts";
import { keyOfTable } from "../../src/replication/manifest.ts";
import { inParallel } from "../../src/replication/parallel.ts";
import { findCheckpoint } from "../../src/replication/restore.ts";
import { type DepositOptions, openCloudStore, openDeposit } from "./deposit.ts";
import { type Driven, median } from "./drive.ts";
import { keyOf, shuffled } from "./keys.ts";
import { openMember, putMany, rangeOf } from "./member.ts";
import { over } from "./pace.ts";
import { tell } from "./process.ts";

export interface PhaseSettings {
  readonly puts: DepositOptions & { readonly callers: number; readonly seconds: number };
  readonly checkpoints: DepositOptions & {
    readonly keys: number;
    readonly rounds: number;
    readonly seconds: number;
  };
  readonly objects: DepositOptions & { readonly count: number };
  readonly restore: DepositOptions;
  readonly download: DepositOptions;
}

export interface PutFigures {
  readonly perSecond: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly objectsPerThousand: number;
  readonly requestsPerThousand: number;
  /** Requests of each price, per second. */
  readonly putsPerSecond: number;
  readonly getsPerSecond: number;
}

export interface CheckpointFigures {
  /** Of the tables at first. */
  readonly databaseBytes: number;
  /** Seconds of opening it with a bucket for the first time: everything is uploaded. */
  readonly bringSeconds: number;
  /** Of tables, uploaded by each round. */
  readonly uploadedBytes: readonly number[];
  readonly checkpointSeconds: readonly number[];
  readonly quietP99Ms: number;
  /** While checkpoints of what the callers change follow each other. */
  readonly besideP99Ms: number;
  /** While one uploads the whole database. */
  readonly wholeP99Ms: number;
  readonly quietPerSecond: number;
  readonly besidePerSecond: number;
}

export interface RestoreFigures {
  /** Until the first read is answered. */
  readonly seconds: number;
  readonly revision: number;
}

export interface DownloadFigures {
  readonly seconds: number;
  readonly objects: number;
  readonly bytes: number;
}

export interface PhaseFigures {
  readonly puts: PutFigures;
  readonly checkpoints: CheckpointFigures;
  readonly objects: { readonly revision: number };
  readonly restore: RestoreFigures;
  readonly download: DownloadFigures;
}

export type PhaseName = keyof PhaseSettings;

const phases: {
  readonly [Name in PhaseName]: (settings: PhaseSettings[Name]) => Promise<PhaseFigures[Name]>;
} = { puts, checkpoints, objects, restore, download };

export async function runPhase([name = "", settings = ""]: readonly string[]): Promise<void> {
  const phase = phases[name as PhaseName] as (settings: unknown) => Promise<object>;
  tell(await phase(JSON.parse(settings)));
}

/** So many that the time is over first. */
const endless = Number.MAX_SAFE_INTEGER;

async function puts({ callers, seconds, ...options }: PhaseSettings["puts"]): Promise<PutFigures> {
  const { checkpoint, member, requests } = await openDeposit(options);
  await putMany(member, endless, (step) => step, over(seconds / 5), callers);
  await checkpoint();
  const slot = () => member.vitals().bucket?.slot ?? 0;
  const before = { ...requests, slot: slot() };
  const driven = await putMany(member, endless, (step) => step, over(seconds), callers);
  const [puts, gets] = [requests.puts - before.puts, requests.gets - before.gets];
  return {
    perSecond: driven.perSecond,
    medianMs: driven.latencies.quantile(0.5),
    p99Ms: driven.latencies.quantile(0.99),
    objectsPerThousand: (1000 * (slot() - before.slot)) / driven.calls,
    requestsPerThousand: (1000 * (puts + gets)) / driven.calls,
    putsPerSecond: puts / driven.seconds,
    getsPerSecond: gets / driven.seconds,
  };
}

/** Of putting with and without checkpoints. */
const turns = 3;

async function checkpoints(settings: PhaseSettings["checkpoints"]): Promise<CheckpointFigures> {
  const { directory, keys, rounds, seconds } = settings;
  const alone = await openMember(directory);
  await putMany(alone, keys, (step) => step);
  await alone.compact(alone.revision, true);
  await alone.close();
  const started = performance.now();
  const { checkpoint, member, open, setCheckpoints, uploadedBytes } = await openDeposit(settings);
  const bringSeconds = (performance.now() - started) / 1000;
  await checkpoint();
  const { manifest } = await findCheckpoint(open.store, open);
  const databaseBytes = manifest?.tables.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
  const changed = keys / 100;
  let step = 0;
  const change = () => shuffled(step++ % keys, keys);
  const each = { uploadedBytes: [] as number[], checkpointSeconds: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    await putMany(member, changed, change);
    await member.compact(member.revision, false);
    const [before, from] = [uploadedBytes(), performance.now()];
    await checkpoint();
    each.checkpointSeconds.push((performance.now() - from) / 1000);
    each.uploadedBytes.push(uploadedBytes() - before);
  }
  const quiet: Driven[] = [];
  const beside: Driven[] = [];
  // By turns, so that what else the machine does meets both.
  for (let turn = 0; turn < turns; turn++) {
    quiet.push(await putMany(member, endless, change, over(seconds)));
    setCheckpoints(true);
    beside.push(await putMany(member, endless, change, over(seconds)));
    await checkpoint();
  }
  await member.compact(member.revision, true);
  setCheckpoints(true);
  const uploaded = uploadedBytes() + databaseBytes / 2;
  const whole = await putMany(member, endless, change, () => uploadedBytes() >= uploaded);
  await checkpoint();
  return {
    databaseBytes,
    bringSeconds,
    ...each,
    quietP99Ms: median(quiet.map(({ latencies }) => latencies.quantile(0.99))),
    besideP99Ms: median(beside.map(({ latencies }) => latencies.quantile(0.99))),
    wholeP99Ms: whole.latencies.quantile(0.99),
    quietPerSecond: median(quiet.map(({ perSecond }) => perSecond)),
    besidePerSecond: median(beside.map(({ perSecond }) => perSecond)),
  };
}

async function objects({ count, ...options }: PhaseSettings["objects"]) {
  const { checkpoint, member } = await openDeposit(options);
  await checkpoint();
  await putMany(member, count, (step) => step, undefined, 1);
  return { revision: member.revision };
}

async function restore(settings: PhaseSettings["restore"]): Promise<RestoreFigures> {
  await warmUp(settings);
  const started = performance.now();
  const { member } = await openDeposit(settings);
  const { count } = await rangeOf(member, { key: keyOf(0), end: "" });
  const seconds = (performance.now() - started) / 1000;
  if (count !== 1) throw new Error("the first key is gone");
  return { seconds, revision: member.revision };
}

async function download(settings: PhaseSettings["download"]): Promise<DownloadFigures> {
  const { directory } = settings;
  const { store } = await warmUp(settings);
  const found = await findCheckpoint(store, { storeAt: () => store });
  const keys = found.manifest?.tables.map(keyOfTable) ?? [];
  const after = logKey(found.manifest?.lastSeq ?? 0);
  for await (const { key } of listAll(store, logPrefix, { after })) keys.push(key);
  let bytes = 0;
  const started = performance.now();
  await inParallel(keys, downloads, async (key) => {
    const content = (await store.get(key))?.bytes ?? Buffer.alloc(0);
    await Bun.write(`${directory}/${key.replaceAll("/", "-")}`, content);
    bytes += content.length;
  });
  return { seconds: (performance.now() - started) / 1000, objects: keys.length, bytes };
}

/** At a time. */
const downloads = 32;

/** The SDK is loaded and a connection open, as after the probe of `t4 run`. */
async function warmUp({ endpoint, prefix }: DepositOptions) {
  const open = openCloudStore(endpoint, prefix);
  await open.store.get("warm-up");
  return open;
}
