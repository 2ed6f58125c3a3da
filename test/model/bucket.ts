/** Reading the bucket's log as a node does. */
import type { Scope } from "./scope.ts";
import type { Log, LogObject, State } from "./state.ts";
import { Violation } from "./violation.ts";

/**
 * What the bucket's log says, from the newest checkpoint up to slot `end` (exclusive).
 * A term's first object cuts the log at its base; every other goes on where the one before ended;
 * what has a lower term than an object before it is void (R7).
 *
 * @throws Violation where an object is missing or does not follow what came before.
 */
export function replay(scope: Scope, state: State, end = state.slots.length): Log {
  return positionAt(scope, state, end).log;
}

/** The same, and the term of the last object that was not void: what a checkpoint records. */
export function positionAt(
  scope: Scope,
  state: State,
  end: number,
): { readonly log: Log; readonly term: number } {
  let log = state.checkpoint?.log ?? "";
  let term = state.checkpoint?.term ?? 0;
  for (let slot = (state.checkpoint?.lastSlot ?? -1) + 1; slot < end; slot++) {
    const object = state.slots[slot];
    if (object === undefined) throw new Violation(`hole: replay finds nothing at slot ${slot}`);
    if (scope.bug === "longest wins") {
      if (object.end.length >= log.length) log = object.end;
      continue;
    }
    if (object.term < term) continue;
    const follows = object.term > term ? object.base <= log.length : object.base === log.length;
    if (!follows || !log.startsWith(object.end.slice(0, object.base))) {
      throw new Violation(`chain: slot ${slot} (${object.end}) does not follow "${log}"`);
    }
    term = object.term;
    log = object.end;
  }
  return { log, term };
}

/** The slot after the newest object, as a listing tells. The newest is never deleted (R8). */
export function firstFree({ slots }: State): number {
  return slots.findLastIndex((object) => object !== undefined) + 1;
}

/** The highest term in the log. Fences are never deleted, so it is never forgotten (R8). */
export function newestTerm(state: State): number {
  return state.slots.reduce((newest, object) => Math.max(newest, object?.term ?? 0), 0);
}

/** How many entries two logs begin with alike. */
export function commonEntries(one: Log, other: Log): number {
  let count = 0;
  while (count < one.length && one[count] === other[count]) count++;
  return count;
}

export function sameObject(one: LogObject, other: LogObject): boolean {
  return (
    one.kind === other.kind &&
    one.term === other.term &&
    one.end === other.end &&
    one.base === other.base
  );
}
