/** Watchers: how many events reach them, and how long after the put. */
import { WatchResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Clients } from "./clients.ts";
import { Connection, Messages } from "./connection.ts";
import type { Contender, ContenderName } from "./contender.ts";
import { drive, Latencies } from "./drive.ts";
import { keyOf, numberIn } from "./keys.ts";
import { paths, putRequest, watchRequest } from "./requests.ts";
import type { Sheet } from "./sheet.ts";
import type { Round, Suite } from "./suite.ts";

const watchers = 1000;
const watchStreams = 10;
const manyPuts = 30_000;
const singlePuts = 1500;

export const watches: Suite = {
  name: "watches",
  about:
    "1,000 watchers of a key each, on 10 streams, while 16x16 callers put those keys as fast as the " +
    "server takes them; then one watcher, and one caller that puts when it has seen the event. " +
    "Latency is from the sending of the put to the arrival of its event.",
  run: async (contender, round) => {
    await using server = await contender.start(`${round.directory}/data`);
    await many(contender, server.port, round);
    await single(contender, server.port, round);
  },
};

/** Watchers, and the puts they are to see: each put's value is its number. */
class Audience implements Disposable {
  readonly latencies = new Latencies();
  /** When each put was sent, until its event has come. */
  readonly #sent: Float64Array;
  readonly #connections: Connection[] = [];
  readonly #ended = Promise.withResolvers<never>();
  #waiter: { readonly isDone: () => boolean; readonly resolve: () => void } | undefined;
  #created = 0;

  private constructor(puts: number) {
    this.#sent = new Float64Array(puts);
    // Whoever waits hears of it; before that nobody does.
    this.#ended.promise.catch(() => undefined);
  }

  /** Watches the keys with these numbers, on some streams; resolves when the server does. */
  static async open(port: number, streams: number, keys: readonly number[], puts: number) {
    const audience = new Audience(puts);
    for (let at = 0; at < streams; at++) {
      const connection = await Connection.open(port);
      audience.#connections.push(connection);
      const messages = new Messages((message) => audience.#take(WatchResponse.decode(message)));
      const send = connection.stream(paths.watch, {
        data: (bytes) => messages.push(bytes),
        end: () => audience.#end("a watch ended"),
      });
      for (const key of keys.filter((_, ordinal) => ordinal % streams === at)) {
        send(watchRequest(keyOf(key)), false);
      }
    }
    await audience.#until(() => audience.#created === keys.length);
    return audience;
  }

  /** Notes that a put is sent now. */
  sends(put: number): void {
    this.#sent[put] = performance.now();
  }

  /** Resolves when this many puts have been seen, each once. */
  sees(count: number): Promise<void> {
    return this.#until(() => this.latencies.count >= count);
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  async #until(isDone: () => boolean): Promise<void> {
    if (isDone()) return;
    const reached = new Promise<void>((resolve) => {
      this.#waiter = { isDone, resolve };
    });
    await Promise.race([reached, this.#ended.promise]);
  }

  #take({ canceled, created, events }: WatchResponse): void {
    if (canceled) this.#end("a watch was cancelled");
    if (created) this.#created++;
    const now = performance.now();
    for (const { kv } of events) {
      const put = kv === undefined ? -1 : numberIn(kv.value);
      const sent = this.#sent[put] ?? 0;
      if (sent === 0) this.#end(`an event came twice, or for no put: ${put}`);
      this.#sent[put] = 0;
      this.latencies.add(now - sent);
    }
    if (this.#waiter?.isDone()) this.#waiter.resolve();
  }

  #end(what: string): void {
    this.#ended.reject(new Error(what));
  }
}

async function many({ name }: Contender, port: number, { scale, sheet }: Round): Promise<void> {
  const puts = Math.ceil(manyPuts * scale.share);
  const keys = Array.from({ length: watchers }, (_, number) => number);
  using audience = await Audience.open(port, watchStreams, keys, puts);
  using clients = await Clients.open(port, 16, 16);
  const started = performance.now();
  await drive({
    callers: 256,
    count: puts,
    call: async (put, caller) => {
      audience.sends(put);
      await clients.call(paths.put, putRequest(keyOf(put % watchers), put), caller);
    },
  });
  await audience.sees(puts);
  const seconds = (performance.now() - started) / 1000;
  note("1,000 watchers", name, sheet, audience.latencies);
  sheet.note("watches", "1,000 watchers, events", name, puts / seconds, "/s");
}

async function single({ name }: Contender, port: number, { scale, sheet }: Round): Promise<void> {
  const puts = Math.ceil(singlePuts * scale.share);
  using clients = await Clients.open(port, 1, 1);
  using audience = await Audience.open(port, 1, [0], puts);
  await drive({
    callers: 1,
    count: puts,
    call: async (put) => {
      audience.sends(put);
      await clients.call(paths.put, putRequest(keyOf(0), put));
      await audience.sees(put + 1);
    },
  });
  note("1 watcher", name, sheet, audience.latencies);
}

function note(what: string, contender: ContenderName, sheet: Sheet, latencies: Latencies): void {
  sheet.note("watches", `${what}, median`, contender, latencies.quantile(0.5), "ms");
  sheet.note("watches", `${what}, p99`, contender, latencies.quantile(0.99), "ms");
}
