/** What one watcher was told, held against the model: every change once, in order, whole revisions. */
import { expect } from "bun:test";
import type { Member, WatchHandle } from "../../src/member/member.ts";
import { includes } from "../../src/model/range.ts";
import type { WatchNotice, WatchRequest } from "../../src/mvcc/watcher.ts";
import type { Model, ModelEvent } from "../mvcc/model.ts";
import { plainEvent } from "../mvcc/rig.ts";

export class Sight {
  readonly #handle: WatchHandle;
  readonly #member: Member;
  readonly #request: WatchRequest;
  readonly #from: number;
  readonly #seen: ModelEvent[] = [];
  #lastRevision = 0;
  /** What it needed next was compacted. */
  ended = false;

  constructor(member: Member, request: WatchRequest) {
    this.#member = member;
    this.#handle = member.watch(request, () => undefined);
    this.#request = request;
    this.#from = request.startRevision || this.#handle.revision + 1;
  }

  /** Whether nothing more is to come for now: the member says so, or it waits for the future. */
  get isDone(): boolean {
    const isAhead = this.#from > this.#member.revision;
    return this.ended || isAhead || this.#handle.isCurrent();
  }

  /** Forgets what came after `revision`. */
  forgetAfter(revision: number): void {
    const kept = this.#seen.findLastIndex((event) => modOf(event) <= revision) + 1;
    this.#seen.length = kept;
  }

  /** Takes up to `most` notices. */
  drain(most: number): void {
    for (let left = most; left > 0; left--) {
      const notice = this.#handle.take();
      if (notice === undefined) return;
      this.#note(notice);
    }
  }

  cancel(): void {
    this.#handle.cancel();
  }

  /** Everything seen is what the model did; with `all`, and nothing is missing. */
  verify(model: Model, all = false): void {
    const expected = model.events
      .slice(this.#from)
      .flat()
      .filter((event) => this.#wants(event));
    if (all) expect(this.#seen.length).toBe(expected.length);
    const shown = expected.slice(0, this.#seen.length);
    expect(this.#seen.map(withoutPrevious)).toEqual(shown.map(withoutPrevious));
    for (const [at, event] of this.#seen.entries()) {
      const wanted = this.#request.previous ? shown[at]?.previous : undefined;
      // What was before may have been compacted away by the time history was read.
      if (event.previous !== undefined || !wanted) expect(event.previous).toEqual(wanted);
    }
  }

  #note(notice: WatchNotice): void {
    expect(this.ended, "a watcher that ended told more").toBe(false);
    if (notice.kind === "compacted") {
      this.ended = true;
      return;
    }
    const events = notice.events.map(plainEvent);
    const [first] = events;
    if (first === undefined) throw new Error("a notice without events");
    expect(modOf(first)).toBeGreaterThan(this.#lastRevision);
    for (const event of events) {
      expect(modOf(event)).toBeGreaterThanOrEqual(this.#lastRevision);
      this.#lastRevision = modOf(event);
    }
    expect(notice.revision).toBeGreaterThanOrEqual(this.#lastRevision);
    this.#seen.push(...events);
  }

  #wants(event: ModelEvent): boolean {
    const { noDelete, noPut, range } = this.#request;
    if (!includes(range, event.type === "put" ? event.pair.key : event.key)) return false;
    return event.type === "put" ? !noPut : !noDelete;
  }
}

function modOf(event: ModelEvent): number {
  return event.type === "put" ? event.pair.mod : event.mod;
}

function withoutPrevious(event: ModelEvent): ModelEvent {
  return { ...event, previous: undefined };
}
