/** Unary calls of one request, by h2load: those of the suite "door". */
import { RangeResponse, TxnResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import type { Clients } from "./clients.ts";
import type { Contender, Server } from "./contender.ts";
import type { Latencies } from "./drive.ts";
import { type H2loadFigures, h2load, timedH2load } from "./h2load.ts";
import { keyEnd, keyOf, keyPrefix, numberIn } from "./keys.ts";
import { callsIn } from "./pace.ts";
import { processorSeconds } from "./process.ts";
import { compareAndPutRequest, paths, putRequest, rangeRequest } from "./requests.ts";
import type { Round } from "./suite.ts";

export interface Workload {
  readonly name: string;
  readonly connections: number;
  /** Calls in flight on each. */
  readonly streams: number;
  readonly path: string;
  readonly message: Uint8Array;
  /** Whether each call makes a revision. */
  readonly writes: boolean;
  /** Whether this is the right answer. */
  readonly isRight: (response: Buffer) => boolean;
}

export interface WorkloadFigures extends H2loadFigures {
  readonly calls: number;
  /** Of other calls, as many as timedShare says. */
  readonly latencies: Latencies;
  /** Seconds of processor time that the server used for them. */
  readonly processorSeconds: number;
}

/** So many calls are made once more to see how long each takes, as a share. */
const timedShare = 1 / 4;

const key = keyOf(0);

const put = {
  path: paths.put,
  message: putRequest(key, 0),
  writes: true,
  isRight: () => true,
};

const get = {
  path: paths.range,
  message: rangeRequest(key),
  writes: false,
  isRight: (response: Buffer) => {
    const [pair] = RangeResponse.decode(response).kvs;
    return pair !== undefined && numberIn(pair.value) === 0;
  },
};

const range = (limit: number) => ({
  path: paths.range,
  message: rangeRequest(keyPrefix, keyEnd, limit),
  writes: false,
  isRight: (response: Buffer) => RangeResponse.decode(response).kvs.length === limit,
});

const compareAndPut = {
  path: paths.txn,
  message: compareAndPutRequest(key, 0),
  writes: true,
  isRight: (response: Buffer) => TxnResponse.decode(response).succeeded,
};

/** The puts that others measure, too. */
export const busyPuts: Workload = { ...put, name: "put 16x16", connections: 16, streams: 16 };

/** They need a store with a thousand keys. */
export const workloads: readonly Workload[] = [
  { ...put, name: "put 1x1", connections: 1, streams: 1 },
  { ...put, name: "put 16x1", connections: 16, streams: 1 },
  busyPuts,
  { ...put, name: "put 64x10", connections: 64, streams: 10 },
  { ...get, name: "get 1x1", connections: 1, streams: 1 },
  { ...get, name: "get 16x4", connections: 16, streams: 4 },
  { ...range(100), name: "range of 100 keys 16x1", connections: 16, streams: 1 },
  { ...range(1000), name: "range of 1,000 keys 16x1", connections: 16, streams: 1 },
  { ...compareAndPut, name: "compare and put 16x4", connections: 16, streams: 4 },
];

/** Makes the calls for the time of a stretch; an Error unless each did what it should. */
export async function measure(
  { name: contender }: Contender,
  { pid, port }: Server,
  clients: Clients,
  workload: Workload,
  round: Round,
): Promise<WorkloadFigures> {
  const { connections, isRight, message, name, path, streams, writes } = workload;
  const call = { port, path, message, connections, streams };
  const make = (requests: number) => h2load(round.h2load, round.directory, { ...call, requests });
  const calls = await callsIn(round.scale.seconds, connections * streams, make);
  const before = await clients.revision();
  const example = await clients.call(path, message);
  if (!isRight(example)) throw new Error(`${contender}: ${name} is answered wrongly`);
  const used = processorSeconds(pid);
  const figures = await make(calls);
  const spent = processorSeconds(pid) - used;
  const requests = Math.ceil(calls * timedShare);
  const timed = await timedH2load(round.h2load, round.directory, { ...call, requests });
  const last = await clients.call(path, message);
  if (!isRight(last)) throw new Error(`${contender}: ${name} is answered wrongly at the end`);
  const grown = (await clients.revision()) - before;
  const made = calls + requests;
  if (grown !== (writes ? made + 2 : 0)) {
    throw new Error(`${contender}: ${made} calls of ${name} made ${grown - 2} revisions`);
  }
  // What is written has answers that grow with the revision; what is read has always the same.
  const bytes = made * (example.length + 5);
  const dataBytes = figures.dataBytes + timed.dataBytes;
  const wrong = writes ? dataBytes < bytes : dataBytes !== bytes;
  if (wrong) throw new Error(`${contender}: ${name} had ${dataBytes} bytes of answers`);
  return { ...figures, calls, latencies: timed.latencies, processorSeconds: spent };
}
