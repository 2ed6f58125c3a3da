/** Calls that vary, by our own client: those of the suite "door". */
import { RangeResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Audience } from "./audience.ts";
import { Clients } from "./clients.ts";
import { type Driven, drive, type Latencies } from "./drive.ts";
import { keyOf, numberIn } from "./keys.ts";
import { over } from "./pace.ts";
import { paths, putRequest, rangeRequest } from "./requests.ts";

/** So many that the time is over first. */
const endless = Number.MAX_SAFE_INTEGER;
/** Before what counts, as a share of its time. */
const warmUpShare = 1 / 4;

const watchers = 1000;
const watchConnections = 10;

/** What is driven: for how long, and the numbers of the keys that there are from 0 on. */
export interface VariedOptions {
  readonly port: number;
  readonly seconds: number;
  readonly keys: number;
}

/** One put to a key, one key after the other, by 16x16 callers. */
export async function putMany({ keys, port, seconds }: VariedOptions): Promise<Driven> {
  using clients = await Clients.open(port, 16, 16);
  const numberAt = (step: number) => step % keys;
  await clients.put(endless, numberAt, over(seconds * warmUpShare));
  return await clients.put(endless, numberAt, over(seconds));
}

/** Puts and reads by turns, by 16x4 callers; each read must find a value of its key. */
export async function mixed({ keys, port, seconds }: VariedOptions): Promise<Driven> {
  using clients = await Clients.open(port, 16, 4);
  const put = async (step: number, caller: number) => {
    await clients.call(paths.put, putRequest(keyOf(step % keys), step % keys), caller);
  };
  const get = async (step: number, caller: number) => {
    const key = step % keys;
    const bytes = await clients.call(paths.range, rangeRequest(keyOf(key)), caller);
    const [pair] = RangeResponse.decode(bytes).kvs;
    if (pair === undefined || numberIn(pair.value) !== key) throw new Error("a wrong value");
  };
  const before = await clients.revision();
  let puts = 0;
  const make = (share: number) =>
    drive({
      callers: 64,
      count: endless,
      enough: over(seconds * share),
      call: (step, caller) => {
        // Of two neighbours one is put and one is read; the other way round in the next lap.
        if ((step + Math.floor(step / keys)) % 2 === 1) return get(step, caller);
        puts++;
        return put(step, caller);
      },
    });
  await make(warmUpShare);
  const driven = await make(1);
  const grown = (await clients.revision()) - before;
  if (grown !== puts) throw new Error(`${puts} puts made ${grown} revisions`);
  return driven;
}

export interface WatchedFigures {
  /** Events per second, from the first put to the last event. */
  readonly perSecond: number;
  /** From the sending of a put to the arrival of its event. */
  readonly latencies: Latencies;
}

/** 1,000 watchers of a key each, while 16x4 callers put those keys. */
export async function watchedPuts({ port, seconds }: VariedOptions): Promise<WatchedFigures> {
  const seats = { connections: watchConnections, streams: 1, watchers };
  using audience = await Audience.open({ port, ...seats });
  using clients = await Clients.open(port, 16, 4);
  return await watched(audience, clients, { callers: 64, keys: watchers, seconds });
}

/** One watcher, and one caller that puts when it has seen the event of its last put. */
export async function singleWatch({ port, seconds }: VariedOptions): Promise<WatchedFigures> {
  using audience = await Audience.open({ port, connections: 1, streams: 1, watchers: 1 });
  using clients = await Clients.open(port, 1, 1);
  return await watched(audience, clients, { callers: 1, keys: 1, seconds });
}

interface WatchedOptions {
  readonly callers: number;
  readonly keys: number;
  readonly seconds: number;
}

async function watched(
  audience: Audience,
  clients: Clients,
  { callers, keys, seconds }: WatchedOptions,
): Promise<WatchedFigures> {
  const make = async (share: number) => {
    audience.restart();
    const started = performance.now();
    await drive({
      callers,
      count: endless,
      enough: over(seconds * share),
      call: async (put, caller) => {
        audience.sends(put);
        await clients.call(paths.put, putRequest(keyOf(put % keys), put), caller);
        if (callers === 1) await audience.sees();
      },
    });
    await audience.sees();
    const { latencies } = audience;
    return { perSecond: (1000 * latencies.count) / (performance.now() - started), latencies };
  };
  await make(warmUpShare);
  return await make(1);
}
