/** Unary calls on a small store, by h2load, and puts of many keys by our own client. */
import { RangeResponse, TxnResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Clients } from "./clients.ts";
import type { Contender, ContenderName, Server } from "./contender.ts";
import type { Latencies } from "./drive.ts";
import { h2load } from "./h2load.ts";
import { keyEnd, keyOf, keyPrefix, numberIn } from "./keys.ts";
import { compareAndPutRequest, paths, putRequest, rangeRequest } from "./requests.ts";
import type { Round, Suite } from "./suite.ts";

/** Keys in the store. */
const keys = 2000;
/** Calls before those that count, as a share of them. */
const warmUpShare = 0.25;

interface Workload {
  readonly name: string;
  readonly connections: number;
  readonly streams: number;
  readonly requests: number;
  readonly path: string;
  readonly message: Uint8Array;
  /** Whether each call makes a revision. */
  readonly writes: boolean;
  /** Whether this is the right answer. */
  readonly isRight: (response: Buffer) => boolean;
}

const shapes = [
  { connections: 1, streams: 1 },
  { connections: 16, streams: 1 },
  { connections: 16, streams: 16 },
] as const;

const key = keyOf(0);

const get = {
  path: paths.range,
  message: rangeRequest(key),
  writes: false,
  isRight: (response: Buffer) => {
    const [pair] = RangeResponse.decode(response).kvs;
    return pair !== undefined && numberIn(pair.value) === 0;
  },
};

const put = {
  path: paths.put,
  message: putRequest(key, 0),
  writes: true,
  isRight: () => true,
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

const workloads: readonly Workload[] = [
  ...shapes.map((shape, at) => ({
    ...put,
    ...shape,
    name: "put",
    requests: [2000, 12_000, 40_000][at] ?? 0,
  })),
  ...shapes.map((shape, at) => ({
    ...get,
    ...shape,
    name: "get",
    requests: [6000, 24_000, 60_000][at] ?? 0,
  })),
  { ...range(100), name: "range of 100 keys", connections: 16, streams: 1, requests: 6000 },
  { ...range(1000), name: "range of 1,000 keys", connections: 16, streams: 1, requests: 800 },
  { ...compareAndPut, name: "compare and put", connections: 16, streams: 16, requests: 40_000 },
];

export const calls: Suite = {
  name: "calls",
  about:
    "Unary calls on a store of 2,000 keys (64-byte keys, 256-byte values), connections x streams. " +
    "h2load makes them; it repeats one request, so these puts overwrite one key. " +
    "The puts of many keys are made by our own client, one key after the other.",
  run: async (contender, round) => {
    await using server = await contender.start(`${round.directory}/data`);
    using clients = await Clients.open(server.port, 16, 16);
    await clients.load(keys, (step) => step);
    for (const workload of workloads) await measure(contender, server, clients, workload, round);
    await putMany(contender, clients, round);
  },
};

async function measure(
  { name: contender }: Contender,
  { port }: Server,
  clients: Clients,
  workload: Workload,
  round: Round,
): Promise<void> {
  const { connections, isRight, message, path, streams, writes } = workload;
  const name = `${workload.name} ${connections}x${streams}`;
  const callsAtLeast = connections * streams * 4;
  const requests = Math.max(callsAtLeast, Math.ceil(workload.requests * round.scale.share));
  const call = { port, path, message, connections, streams };
  const warmUps = Math.max(callsAtLeast, Math.ceil(requests * warmUpShare));
  await h2load(round.h2load, round.directory, { ...call, requests: warmUps });
  const before = await clients.revision();
  const example = await clients.call(path, message);
  if (!isRight(example)) throw new Error(`${contender}: ${name} is answered wrongly`);
  const figures = await h2load(round.h2load, round.directory, { ...call, requests });
  const last = await clients.call(path, message);
  if (!isRight(last)) throw new Error(`${contender}: ${name} is answered wrongly at the end`);
  const grown = (await clients.revision()) - before;
  if (grown !== (writes ? requests + 2 : 0)) {
    throw new Error(`${contender}: ${requests} calls of ${name} made ${grown - 2} revisions`);
  }
  // What is written has answers that grow with the revision; what is read has always the same.
  const bytes = requests * (example.length + 5);
  const wrong = writes ? figures.dataBytes < bytes : figures.dataBytes !== bytes;
  if (wrong) throw new Error(`${contender}: ${name} had ${figures.dataBytes} bytes of answers`);
  note(round, contender, name, figures.perSecond, figures.latencies);
}

async function putMany({ name }: Contender, clients: Clients, round: Round): Promise<void> {
  const count = Math.ceil(40_000 * round.scale.share);
  await clients.put(Math.ceil(count * warmUpShare), (step) => step);
  const figures = await clients.put(count, (step) => step);
  note(round, name, "put of many keys 16x16", figures.perSecond, figures.latencies);
}

function note(
  { sheet }: Round,
  contender: ContenderName,
  name: string,
  perSecond: number,
  latencies: Latencies,
): void {
  sheet.note("calls", name, contender, perSecond, "/s");
  sheet.note("calls", `${name}, median`, contender, latencies.quantile(0.5), "ms");
  sheet.note("calls", `${name}, p99`, contender, latencies.quantile(0.99), "ms");
}
