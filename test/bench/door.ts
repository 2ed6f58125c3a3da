/** Everything that comes through the port, beside etcd: what T4 is held to, see targets.ts. */
import { Clients } from "./clients.ts";
import type { Contender, ContenderName } from "./contender.ts";
import type { Latencies } from "./drive.ts";
import type { Round, Suite } from "./suite.ts";
import { busyPuts, measure, workloads } from "./unary.ts";
import { mixed, putMany, singleWatch, watchedPuts } from "./varied.ts";

const suite = "door";
/** In the store. */
const keys = 2000;

export const door: Suite = {
  name: suite,
  rounds: 5,
  about:
    "Calls on a store of 2,000 keys (64-byte keys, 256-byte values), connections x calls in flight " +
    "on each, for 2 s each, after a warm-up of 5 s of puts and reads, and one of each kind. h2load makes those that repeat one request; its puts " +
    "overwrite one key, and how long its calls take is seen in a quarter as many more, because that costs it rate. Our own client makes those that vary: puts of many keys, one after the " +
    "other; puts and reads by turns (mixed); and puts that are watched, by 1,000 watchers of a key " +
    "each on 10 streams while 16x4 callers put those keys, then by one watcher while one caller puts " +
    "when it has seen the event. There the latency is from the sending of the put to the arrival of " +
    "its event. The processor time is that of the server, in all its threads.",
  run: async (contender, round) => {
    await unary(contender, round);
    await watches(contender, round);
  },
};

async function unary(contender: Contender, round: Round): Promise<void> {
  const { name } = contender;
  const { seconds } = round.scale;
  await using server = await contender.start(`${round.directory}/data`);
  const { port } = server;
  using clients = await Clients.open(port, 16, 16);
  await clients.load(keys, (step) => step);
  // A server is measured as it is when it has run for a while, caches filled and code compiled.
  await mixed({ port, keys, seconds: 2 * seconds });
  for (const workload of workloads) {
    const figures = await measure(contender, server, clients, workload, round);
    note(round, name, workload.name, figures.perSecond, figures.latencies);
    if (workload !== busyPuts) continue;
    const spent = (100_000 * figures.processorSeconds) / figures.calls;
    round.sheet.note(suite, `${workload.name}, processor time for 100,000`, name, spent, "s");
  }
  const many = await putMany({ port, keys, seconds });
  note(round, name, "put of many keys 16x16", many.perSecond, many.latencies);
  const both = await mixed({ port, keys, seconds });
  note(round, name, "mixed 16x4", both.perSecond, both.latencies);
}

async function watches({ name, start }: Contender, round: Round): Promise<void> {
  const { seconds } = round.scale;
  await using server = await start(`${round.directory}/watched`);
  const { port } = server;
  const many = await watchedPuts({ port, keys, seconds });
  note(round, name, "events of 1,000 watchers 16x4", many.perSecond, many.latencies);
  const single = await singleWatch({ port, keys, seconds });
  note(round, name, "events of 1 watcher 1x1", single.perSecond, single.latencies);
}

function note(
  { sheet }: Round,
  contender: ContenderName,
  name: string,
  perSecond: number,
  latencies: Latencies,
): void {
  sheet.note(suite, name, contender, perSecond, "/s");
  sheet.note(suite, `${name}, median`, contender, latencies.quantile(0.5), "ms");
  sheet.note(suite, `${name}, p99`, contender, latencies.quantile(0.99), "ms");
  sheet.note(suite, `${name}, p99.9`, contender, latencies.quantile(0.999), "ms");
}
