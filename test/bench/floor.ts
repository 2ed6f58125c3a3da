/** How far T4 is from the least that a server and a log can do. */
import fs from "node:fs";
import { Clients } from "./clients.ts";
import type { Contender } from "./contender.ts";
import { drive } from "./drive.ts";
import { startEcho } from "./echo.ts";
import { h2load } from "./h2load.ts";
import { callsIn, over } from "./pace.ts";
import { processorSeconds } from "./process.ts";
import type { Round, Suite } from "./suite.ts";
import { busyPuts, measure } from "./unary.ts";

const suite = "floor";

export const floor: Suite = {
  name: suite,
  rounds: 1,
  about:
    "T4 alone, put 16x16 by h2load, beside what it cannot be faster than. The bare server speaks as " +
    "much HTTP/2 as the load needs, on the sockets of Bun, and gives each request the same answer: " +
    "no database, no disk. There the load generators are at their limit, h2load and our own client, " +
    "whose rates with it are the most that they can measure. The bare log is one process that appends blocks to a file, each followed by fdatasync and as large as T4's batches were in " +
    "that load; its puts are the puts of those batches.",
  run: async (contender, round) => {
    if (contender.name !== "t4") return;
    const puts = await putBusily(contender, round);
    const bare = await bareServer(round);
    const syncsPerSecond = bareLog(puts.batchBytes, round);
    const note = round.sheet.note.bind(round.sheet);
    note(suite, "put 16x16", "t4", puts.perSecond, "/s");
    note(suite, "put 16x16, processor time for 100,000", "t4", puts.processorSeconds, "s");
    note(suite, "bare server", "t4", bare.perSecond, "/s");
    note(suite, "bare server, by our own client", "t4", bare.ownPerSecond, "/s");
    note(suite, "bare server, processor time for 100,000", "t4", bare.processorSeconds, "s");
    note(suite, "puts of a batch", "t4", puts.batchPuts, "");
    note(suite, "bytes of a batch", "t4", puts.batchBytes / 1000, "kB");
    note(suite, "bare log, batches", "t4", syncsPerSecond, "/s");
    const logged = syncsPerSecond * puts.batchPuts;
    note(suite, "bare log, puts", "t4", logged, "/s");
    note(
      suite,
      "put 16x16, of the bare server",
      "t4",
      (100 * puts.perSecond) / bare.perSecond,
      "%",
    );
    note(suite, "put 16x16, of the bare log", "t4", (100 * puts.perSecond) / logged, "%");
    const least = Math.min(bare.perSecond, logged);
    note(suite, "put 16x16, of the slower", "t4", (100 * puts.perSecond) / least, "%");
  },
};

async function putBusily(contender: Contender, round: Round) {
  await using server = await contender.start(`${round.directory}/data`);
  using clients = await Clients.open(server.port, 16, 16);
  const before = await counted(server.metricsPort);
  const figures = await measure(contender, server, clients, busyPuts, round);
  const after = await counted(server.metricsPort);
  const batches = after.syncs - before.syncs;
  return {
    perSecond: figures.perSecond,
    processorSeconds: (100_000 * figures.processorSeconds) / figures.calls,
    batchPuts: (after.revision - before.revision) / batches,
    batchBytes: Math.round((after.logBytes - before.logBytes) / batches),
  };
}

async function bareServer(round: Round) {
  await using server = await startEcho();
  const { port, pid } = server;
  const { connections, message, path, streams } = busyPuts;
  const call = { port, path, message, connections, streams };
  const make = (requests: number) => h2load(round.h2load, round.directory, { ...call, requests });
  const calls = await callsIn(round.scale.seconds, connections * streams, make);
  const used = processorSeconds(pid);
  const { perSecond } = await make(calls);
  const spent = processorSeconds(pid) - used;
  using clients = await Clients.open(port, connections, streams);
  const own = await drive({
    callers: connections * streams,
    count: calls,
    call: async (_step, caller) => {
      await clients.call(path, message, caller);
    },
  });
  return {
    perSecond,
    ownPerSecond: own.perSecond,
    processorSeconds: (100_000 * spent) / calls,
  };
}

/** Appends blocks and syncs each; how many in a second. */
function bareLog(bytes: number, { directory, scale }: Round): number {
  const descriptor = fs.openSync(`${directory}/log`, "w");
  const block = Buffer.alloc(bytes, 1);
  const enough = over(scale.seconds);
  const started = performance.now();
  let blocks = 0;
  for (; !enough(); blocks++) {
    fs.writeSync(descriptor, block, 0, bytes, blocks * bytes);
    fs.fdatasyncSync(descriptor);
  }
  const seconds = (performance.now() - started) / 1000;
  fs.closeSync(descriptor);
  return blocks / seconds;
}

/** What T4 has counted since its start. */
async function counted(metricsPort: number) {
  const page = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  const value = (name: string) => {
    const text = new RegExp(`^${name} (\\S+)$`, "m").exec(page)?.[1];
    if (text === undefined) throw new Error(`no metric ${name}`);
    return Number(text);
  };
  return {
    syncs: value("t4_wal_fsync_seconds_count"),
    logBytes: value("t4_wal_written_bytes_total"),
    revision: value("t4_current_revision"),
  };
}
