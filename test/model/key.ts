/** When two states are the same: forgetting what cannot matter any more, and hashing the rest. */
import type { Scope } from "./scope.ts";
import type { Ack, Checkpoint, HeadWrite, LogObject, LogPut, Node, State } from "./state.ts";

/**
 * Removes requests that can have no effect (a head write whose ver is gone, a put whose slot is
 * taken for ever, an ack nobody waits for) and orders the others: equal states look equal.
 */
export function tidy(scope: Scope, state: State): void {
  const { head } = state;
  state.headWrites = distinct(
    state.headWrites.filter(({ ver }) => ver > head.ver),
    headKey,
  );
  state.logPuts = distinct(
    state.logPuts.filter(({ slot }) => !isTaken(scope, state.slots[slot])),
    putKey,
  );
  state.manifests = distinct(
    state.manifests.filter(({ log }) => log.length > (state.checkpoint?.log.length ?? 0)),
    checkpointKey,
  );
  state.acks = distinct(
    state.acks.filter((ack) => isAwaited(state, ack)),
    ackKey,
  );
}

function distinct<T>(values: readonly T[], keyOf: (value: T) => string): readonly T[] {
  if (values.length < 2) return values;
  const byKey = new Map(values.map((value) => [keyOf(value), value]));
  return [...byKey].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, value]) => value);
}

/** Whether nothing can ever be put there: a fence stays, data only where nothing is deleted. */
function isTaken(scope: Scope, object: LogObject | undefined): boolean {
  if (object === undefined) return false;
  return !scope.gc || (object.kind === "fence" && scope.bug !== "fence deleted");
}

function isAwaited({ nodes }: State, { from, to, term, entries }: Ack): boolean {
  return nodes.some(
    (node) =>
      node.incarnation === to &&
      node.role === "leader" &&
      node.term === term &&
      (node.held[from] ?? -1) < entries,
  );
}

/** A number for the state: 53 bits, so that a million states share one with chance 1 in 10,000. */
export function hashOf(state: State): number {
  return hashText(keyOf(state));
}

/** Everything in the state, as text. */
export function keyOf(state: State): string {
  const { checkpoint } = state;
  let key = `${headKey(state.head)}|${state.acked}|${state.incarnations}`;
  key += `,${state.writes},${state.crashes},${state.disksLost}`;
  key += `,${state.switches},${state.duplicates}|`;
  for (const object of state.slots) key += `${objectKey(object)} `;
  if (checkpoint !== undefined) key += `|${checkpointKey(checkpoint)}`;
  for (const manifest of state.manifests) key += `m${checkpointKey(manifest)}`;
  key += "|";
  for (const write of state.headWrites) key += `${headKey(write)} `;
  key += "|";
  for (const put of state.logPuts) key += `${putKey(put)} `;
  key += "|";
  for (const ack of state.acks) key += `${ackKey(ack)} `;
  for (const node of state.nodes) key += nodeKey(node);
  return key;
}

function nodeKey(node: Node): string {
  let key = `|${node.incarnation},${node.life},${node.promised},${node.log},${node.logTerm}`;
  key += node.wanted ? "w" : "-";
  if (node.synced < node.log.length) key += `~${node.synced}`;
  if (node.role === "idle") return key;
  key += `${node.role[0]}${node.term},${node.seen}`;
  if (node.role === "candidate") return key;
  key += `,${node.required}${flags(node)}${node.commit},${node.termStart},${node.held.join(".")}`;
  key += `,${node.stored},${node.next}`;
  if (node.put !== undefined) key += `p${putKey(node.put)}`;
  const { read } = node;
  if (read !== undefined) {
    key += `r${read.entries},${read.confirmed}`;
    key += (read.bucket ? "b" : "-") + (read.putSince ? "s" : "-");
  }
  return key;
}

function flags({ requiresS3, recordedS3, intent, fenced }: Node): string {
  return (
    (requiresS3 ? "q" : "-") +
    (recordedS3 ? "r" : "-") +
    (intent ? "i" : "-") +
    (fenced ? "f" : "-")
  );
}

function headKey({ ver, term, leader, life, iss, s3 }: HeadWrite): string {
  return `${ver},${term},${leader},${life},${iss}${s3 ? "s" : "-"}`;
}

export function checkpointKey({ log, lastSlot, term }: Checkpoint): string {
  return `${log},${lastSlot},${term}`;
}

function putKey({ slot, object }: LogPut): string {
  return `${slot}=${objectKey(object)}`;
}

export function objectKey(object: LogObject | undefined): string {
  if (object === undefined) return "_";
  return `${object.kind === "fence" ? "f" : "d"}${object.term},${object.base}${object.end}`;
}

function ackKey({ from, to, term, entries }: Ack): string {
  return `${from}>${to},${term},${entries}`;
}

/** cyrb53 (bryc, public domain): two 32-bit lanes. */
export function hashText(text: string): number {
  let one = 0xdeadbeef;
  let two = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    one = Math.imul(one ^ code, 2654435761);
    two = Math.imul(two ^ code, 1597334677);
  }
  one = Math.imul(one ^ (one >>> 16), 2246822507) ^ Math.imul(two ^ (two >>> 13), 3266489909);
  two = Math.imul(two ^ (two >>> 16), 2246822507) ^ Math.imul(one ^ (one >>> 13), 3266489909);
  return 4294967296 * (2097151 & two) + (one >>> 0);
}
