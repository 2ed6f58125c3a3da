/**
 * One watcher: what it wants, how far it is, and what waits for its client.
 *
 *            apply feeds it                      history feeds it
 *   synced ──────────────────► queue ◄──────────────────────────── behind
 *     │ queue over its bound: forget it, remember where it began      ▲ │
 *     └───────────────────────────────────────────────────────────────┘ │
 *     ▲                 caught up with the store's revision             │
 *     └─────────────────────────────────────────────────────────────────┘
 *   behind, and what it needs is compacted ──► ended
 */
import type { ByteString } from "../lib/bytes.ts";
import type { Event } from "../model/event.ts";
import type { KeyRange } from "../model/range.ts";
import type { Revision } from "../model/revision.ts";

export interface WatchRequest {
  /** Never empty: an empty key is the caller's to turn away. */
  readonly range: KeyRange;
  /** The first revision wanted; 0 for whatever comes next. */
  readonly startRevision: number;
  /** Whether events carry the key as it was one revision before. */
  readonly previous: boolean;
  readonly noPut: boolean;
  readonly noDelete: boolean;
}

/** What a watcher tells its client, in order. */
export type WatchNotice =
  /** Events, whole revisions of them; `revision` is for the response header. */
  | { readonly kind: "events"; readonly revision: Revision; readonly events: readonly Event[] }
  /** The end: what it needs next is below the floor. */
  | { readonly kind: "compacted"; readonly floor: number };

export type WatcherState = "synced" | "behind" | "ended";

interface Batch {
  revision: Revision;
  readonly firstRevision: Revision;
  readonly events: Event[];
  bytes: number;
}

/** Bytes a queued event is counted with besides its key and value. */
const eventOverheadBytes = 128;

export class Watcher {
  readonly request: WatchRequest;
  /** Called when take() has something new; it must not call back into the watchers. */
  readonly onReady: () => void;
  state: WatcherState = "behind";
  /** The first revision that is neither in the queue nor handed out. */
  nextRevision: number;
  /** Bytes in the queue. */
  queuedBytes = 0;
  /** The revision of the entry that it was fed last. */
  touchedAt = 0;
  /** The floor that ended it, not handed out yet. */
  #compactedAt: number | undefined;
  #queue: Batch[] = [];

  /** Starts behind; `nextRevision` is the first revision it is to see. */
  constructor(request: WatchRequest, nextRevision: number, onReady: () => void) {
    this.request = request;
    this.nextRevision = nextRevision;
    this.onReady = onReady;
  }

  /** Whether something waits for the client. */
  get isReady(): boolean {
    return this.#queue.length > 0 || this.#compactedAt !== undefined;
  }

  /** Whether it wants an event of this type. */
  wants(type: Event["type"]): boolean {
    return type === "put" ? !this.request.noPut : !this.request.noDelete;
  }

  /** The next notice for the client; undefined when nothing waits. */
  take(): WatchNotice | undefined {
    const batch = this.#queue.shift();
    if (batch !== undefined) {
      this.queuedBytes -= batch.bytes;
      return { kind: "events", revision: batch.revision, events: batch.events };
    }
    if (this.#compactedAt === undefined) return undefined;
    const floor = this.#compactedAt;
    this.#compactedAt = undefined;
    return { kind: "compacted", floor };
  }

  /**
   * Queues an event of `revision`. Events of one revision share a batch; with `headerRevision` given,
   * so do those of a whole slice of history. Returns the bytes it adds.
   */
  push(event: Event, revision: Revision, headerRevision: Revision | undefined): number {
    const bytes = eventBytes(event);
    const last = this.#queue.at(-1);
    const joins = last?.revision === (headerRevision ?? revision);
    if (last !== undefined && joins) {
      last.events.push(event);
      last.bytes += bytes;
    } else {
      const header = headerRevision ?? revision;
      this.#queue.push({ revision: header, firstRevision: revision, events: [event], bytes });
    }
    this.queuedBytes += bytes;
    return bytes;
  }

  /** Forgets the queue, to be read from history again. Returns the bytes it gives back. */
  forget(): number {
    const bytes = this.queuedBytes;
    this.nextRevision = this.#queue[0]?.firstRevision ?? this.nextRevision;
    this.#queue = [];
    this.queuedBytes = 0;
    return bytes;
  }

  /** Ends it, because the revision it needs is below `floor`. */
  end(floor: number): void {
    this.state = "ended";
    this.#compactedAt = floor;
  }
}

function eventBytes(event: Event): number {
  const own = event.type === "put" ? event.kv.key.length + event.kv.value.length : event.key.length;
  const before = event.previous ? event.previous.key.length + event.previous.value.length : 0;
  return eventOverheadBytes + own + before;
}

/** The key an event is about. */
export function keyOf(event: Event): ByteString {
  return event.type === "put" ? event.kv.key : event.key;
}
