/** What may go of all that a survey found. Pure: it reads nothing. */
import { checkpointKey, checkpointOfKey, tableOfKey } from "../object/keys.ts";
import { keyOf, type Manifest } from "./manifest.ts";
import { isActive, isHold } from "./pin.ts";
import { kept, type Retention } from "./retention.ts";
import { isWhole, ownKeys, type Survey, type Surveyed } from "./survey.ts";

/** After so long a delete that its sender has given up does not arrive any more. */
const releasedMsMin = 24 * 3600_000;

export interface VerdictOptions {
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  readonly retention: Retention;
  /** Objects younger than so many milliseconds stay. */
  readonly graceMs: number;
}

/** Keys of what may go, with the tag it was seen with, and what stays. */
export interface Verdict {
  readonly checkpoints: ReadonlyMap<string, string>;
  readonly tables: ReadonlySet<string>;
  readonly pins: ReadonlyMap<string, string>;
  /** The newest checkpoint that is whole; undefined when none is, and nothing may go. */
  readonly newest: Manifest | undefined;
  /** Checkpoints that stay though their tables are not all there. */
  readonly broken: readonly string[];
  /** The checkpoint that needs most of the log, of those that stay or are pinned. */
  readonly oldest: Manifest | undefined;
}

/**
 * What may go now. `givenUp` are attempts that cannot finish; `before` limits it to what an earlier
 * verdict said, as it was then.
 */
export function judge(
  at: Survey,
  givenUp: ReadonlySet<string>,
  options: VerdictOptions,
  before?: Verdict,
): Verdict {
  const whole = at.checkpoints.flatMap(({ manifest }) =>
    manifest !== undefined && isWhole(manifest, at.tables) ? [manifest] : [],
  );
  whole.sort((a, b) => b.position.index - a.position.index || b.term - a.term);
  const [newest] = whole;
  if (newest === undefined) return { ...nothing, broken: keysOf(at.checkpoints) };
  const going = goingCheckpoints(at, whole, givenUp, options, before);
  const staying = at.checkpoints.filter(({ key }) => !going.has(key));
  const manifests = staying.flatMap(({ manifest }) => manifest ?? []);
  const pinned = at.pins.flatMap(({ pin }) =>
    isActive(pin, options.nowMs) ? [pin.checkpoint] : [],
  );
  const needed = [...manifests, ...pinned];
  const wholeKeys = new Set(whole.map(keyOf));
  const oldest = needed.reduce((low, each) => (each.lastSeq < low.lastSeq ? each : low), newest);
  return {
    checkpoints: new Map(going),
    tables: goingTables(at, needed, givenUp, options, before),
    pins: goingPins(at, options, before),
    newest,
    oldest,
    broken: keysOf(staying.filter(({ key }) => !wholeKeys.has(key))),
  };
}

/**
 * Condemned keys that are gone and may be forgotten, whoever condemned them: a run that died leaves
 * its own behind. Nobody can tell it from one that sleeps and deletes them once more when it wakes
 * up, so only those where that would hit nothing that anybody needs:
 *
 *   a table, the hold of a reader   such a key is not written twice
 *   a checkpoint before `newest`    who puts its manifest once more has slept since before `newest`:
 *                                   `manifest/latest`, which names `newest` or a later one, does not
 *                                   go back to it, and a pin of it holds the manifest itself
 *
 * The pin of a branch or a restore point stays condemned: people use an id again, and a late delete
 * would let go of what the new one pins. So does the newest checkpoint, whose key may get another
 * manifest while the revision stays what it is.
 */
export function forgettable(at: Survey, newest: Manifest): string[] {
  const there = new Set([...at.checkpoints, ...at.pins].map(({ key }) => key));
  return [...at.condemned.keys.keys()].filter((key) => {
    if (there.has(key) || at.tables.has(key)) return false;
    if (tableOfKey(key) !== undefined || isHold(key)) return true;
    return checkpointOfKey(key) !== undefined && revisionOf(key) < newest.revision;
  });
}

/** Key and tag of checkpoints, and of attempts kept out, that nothing speaks for. */
function goingCheckpoints(
  at: Survey,
  whole: readonly Manifest[],
  givenUp: ReadonlySet<string>,
  options: VerdictOptions,
  before: Verdict | undefined,
): Map<string, string> {
  const { graceMs, nowMs, retention } = options;
  const dated = whole.map((manifest) => ({ key: keyOf(manifest), wallMs: manifest.wallMs }));
  const keys = kept(dated, retention, nowMs);
  const oldestKept = whole.findLast((manifest) => keys.has(keyOf(manifest)));
  const needed = new Set(keys);
  if (at.latest !== undefined) needed.add(at.latest.checkpointKey);
  for (const { pin } of at.pins) if (isActive(pin, nowMs)) needed.add(keyOf(pin.checkpoint));
  for (const { attempt, revision, term } of at.pendings) {
    if (!givenUp.has(attempt)) needed.add(checkpointKey(term, revision));
  }
  const wholeKeys = new Set(dated.map(({ key }) => key));
  const going = at.checkpoints.filter(({ key, modifiedMs, tag }) => {
    if (needed.has(key) || nowMs - modifiedMs < graceMs) return false;
    if (before !== undefined && before.checkpoints.get(key) !== tag) return false;
    // One that is not whole goes only where it would not be used anyway.
    return wholeKeys.has(key) || revisionOf(key) < (oldestKept?.revision ?? 0);
  });
  return new Map(going.map(({ key, tag }) => [key, tag]));
}

function goingTables(
  at: Survey,
  manifests: readonly Manifest[],
  givenUp: ReadonlySet<string>,
  { graceMs, nowMs }: VerdictOptions,
  before: Verdict | undefined,
): Set<string> {
  const pendings = at.pendings.filter(({ attempt }) => !givenUp.has(attempt));
  const attempts = new Set(pendings.map(({ attempt }) => attempt));
  const needed = new Set([...manifests, ...pendings].flatMap(({ tables }) => ownKeys(tables)));
  const going = [...at.tables.values()].filter(({ key, modifiedMs }) => {
    const copy = tableOfKey(key)?.copy;
    if (copy === undefined || attempts.has(copy) || needed.has(key)) return false;
    return nowMs - modifiedMs >= graceMs && (before === undefined || before.tables.has(key));
  });
  return new Set(going.map(({ key }) => key));
}

function goingPins(
  at: Survey,
  { nowMs }: VerdictOptions,
  before: Verdict | undefined,
): Map<string, string> {
  const going = at.pins.filter(({ key, pin, tag }) => {
    if (before !== undefined && before.pins.get(key) !== tag) return false;
    if (isHold(key)) return !isActive(pin, nowMs);
    return pin.releasedMs !== undefined && nowMs - pin.releasedMs >= releasedMsMin;
  });
  return new Map(going.map(({ key, tag }) => [key, tag]));
}

const nothing: Verdict = {
  checkpoints: new Map(),
  tables: new Set(),
  pins: new Map(),
  newest: undefined,
  oldest: undefined,
  broken: [],
};

function keysOf(checkpoints: readonly Surveyed[]): string[] {
  return checkpoints.flatMap(({ key, manifest }) => (manifest === undefined ? [] : [key]));
}

function revisionOf(key: string): number {
  return checkpointOfKey(key)?.revision ?? 0;
}
