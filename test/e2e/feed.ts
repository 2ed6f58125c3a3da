/** A watch of everything, from some revision on, with the events sorted by revision. */
import { WatchCreateRequest, WatchDefinition } from "../../src/gen/etcdserverpb/rpc.ts";
import type { Event } from "../../src/gen/mvccpb/kv.ts";
import type { Client } from "../support/client.ts";
import { fail, type History } from "./history.ts";

const everything = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };

export class Feed {
  readonly events = new Map<number, readonly Event[]>();
  /** The newest revision of which the events have come. */
  seen: number;
  /** Set when the watch began below the compaction floor; it is then over. */
  floor: number | undefined;
  /** Resolves when the stream is over. */
  readonly ended: Promise<void>;
  readonly #history: History;
  readonly #stream: ReturnType<typeof open>;
  readonly #created = Promise.withResolvers<void>();
  #progress: () => void = () => undefined;

  /** Watches from the revision after `seen`. */
  constructor(client: Client, history: History, seen: number) {
    this.seen = seen;
    this.#history = history;
    this.#stream = open(client);
    const nothing = WatchCreateRequest.decode(new Uint8Array(0));
    const createRequest = { ...nothing, ...everything, startRevision: seen + 1, prevKv: true };
    this.#stream.send({ requestUnion: { $case: "createRequest", createRequest } });
    this.ended = this.#read();
    // Whoever waits for events is told.
    this.ended.catch(() => undefined);
  }

  /** Resolves when all events up to `revision` have come, or the watch is over. */
  async upTo(revision: number): Promise<void> {
    while (this.seen < revision && this.floor === undefined) {
      const over = await Promise.race([
        this.ended.then(() => true),
        new Promise<false>((resolve) => {
          this.#progress = () => resolve(false);
        }),
      ]);
      if (over && this.seen < revision && this.floor === undefined) {
        fail(`a watch ended at ${this.seen}, before ${revision}`);
      }
    }
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    // grpc-js does not tell the server of a call that it cancels before anything came of it.
    await this.#created.promise;
    this.#stream.cancel();
    await this.ended;
  }

  async #read(): Promise<void> {
    for (;;) {
      const response = await this.#stream.next();
      this.#created.resolve();
      if (response === undefined) return;
      const { canceled, cancelReason, compactRevision, events, header } = response;
      if (compactRevision > 0) this.floor = compactRevision;
      else if (canceled) fail(`a watch was cancelled: ${cancelReason}`);
      else this.#history.told(header);
      for (const event of events) this.#take(event);
      this.seen = events.at(-1)?.kv?.modRevision ?? this.seen;
      this.#progress();
    }
  }

  /** Revisions come in order, and each in one response. */
  #take(event: Event): void {
    const revision = event.kv?.modRevision ?? 0;
    if (revision <= this.seen) fail(`an event of ${revision} came after those of ${this.seen}`);
    this.events.set(revision, [...(this.events.get(revision) ?? []), event]);
  }
}

function open(client: Client) {
  return client.stream(WatchDefinition, WatchDefinition.methods.watch);
}
