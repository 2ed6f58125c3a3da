/**
 * One watch stream of one server: sorts what arrives, and holds every response against the rules
 * that do not depend on how a server groups events:
 *
 *   - a watch's events come between its created and its cancelled response, in order
 *   - the events of a revision are in one response, or in fragments with nothing between them
 *   - no header is older than the events under it; one of a watch that follows live is as old,
 *     unless what waits for the client is so much that a server may drop it and read it again
 *   - a fragment is smaller than a message may be, unless it is a single event
 */
import * as pb from "../../src/gen/etcdserverpb/rpc.ts";
import type { ClientStream } from "../support/client.ts";
import { type Identity, type Plain, plainOf } from "./plain.ts";

/** What one watch was told by one server. */
export class Told {
  /** Events that were not compared yet. */
  events: Plain[] = [];
  /** All events so far. */
  total = 0;
  lastRevision = 0;
  /** From here on the watch is known to be fed as changes happen. */
  live = false;
}

/** A progress response that was about the whole stream. */
export interface Claim {
  readonly revision: number;
  /** What each watch had been told before it. */
  readonly totals: ReadonlyMap<Told, number>;
}

const muchBytes = 100_000;
const fragmentBytesMax = 2 * 1024 * 1024;

export class Feed {
  /** Created and cancelled responses, and whatever else there should not be. */
  readonly control: Plain[] = [];
  claims: Claim[] = [];
  /** Progress responses about the whole stream, so far, and requests that may be answered by one. */
  claimed = 0;
  asked = 0;
  /** Rules that were broken. */
  readonly faults: string[] = [];
  /** Responses with events that were part of one in pieces. */
  fragments = 0;
  /** Progress responses about one watch. */
  notified: Plain[] = [];
  readonly #server: string;
  readonly #identity: () => Identity;
  readonly #stream: ClientStream<pb.WatchRequest, pb.WatchResponse>;
  readonly #watches = new Map<bigint, Told>();
  #unfinished: bigint | undefined;

  constructor(
    stream: ClientStream<pb.WatchRequest, pb.WatchResponse>,
    server: { readonly name: string; readonly identity: Identity },
    onChange: () => void,
  ) {
    this.#stream = stream;
    this.#server = server.name;
    this.#identity = () => server.identity;
    void this.#read(onChange);
  }

  send(requestUnion: pb.WatchRequest["requestUnion"]): void {
    this.#stream.send({ requestUnion });
  }

  sendBytes(bytes: Uint8Array): void {
    this.#stream.sendBytes(bytes);
  }

  halfClose(): void {
    this.#stream.end();
  }

  hangUp(): void {
    this.#stream.cancel();
  }

  /** What the watch with this id, which was created, is told. */
  told(id: bigint): Told | undefined {
    return this.#watches.get(id);
  }

  async #read(onChange: () => void): Promise<void> {
    for (;;) {
      const response = await this.#stream.next();
      if (response === undefined) break;
      this.#take(response);
      onChange();
    }
    this.control.push({ ended: await this.#stream.status });
    onChange();
  }

  #take(response: pb.WatchResponse): void {
    const { created, canceled, events, watchId } = response;
    if (this.#unfinished !== undefined && watchId !== this.#unfinished) {
      this.#fault(response, `the fragments of watch ${this.#unfinished} are not in one piece`);
    }
    if (events.length > 0) {
      this.#takeEvents(response);
      return;
    }
    const plain = plainOf(response, this.#identity());
    if (!created && !canceled && watchId === -1n) {
      const totals = new Map([...this.#watches.values()].map((told) => [told, told.total]));
      this.claimed++;
      this.claims.push({ revision: plain.header.revision, totals });
    } else if (!created && !canceled) {
      this.notified.push(plain);
    } else {
      if (created && !canceled) this.#watches.set(watchId, new Told());
      if (canceled) this.#watches.delete(watchId);
      this.control.push(plain);
    }
  }

  #takeEvents(response: pb.WatchResponse): void {
    const { events, fragment, header, watchId } = response;
    const told = this.#watches.get(watchId);
    if (told === undefined) {
      this.#fault(response, "events for a watch that is not");
      return;
    }
    const revisions = events.map(({ kv }) => kv?.modRevision ?? 0);
    const [first = 0] = revisions;
    const last = revisions.at(-1) ?? 0;
    const continues = this.#unfinished === watchId;
    const ordered = revisions.every(
      (revision, at) => at === 0 || revision >= (revisions[at - 1] ?? 0),
    );
    if (!ordered || first < told.lastRevision) this.#fault(response, "events out of order");
    if (first === told.lastRevision && !continues) this.#fault(response, "a revision in two parts");
    const shown = header?.revision ?? 0;
    if (shown < last) this.#fault(response, "a header older than its events");
    const { length } = pb.WatchResponse.encode(response).finish();
    if (told.live && length < muchBytes && (shown !== last || first !== last)) {
      this.#fault(response, "a live response about more than one revision");
    }
    if (fragment || continues) {
      this.fragments++;
      if (length >= fragmentBytesMax && events.length > 1)
        this.#fault(response, "a large fragment");
    }
    this.#unfinished = fragment ? watchId : undefined;
    told.lastRevision = last;
    told.total += events.length;
    told.events.push(...plainOf(events, this.#identity()));
  }

  #fault(response: pb.WatchResponse, rule: string): void {
    const { events, watchId, header } = response;
    const revisions = events.map(({ kv }) => kv?.modRevision);
    this.faults.push(
      `${this.#server}, watch ${watchId}: ${rule} (header ${header?.revision}, events of ${revisions})`,
    );
  }
}
