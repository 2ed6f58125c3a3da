/** Watchers of a key each, and the events that reach them. */
import { WatchResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Connection } from "./connection.ts";
import { Latencies } from "./drive.ts";
import { MessageReader } from "./frames.ts";
import { keyOf, numberIn } from "./keys.ts";
import { paths, watchRequest } from "./requests.ts";

/** Watchers asked for on one stream before the first has its answer; see connection.ts. */
const unansweredMax = 100;

export interface AudienceOptions {
  readonly port: number;
  readonly connections: number;
  /** On each of them. */
  readonly streams: number;
  /** Watchers, of the keys with the numbers from 0 on. */
  readonly watchers: number;
}

/** Puts tell it when they are sent; the number in a put's value is its own. */
export class Audience implements Disposable {
  /** Of the puts that have been seen since the last `restart`. */
  latencies = new Latencies();
  /** When each put was sent, until its event has come. */
  readonly #sent = new Map<number, number>();
  readonly #connections: Connection[] = [];
  readonly #ended = Promise.withResolvers<never>();
  #waiter: { readonly isDone: () => boolean; readonly resolve: () => void } | undefined;
  #created = 0;

  private constructor() {
    // Whoever waits hears of it; before that nobody does.
    this.#ended.promise.catch(() => undefined);
  }

  /** Resolves when all of them watch. */
  static async open(options: AudienceOptions): Promise<Audience> {
    const { connections, port, streams, watchers } = options;
    const audience = new Audience();
    const sends = [];
    for (let at = 0; at < connections; at++) {
      const connection = await Connection.open(port);
      audience.#connections.push(connection);
      for (let stream = 0; stream < streams; stream++) sends.push(audience.#stream(connection));
    }
    for (let key = 0; key < watchers; key++) {
      sends[key % sends.length]?.(watchRequest(keyOf(key)), false);
      const asked = key + 1;
      if (asked % (sends.length * unansweredMax) === 0 || asked === watchers) {
        await audience.#until(() => audience.#created === asked);
      }
    }
    return audience;
  }

  /** Notes that a put is sent now. */
  sends(put: number): void {
    this.#sent.set(put, performance.now());
  }

  /** Resolves when every put that was sent has been seen, once. */
  sees(): Promise<void> {
    return this.#until(() => this.#sent.size === 0);
  }

  /** Forgets how long it took so far. */
  restart(): void {
    this.latencies = new Latencies();
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close();
  }

  #stream(connection: Connection) {
    const messages = new MessageReader((message) => this.#take(WatchResponse.decode(message)));
    return connection.stream(paths.watch, {
      data: (bytes) => messages.push(bytes),
      end: () => this.#end("a watch ended"),
    });
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
      const sent = this.#sent.get(put);
      if (sent === undefined) {
        this.#end(`an event came twice, or for no put: ${put}`);
        return;
      }
      this.#sent.delete(put);
      this.latencies.add(now - sent);
    }
    if (this.#waiter?.isDone()) this.#waiter.resolve();
  }

  #end(what: string): void {
    this.#ended.reject(new Error(what));
  }
}
