/** Many clients that do little: a storm of connections, and what idle ones cost. */
import { RangeResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Audience } from "./audience.ts";
import { Clients } from "./clients.ts";
import { Connection } from "./connection.ts";
import type { Contender } from "./contender.ts";
import { Latencies } from "./drive.ts";
import { keyOf, numberIn } from "./keys.ts";
import { openFilesMax, residentBytes } from "./process.ts";
import { paths, putRequest, rangeRequest } from "./requests.ts";
import type { Round, Suite } from "./suite.ts";

const suite = "crowd";
const stormConnections = 1000;
const idleConnections = 10_000;
/** Opened at a time. */
const waveConnections = 250;
const idleWatchers = 100_000;
const watchConnections = 10;
const watchStreams = 10;
/** Of the idle watchers, those that then see an event. */
const wokenWatchers = 1000;
/** Open files that either process needs for other things. */
const otherFiles = 1000;
/** A server is left alone for so long before its memory is read. */
const restMs = 2000;
const message = rangeRequest(keyOf(0));

export const crowd: Suite = {
  name: suite,
  rounds: 1,
  about:
    "Our own client. The storm: 1,000 connections that are opened at once, each for one read; from " +
    "the first step of the first to the last answer, and the latency from the opening of a " +
    "connection to its answer. Idle connections are as many as open files allow, 10,000 at most; " +
    "each has made one call, and answers another after its memory was read. Idle watchers: 100,000 " +
    "of a key each, on 100 streams of 10 connections; 1,000 of them then see an event. Memory is " +
    "resident memory, beyond that of a server that has just started, after 2 s of rest.",
  run: async (contender, round) => {
    await storm(contender, round);
    await connections(contender, round);
    await watchers(contender, round);
  },
};

async function storm({ name, start }: Contender, { directory, scale, sheet }: Round) {
  await using server = await start(`${directory}/storm`);
  await putFirst(server.port);
  const count = Math.ceil(stormConnections * scale.share);
  const latencies = new Latencies();
  const started = performance.now();
  const opened = await openAll(server.port, count, latencies);
  const seconds = (performance.now() - started) / 1000;
  closeAll(opened);
  sheet.note(suite, "storm, connections", name, count, "");
  sheet.note(suite, "storm, until the last answer", name, seconds, "s");
  sheet.note(suite, "storm, median", name, latencies.quantile(0.5), "ms");
  sheet.note(suite, "storm, p99", name, latencies.quantile(0.99), "ms");
}

async function connections({ name, start }: Contender, { directory, scale, sheet }: Round) {
  await using server = await start(`${directory}/connections`);
  await putFirst(server.port);
  const wanted = Math.ceil(idleConnections * scale.share);
  const count = Math.min(wanted, openFilesMax() - otherFiles);
  const rest = () => Bun.sleep(restMs * Math.min(1, scale.seconds));
  await rest();
  const before = residentBytes(server.pid);
  const opened: Connection[] = [];
  const latencies = new Latencies();
  const started = performance.now();
  while (opened.length < count) {
    const wave = Math.min(waveConnections, count - opened.length);
    opened.push(...(await openAll(server.port, wave, latencies)));
  }
  const seconds = (performance.now() - started) / 1000;
  await rest();
  const grown = residentBytes(server.pid) - before;
  for (let at = 0; at < count; at += waveConnections) {
    await Promise.all(opened.slice(at, at + waveConnections).map(read));
  }
  closeAll(opened);
  sheet.note(suite, "idle connections", name, count, "");
  sheet.note(suite, "idle connections, opened", name, count / seconds, "/s");
  sheet.note(suite, "memory for an idle connection", name, grown / count / 1000, "kB");
}

async function watchers({ name, start }: Contender, { directory, scale, sheet }: Round) {
  await using server = await start(`${directory}/watchers`);
  const { port } = server;
  const count = Math.ceil(idleWatchers * scale.share);
  const rest = () => Bun.sleep(restMs * Math.min(1, scale.seconds));
  await putFirst(port);
  await rest();
  const before = residentBytes(server.pid);
  const started = performance.now();
  const seats = { connections: watchConnections, streams: watchStreams, watchers: count };
  using audience = await Audience.open({ port, ...seats });
  const seconds = (performance.now() - started) / 1000;
  await rest();
  const grown = residentBytes(server.pid) - before;
  using clients = await Clients.open(port, 1, 1);
  for (let key = 0; key < count; key += Math.ceil(count / wokenWatchers)) {
    audience.sends(key);
    await clients.call(paths.put, putRequest(keyOf(key), key));
  }
  await audience.sees();
  sheet.note(suite, "idle watchers", name, count, "");
  sheet.note(suite, "idle watchers, opened", name, count / seconds, "/s");
  sheet.note(suite, "memory for an idle watcher", name, grown / count / 1000, "kB");
}

/** Opens connections at once, each of which makes a call. */
async function openAll(port: number, count: number, latencies: Latencies): Promise<Connection[]> {
  const open = async () => {
    const from = performance.now();
    const connection = await Connection.open(port);
    await read(connection);
    latencies.add(performance.now() - from);
    return connection;
  };
  return await Promise.all(Array.from({ length: count }, open));
}

function closeAll(connections: readonly Connection[]): void {
  for (const connection of connections) connection.close();
}

/** Reads what `putFirst` has put. */
async function read(connection: Connection): Promise<void> {
  const [pair] = RangeResponse.decode(await connection.call(paths.range, message)).kvs;
  if (pair === undefined || numberIn(pair.value) !== 0) throw new Error("the first key is gone");
}

async function putFirst(port: number): Promise<void> {
  using clients = await Clients.open(port, 1, 1);
  await clients.call(paths.put, putRequest(keyOf(0), 0));
}
