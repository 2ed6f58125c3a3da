/**
 * What a member was asked and what it answered, held against the plain model of the store. The model
 * lags: whether what was on its way when the lights went out took place is known after the next
 * start, by the count of entries in the log. The store must then be what the commands up to there
 * make, one after the other in the order they were decided, with every answer as it was given.
 */
import { expect } from "bun:test";
import type { Command, RangeQuery } from "../../src/model/command.ts";
import type { KeyRange } from "../../src/model/range.ts";
import { includes } from "../../src/model/range.ts";
import { Refusal, type RefusalKind } from "../../src/model/refusal.ts";
import type { RangeReply, Reply } from "../../src/model/reply.ts";
import { Model, type ModelPair, type ModelReply } from "../mvcc/model.ts";
import { plainPair, plainReply } from "../mvcc/rig.ts";
import type { Sight } from "./sight.ts";

interface Asked {
  readonly command: Command;
  /** Undefined while it is open, and for good when its outcome is. */
  answer: ModelReply | undefined;
  /** It did not take place, for certain. */
  untried: boolean;
}

interface Read {
  readonly query: RangeQuery;
  /** The store's revision when it was asked. */
  readonly revision: number;
  readonly reply: RangeReply;
}

/** Refusals that promise that nothing was written. */
const untried: readonly RefusalKind[] = ["noSpace", "tooManyRequests", "stopped"];

export class Book {
  readonly model = new Model();
  /** Commands by what became of them; `open` ones had no answer when the process died. */
  readonly counts = { answered: 0, refused: 0, unknown: 0, untried: 0, open: 0 };
  /** Entries of clients that the log held at the last start. */
  #entries = 0;
  #asked: Asked[] = [];
  #reads: Read[] = [];
  #sights: Sight[] = [];

  /** Notes a command, and the answer that `propose` gives to it. */
  ask(
    command: Command,
    propose: (command: Command) => Promise<Reply | Refusal>,
  ): Promise<Reply | Refusal> {
    const asked: Asked = { command, answer: undefined, untried: false };
    this.#asked.push(asked);
    this.counts.open++;
    return propose(command).then(
      (answer) => {
        this.#note(asked, answer);
        return answer;
      },
      (error) => {
        // It could not be decided.
        asked.untried = true;
        this.counts.open--;
        this.counts.untried++;
        throw error;
      },
    );
  }

  /** Notes what a read of whole pairs, all of a range, was answered with. */
  read(query: RangeQuery, revision: number, reply: RangeReply): void {
    this.#reads.push({ query, revision, reply });
  }

  /** Notes a watcher: what it sees must be there after the next start. */
  watches(sight: Sight): void {
    this.#sights.push(sight);
  }

  /**
   * The log holds `entries` entries of clients, applied: brings the model there, and holds against
   * it all that was told. What is open and not among them may still come, unless it `died`.
   */
  settle(entries: number, died: boolean): void {
    const waiting = this.#asked.filter((asked) => !this.#replay(asked, entries));
    expect(this.#entries, "entries in the log that nobody asked for").toBe(entries);
    for (const read of this.#reads) this.#verify(read);
    for (const sight of this.#sights) sight.verify(this.model);
    this.#asked = died ? [] : waiting;
    this.#reads = [];
    if (died) this.#sights = [];
  }

  #note(asked: Asked, answer: Reply | Refusal): void {
    this.counts.open--;
    if (!(answer instanceof Refusal)) this.counts.answered++;
    else if (answer.kind === "outcomeUnknown") this.counts.unknown++;
    else if (untried.includes(answer.kind)) this.counts.untried++;
    else this.counts.refused++;
    if (answer instanceof Refusal && answer.kind === "outcomeUnknown") return;
    asked.untried = answer instanceof Refusal && untried.includes(answer.kind);
    asked.answer = plainReply(answer);
  }

  /** Does in the model what was asked; false when it has not taken place so far. */
  #replay(asked: Asked, entries: number): boolean {
    const { answer, command } = asked;
    if (asked.untried) return true;
    if (answer === undefined && this.#entries === entries) return false;
    const { revision } = this.model;
    const reply = this.model.run(command);
    if (answer !== undefined) expect(answer).toEqual(reply);
    if (!makesEntry(command, reply, this.model.revision > revision)) return true;
    if (++this.#entries > entries) {
      throw new Error(`lost: ${say(command)}, acknowledged with ${say(reply)}`);
    }
    return true;
  }

  #verify({ query, reply, revision }: Read): void {
    const at = query.revision > 0 ? query.revision : revision;
    expect(at, "a read saw what was not committed").toBeLessThanOrEqual(this.model.revision);
    expect(Number(reply.revision)).toBe(revision);
    const pairs = pairsAt(this.model, query.range, at);
    expect(reply.kvs.map(plainPair)).toEqual(pairs);
    expect(reply.count).toBe(pairs.length);
  }
}

/** The pairs of a range at a revision, in key order. */
export function pairsAt(model: Model, range: KeyRange, revision: number): ModelPair[] {
  return [...model.stateAt(revision).values()]
    .filter(({ key }) => includes(range, key))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

function makesEntry({ kind }: Command, reply: ModelReply, advanced: boolean): boolean {
  if (typeof reply === "string") return false;
  return advanced || kind === "grant" || kind === "revoke" || kind === "compact";
}

function say(what: Command | ModelReply): string {
  return Bun.inspect(what, { depth: 4, compact: true });
}
