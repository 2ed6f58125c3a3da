/**
 * Walks every row of a store and reports each claim that does not hold. The tables check themselves
 * (lsm/check.ts); this is about what the rows say of each other.
 */
import type { ByteString } from "../lib/bytes.ts";
import type { RowSet } from "../lsm/tree.ts";
import { changesOf, type Entry } from "../model/entry.ts";
import type { KeyValue } from "../model/event.ts";
import {
  afterHistory,
  dataBounds,
  dataKey,
  dataRevision,
  dataSub,
  historyKey,
  historyPosition,
  keyOf,
} from "./keys.ts";
import type { Store } from "./store.ts";
import { decodeVersion, encodeHead, isTombstone, tombstone } from "./version.ts";

/** The claims that are broken, in words; empty when the store is sound. Nothing may be pending. */
export function checkStore(store: Store, tree: RowSet): string[] {
  const broken: string[] = [];
  const claim = (holds: boolean, what: () => string) => {
    if (!holds) broken.push(what());
  };
  checkData(store, tree, claim);
  checkHistory(store, tree, claim);
  checkLeases(store, claim);
  return broken;
}

/**
 * What is wrong with the rows of an entry that they hold already: each version it made can still be
 * read, as it was made, unless that is below `floor`. Undefined when nothing is.
 */
export function checkEntry(entry: Entry, tree: RowSet, floor: number): string | undefined {
  const { action, index, revision } = entry;
  if (revision <= floor) return undefined;
  for (const [sub, change] of changesOf(action).entries()) {
    const row = tree.get(dataKey(change.key, revision, sub));
    const named = `entry ${index} changed ${JSON.stringify(change.key)} at revision ${revision}`;
    if (row === undefined) return `${named}, the tables have no such version`;
    const wanted =
      change.kind === "put" ? Buffer.concat([encodeHead(change), change.value]) : tombstone;
    if (Buffer.compare(row, wanted) !== 0) return `${named}, the tables have another version`;
  }
  return undefined;
}

type Claim = (holds: boolean, what: () => string) => void;

function checkData(store: Store, tree: RowSet, claim: Claim): void {
  const { from, to } = dataBounds({ key: "", end: "\0" });
  const rows = tree.scan(from, to);
  let last: ByteString | undefined;
  let newer: KeyValue | undefined;
  while (rows.next()) {
    const { row } = rows;
    const revision = dataRevision(row);
    const sub = dataSub(row);
    const key = keyOf(row);
    const named = () => `${JSON.stringify(key)} at revision ${revision}`;
    claim(revision <= store.revision, () => `${named()} is newer than the store`);
    claim(
      revision < store.floor || tree.get(historyKey(revision, sub)) !== undefined,
      () => `${named()} has no history row`,
    );
    if (key !== last) newer = undefined;
    last = key;
    // What only reads below the floor would see may be gone, in any pattern.
    const next = newer !== undefined && newer.modRevision > store.floor ? newer : undefined;
    if (isTombstone(row.bytes, row.start)) {
      claim(next === undefined || next.version === 1, () => `${named()} was put over a tombstone`);
      newer = undefined;
      continue;
    }
    const pair = decodeVersion(key, revision, row.bytes, row.start, row.end);
    claim(pair.createRevision <= revision, () => `${named()} was created after it was modified`);
    claim(pair.version > 1 || pair.createRevision === revision, () => `${named()}: version`);
    if (next !== undefined && next.version > 1) {
      claim(next.version === pair.version + 1, () => `${named()}: a version is missing after it`);
      claim(next.createRevision === pair.createRevision, () => `${named()}: creation differs`);
    }
    newer = pair;
  }
}

function checkHistory(store: Store, tree: RowSet, claim: Claim): void {
  const rows = tree.scan(historyKey(0, 0), afterHistory);
  let last = { revision: 0, sub: -1 };
  while (rows.next()) {
    const at = historyPosition(rows.row);
    const key = Buffer.from(rows.value()).toString("latin1");
    claim(at.revision <= store.revision, () => `history at ${at.revision} is newer than the store`);
    claim(
      at.sub === (at.revision === last.revision ? last.sub + 1 : 0),
      () => `history at ${at.revision} has a gap before sub ${at.sub}`,
    );
    if (last.revision >= Math.max(store.floor, 2)) {
      claim(
        at.revision <= last.revision + 1,
        () => `history has a gap between ${last.revision} and ${at.revision}`,
      );
    }
    if (at.revision >= store.floor) {
      claim(
        tree.get(dataKey(key, at.revision, at.sub)) !== undefined,
        () => `history at ${at.revision} has no data row for ${JSON.stringify(key)}`,
      );
    }
    last = at;
  }
  claim(
    last.revision === store.revision ||
      (last.revision === 0 && store.revision <= 1) ||
      store.floor >= store.revision,
    () => `history ends at ${last.revision}, the store is at ${store.revision}`,
  );
}

/** Leases as loaded at the start plus what was applied since must be what the rows would load. */
function checkLeases(store: Store, claim: Claim): void {
  let attached = 0;
  for (const { id, keys } of store.leases.all()) {
    for (const key of keys) {
      attached++;
      claim(
        store.latest(key, store.revision)?.lease === id,
        () => `${JSON.stringify(key)} is on lease ${id}'s list and not attached to it`,
      );
    }
  }
  let live = 0;
  const cursor = store.cursor({ key: "\0", end: "\0" }, store.revision);
  while (cursor.next()) if (cursor.pair().lease !== 0n) live++;
  claim(live === attached, () => `${live} keys have leases, the leases list ${attached}`);
}
