/** Many clients of one server: connections, each with a number of callers. */
import { RangeResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { Connection } from "./connection.ts";
import { type Driven, drive } from "./drive.ts";
import { keyOf } from "./keys.ts";
import { compactRequest, paths, putAllRequest, putRequest, rangeRequest } from "./requests.ts";

/** Puts in one transaction of a load that is not measured. */
const putsPerTxn = 100;
const loadersPerConnection = 2;

export class Clients implements Disposable {
  readonly connections: readonly Connection[];
  readonly #callersEach: number;

  private constructor(connections: readonly Connection[], callersEach: number) {
    this.connections = connections;
    this.#callersEach = callersEach;
  }

  static async open(port: number, connections: number, callersEach: number): Promise<Clients> {
    const opened = Array.from({ length: connections }, () => Connection.open(port));
    return new Clients(await Promise.all(opened), callersEach);
  }

  [Symbol.dispose](): void {
    for (const connection of this.connections) connection.close();
  }

  /** Puts one key at a time, numbers `numberAt(0)` to `numberAt(count - 1)`; all must succeed. */
  async put(
    count: number,
    numberAt: (step: number) => number,
    enough?: () => boolean,
  ): Promise<Driven> {
    const before = await this.revision();
    const driven = await drive({
      callers: this.connections.length * this.#callersEach,
      count,
      ...(enough && { enough }),
      call: async (step, caller) => {
        const number = numberAt(step);
        await this.call(paths.put, putRequest(keyOf(number), number), caller);
      },
    });
    const grown = (await this.revision()) - before;
    if (grown !== driven.calls) throw new Error(`${driven.calls} puts made ${grown} revisions`);
    return driven;
  }

  /** Puts as fast as it goes: many keys in each request. */
  async load(count: number, numberAt: (step: number) => number): Promise<void> {
    const before = await this.revision();
    const requests = Math.ceil(count / putsPerTxn);
    await drive({
      callers: this.connections.length * loadersPerConnection,
      count: requests,
      call: async (step, caller) => {
        const length = Math.min(putsPerTxn, count - step * putsPerTxn);
        const puts = Array.from({ length }, (_, at) => {
          const number = numberAt(step * putsPerTxn + at);
          return [keyOf(number), number] as const;
        });
        await this.call(paths.txn, putAllRequest(puts), caller);
      },
    });
    const grown = (await this.revision()) - before;
    if (grown !== requests) throw new Error(`${requests} transactions made ${grown} revisions`);
  }

  /** Makes one call, as one of the callers. */
  call(path: string, message: Uint8Array, caller = 0): Promise<Buffer> {
    return this.#connection(caller).call(path, message);
  }

  /** The revision the server is at. */
  async revision(): Promise<number> {
    const { header } = await this.get("k");
    if (header === undefined) throw new Error("a response has a header");
    return header.revision;
  }

  async get(key: string): Promise<RangeResponse> {
    return RangeResponse.decode(await this.call(paths.range, rangeRequest(key)));
  }

  /** Compacts up to `revision` and waits until the disk is rid of it. */
  async compact(revision: number): Promise<void> {
    await this.call(paths.compact, compactRequest(revision));
  }

  /** Reads a range and counts the bytes of the answer, which may be larger than memory allows. */
  count(key: string, end: string): Promise<number> {
    return new Promise((resolve) => {
      let bytes = 0;
      const send = this.#connection(0).stream(paths.range, {
        data: (part) => {
          bytes += part.length;
        },
        end: () => resolve(bytes),
      });
      send(rangeRequest(key, end), true);
    });
  }

  #connection(caller: number): Connection {
    return this.connections[caller % this.connections.length] as Connection;
  }
}
