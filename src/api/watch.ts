/**
 * etcdserverpb.Watch: one stream, many watches. What a watch has to tell waits in the member until
 * the stream can take it, so a client that does not read costs a bounded amount of memory:
 *
 *   requests ──► create, cancel, progress ──► send
 *   member   ──► ready watches, in turn   ──► send      (only while the stream is writable)
 */

import {
  WatchCreateRequest_FilterType as FilterType,
  type WatchCreateRequest,
  WatchDefinition,
  WatchRequest,
  WatchResponse,
} from "../gen/etcdserverpb/rpc.ts";
import { byteStringOf } from "../lib/bytes.ts";
import type { Clock } from "../lib/clock.ts";
import type { Counter } from "../lib/meter.ts";
import type { Random } from "../lib/random.ts";
import type { Member, WatchHandle } from "../member/member.ts";
import type { Event } from "../model/event.ts";
import { isEmpty, type KeyRange } from "../model/range.ts";
import { behind, type Service, type Stream, type StreamMethod } from "../rpc/service.ts";
import { eventOf, headerOf } from "./convert.ts";
import { fragmentsOf } from "./fragment.ts";
import { statuses } from "./status.ts";
import { HeaderWriter, writeEvents } from "./write.ts";

export interface WatchOptions {
  readonly member: Member;
  readonly clock: Clock;
  readonly random: Random;
  /** How often a watch that asked for it is told how far it is, in milliseconds. */
  readonly progressMs: number;
  /** Counts the events sent. */
  readonly events: Counter;
  /** Called when a stream begins (1) or ends (-1). */
  readonly streams: (change: 1 | -1) => void;
}

export function watchService(options: WatchOptions): Service {
  const headers = new HeaderWriter(options.member.identity);
  const watch: StreamMethod<WatchRequest, WatchResponse | Events> = {
    kind: "bidiStream",
    name: WatchDefinition.methods.watch.name,
    codec: {
      decode: (bytes, from, to) => WatchRequest.decode(bytes.subarray(from, to)),
      encode: (response, room) => encoded(response, room, headers),
    },
    handle: async (stream) => {
      options.streams(1);
      const watches = new WatchStream(options, stream);
      try {
        await watches.run();
      } finally {
        watches.close();
        options.streams(-1);
      }
    },
  };
  return { name: WatchDefinition.fullName, methods: [watch] };
}

/** A response that tells a watch of events and of nothing else: by far the most. */
interface Events {
  readonly watchId: bigint;
  readonly events: readonly Event[];
  /** Of the header. */
  readonly revision: number;
  readonly term: number;
  readonly isTold: true;
}

function encoded(response: WatchResponse | Events, room: number, headers: HeaderWriter) {
  if ("isTold" in response) {
    const { events, revision, term, watchId } = response;
    return writeEvents(watchId, events, headers.field(revision, term), room);
  }
  return behind(WatchResponse.encode(response).finish(), room);
}

/** The id of responses that are about no watch, or about the whole stream. */
const noWatch = -1n;

interface Watch {
  readonly id: bigint;
  readonly handle: WatchHandle;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
  /** Whether it was told something since the last tick. */
  told: boolean;
}

class WatchStream {
  readonly #options: WatchOptions;
  readonly #stream: Stream<WatchRequest, WatchResponse | Events>;
  readonly #watches = new Map<bigint, Watch>();
  /** Watches with something to take, the one that waits longest first. */
  readonly #ready = new Set<Watch>();
  #nextId = 0n;
  #wake: () => void = () => undefined;
  #ticking: Promise<void> | undefined;

  constructor(options: WatchOptions, stream: Stream<WatchRequest, WatchResponse | Events>) {
    this.#options = options;
    this.#stream = stream;
  }

  /** Ends when the client is gone or the server stops; a client that sends no more still listens. */
  async run(): Promise<void> {
    await Promise.all([this.#receive(), this.#deliver()]);
    await this.#ticking;
  }

  close(): void {
    for (const { handle } of this.#watches.values()) handle.cancel();
    this.#watches.clear();
    this.#ready.clear();
  }

  async #receive(): Promise<void> {
    const { requests } = this.#stream;
    for await (const { requestUnion } of requests) {
      if (!this.#stream.writable) await this.#stream.drained();
      switch (requestUnion?.$case) {
        case "createRequest":
          this.#create(requestUnion.createRequest);
          break;
        case "cancelRequest":
          this.#cancel(requestUnion.cancelRequest.watchId);
          break;
        case "progressRequest":
          this.#progress();
          break;
        default:
          // etcd ignores a request that says nothing.
          break;
      }
    }
  }

  #create(request: WatchCreateRequest): void {
    const { member } = this.#options;
    const key = byteStringOf(request.key) || "\0";
    const range = { key, end: byteStringOf(request.rangeEnd) };
    const cancelReason = this.#objection(request, range);
    if (cancelReason !== undefined) {
      this.#send({ watchId: noWatch, created: true, canceled: true, cancelReason });
      return;
    }
    const handle = member.watch(
      {
        range,
        startRevision: request.startRevision,
        previous: request.prevKv,
        noPut: request.filters.includes(FilterType.NOPUT),
        noDelete: request.filters.includes(FilterType.NODELETE),
      },
      () => this.#isReady(watch),
    );
    const watch: Watch = {
      id: request.watchId === 0n ? this.#freeId() : request.watchId,
      handle,
      fragment: request.fragment,
      progressNotify: request.progressNotify,
      told: false,
    };
    this.#watches.set(watch.id, watch);
    this.#send({ watchId: watch.id, created: true, revision: handle.revision });
    if (watch.progressNotify) this.#ticking ??= this.#tick();
  }

  /** Why a watch cannot be created; undefined when it can. */
  #objection({ startRevision, watchId }: WatchCreateRequest, range: KeyRange): string | undefined {
    if (startRevision < 0) return statuses.compacted.message;
    if (isEmpty(range)) return "mvcc: watcher range is empty";
    if (watchId === 0n || !this.#watches.has(watchId)) return undefined;
    return "mvcc: duplicate watch ID provided on the WatchStream";
  }

  /** Ids count up from 0 and are not given out twice. */
  #freeId(): bigint {
    while (this.#watches.has(this.#nextId)) this.#nextId++;
    return this.#nextId++;
  }

  #cancel(id: bigint): void {
    const watch = this.#watches.get(id);
    if (watch === undefined) return;
    watch.handle.cancel();
    this.#watches.delete(id);
    this.#ready.delete(watch);
    this.#send({ watchId: id, canceled: true });
  }

  /** Tells how far the stream is, if every watch has been told everything; else says nothing. */
  #progress(): void {
    while (this.#stream.writable && this.#deliverOne());
    const watches = [...this.#watches.values()];
    if (watches.length === 0 || !watches.every(({ handle }) => handle.isCurrent())) return;
    this.#send({ watchId: noWatch });
  }

  /** Tells watches that asked for it how far they are, when they have not heard anything else. */
  async #tick(): Promise<void> {
    const { clock, progressMs, random } = this.#options;
    // Up to a tenth more, so that streams opened together do not tick together.
    const intervalMs = progressMs * (1 + random.float() / 10);
    const { signal } = this.#stream;
    for (;;) {
      await clock.sleep(intervalMs, signal);
      if (signal.aborted) return;
      // Who does not take what there is need not hear that there is no more.
      if (!this.#stream.writable) continue;
      for (const watch of this.#watches.values()) {
        if (watch.progressNotify && !watch.told && watch.handle.isCurrent()) {
          this.#send({ watchId: watch.id });
        }
        watch.told = false;
      }
    }
  }

  #isReady(watch: Watch): void {
    this.#ready.add(watch);
    this.#wake();
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#stream;
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    while (!signal.aborted) {
      if (!this.#stream.writable) await this.#stream.drained();
      else if (!this.#deliverOne()) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          if (this.#ready.size > 0 || signal.aborted) resolve();
        });
      }
    }
  }

  /** Sends one notice of the watch that waits longest; false when none waits. */
  #deliverOne(): boolean {
    const [watch] = this.#ready;
    if (watch === undefined) return false;
    this.#ready.delete(watch);
    const notice = watch.handle.take();
    if (notice === undefined) return true;
    if (watch.handle.isReady()) this.#ready.add(watch);
    if (notice.kind === "compacted") {
      this.#send({
        watchId: watch.id,
        canceled: true,
        compactRevision: notice.floor,
        revision: 0,
      });
      return true;
    }
    watch.told = true;
    this.#options.events.add(notice.events.length);
    this.#tell(watch, notice);
    return true;
  }

  #tell(watch: Watch, { events, revision }: { events: readonly Event[]; revision: number }): void {
    const { limits, term } = this.#options.member;
    if (!watch.fragment) {
      this.#stream.send({ watchId: watch.id, events, revision, term, isTold: true });
      return;
    }
    const told = { watchId: watch.id, revision, events: events.map(eventOf) };
    for (const piece of fragmentsOf(this.#response(told), limits.fragmentBytesMax)) {
      this.#stream.send(piece);
    }
  }

  #send(told: Told): void {
    this.#stream.send(this.#response(told));
  }

  #response({ revision, ...told }: Told): WatchResponse {
    const header = headerOf(this.#options.member.header());
    return {
      created: false,
      canceled: false,
      compactRevision: 0,
      cancelReason: "",
      fragment: false,
      events: [],
      ...told,
      header: revision === undefined ? header : { ...header, revision },
    };
  }
}

/** What a response says besides the ordinary; `revision` is the header's, the current one if left out. */
type Told = Partial<Omit<WatchResponse, "header">> & {
  readonly watchId: bigint;
  readonly revision?: number;
};
