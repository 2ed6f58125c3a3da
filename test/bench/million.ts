/** A store of a million keys, through the port. */
import { Clients } from "./clients.ts";
import type { Contender } from "./contender.ts";
import { keyBytes, keyEnd, keyOf, keyPrefix, numberIn, shuffled, valueBytes } from "./keys.ts";
import { diskBytes, residentBytes } from "./process.ts";
import type { Round, Suite } from "./suite.ts";

const suite = "million";

export const million: Suite = {
  name: suite,
  rounds: 2,
  about:
    "1,000,000 keys in random order, by our own client, 16x16 callers with one put each; what is not " +
    "measured is loaded with 100 puts to a transaction. Then every key is overwritten in another " +
    "order and the 1,000,000 old versions are compacted while the callers go on. Restart is after " +
    "kill -9, from the start of the process to the first read it answers.",
  run: async (contender, round) => {
    const directory = `${round.directory}/data`;
    await fill(contender, directory, round);
    await restart(contender, directory, round);
  },
};

async function fill(contender: Contender, directory: string, round: Round): Promise<void> {
  const { scale, sheet } = round;
  const { keys, stretch } = scale;
  const { name } = contender;
  await using server = await contender.start(directory);
  using clients = await Clients.open(server.port, 16, 16);
  const empty = await clients.put(stretch, (step) => step);
  await clients.load(keys - stretch, (step) => step + stretch);
  sheet.noteBytes(suite, "memory after the load", name, residentBytes(server.pid));
  sheet.noteBytes(suite, "disk after the load", name, diskBytes(directory));
  const full = await clients.put(stretch, (step) => shuffled(step, keys));
  await clients.load(keys - stretch, (step) => shuffled(step + stretch, keys));
  const quiet = await clients.put(stretch, (step) => shuffled(step, keys));
  let compacted = false;
  const started = performance.now();
  const compaction = clients.compact((await clients.revision()) - stretch).then(() => {
    compacted = true;
    return (performance.now() - started) / 1000;
  });
  const during = await clients.put(
    Number.MAX_SAFE_INTEGER,
    (step) => shuffled(step, keys),
    () => compacted,
  );
  sheet.note(suite, "put, empty store", name, empty.perSecond, "/s");
  sheet.note(suite, "put, all keys there", name, full.perSecond, "/s");
  sheet.note(suite, "rate left of empty", name, (100 * full.perSecond) / empty.perSecond, "%");
  sheet.note(suite, "put p99, quiet", name, quiet.latencies.quantile(0.99), "ms");
  sheet.note(suite, "put p99, compacting", name, during.latencies.quantile(0.99), "ms");
  sheet.note(suite, "compaction", name, await compaction, "s");
  sheet.noteBytes(suite, "disk after compaction", name, diskBytes(directory));
  await server.kill();
}

async function restart(contender: Contender, directory: string, round: Round): Promise<void> {
  const { scale, sheet } = round;
  const { name } = contender;
  await using server = await contender.start(directory);
  sheet.note(suite, "restart", name, server.startSeconds, "s");
  sheet.noteBytes(suite, "memory after restart", name, residentBytes(server.pid));
  using clients = await Clients.open(server.port, 1, 1);
  const [pair] = (await clients.get(keyOf(0))).kvs;
  if (pair === undefined || numberIn(pair.value) !== 0) throw new Error(`${name} lost a key`);
  const started = performance.now();
  const bytes = await clients.count(keyPrefix, keyEnd);
  sheet.note(suite, "range of all keys", name, (performance.now() - started) / 1000, "s");
  sheet.noteBytes(suite, "memory after that", name, residentBytes(server.pid));
  if (bytes < scale.keys * (keyBytes + valueBytes)) throw new Error(`${name} lost keys`);
}
