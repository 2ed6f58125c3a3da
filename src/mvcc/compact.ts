/**
 * What compaction may drop. The floor is the lowest revision that can still be read:
 *
 *   key a   put@3   put@5   delete@8   put@9      floor 8 keeps  delete@8 put@9
 *   key b   put@2   put@6                         floor 8 keeps  put@6          (a read at 8 sees it)
 *   key c   put@4   delete@7                      floor 8 keeps  nothing
 *
 * A tombstone below the floor may only go with everything it hides: in a merge below which nothing
 * older lies. One at the floor itself stays, because a watch from the floor still tells of it.
 */
import { RowKey } from "../lsm/rowkey.ts";
import type { TableInfo } from "../lsm/tree.ts";
import { commonBytes, type KeyView, type RowView } from "../lsm/view.ts";
import {
  dataPrefixLength,
  dataRevision,
  historyPosition,
  isDataKey,
  isHistoryKey,
} from "./keys.ts";
import { isTombstone } from "./version.ts";

/**
 * A sieve for one merge, asked about its rows in key order; true drops the row. `bottom`: nothing
 * older than the merge's inputs exists.
 */
export function sieve(floor: number, bottom: boolean): (row: RowView) => boolean {
  // The prefix whose newest version at or below the floor has been seen.
  const settled = new RowKey();
  return (row) => {
    if (isDataKey(row)) {
      const revision = dataRevision(row);
      if (revision > floor) return false;
      const length = dataPrefixLength(row);
      const covered = settled.length === length && commonBytes(settled, row) === length;
      settled.copy(row, length, 0);
      if (revision === floor) return false;
      return covered || (bottom && isTombstone(row.bytes, row.start));
    }
    return isHistoryKey(row) && historyPosition(row).revision < floor;
  };
}

/** Collects what a table's footer tells of its rows; see `wantsMajor`. */
export function summary() {
  let historyRows = 0;
  let historyFirst = 0;
  let historyLast = 0;
  return {
    add(row: KeyView): void {
      if (!isHistoryKey(row)) return;
      const { revision } = historyPosition(row);
      if (historyRows++ === 0) historyFirst = revision;
      historyLast = revision;
    },
    result: () => ({ historyRows, historyFirst, historyLast }),
  };
}

/** Share of droppable rows from which merging everything is worth its reads and writes. */
const garbageShareMin = 0.2;

/**
 * Whether enough of the tables is garbage. Every write leaves one history row, so the history rows
 * below the floor count the writes since the last merge of everything, and about as many versions.
 */
export function wantsMajor(tables: readonly TableInfo[], floor: number): boolean {
  return garbageShare(tables, floor) > garbageShareMin;
}

/** About which part of the tables' rows nobody can read any more, 0 to 1. */
export function garbageShare(tables: readonly TableInfo[], floor: number): number {
  let rows = 0;
  let garbage = 0;
  for (const table of tables) {
    const { historyFirst = 0, historyLast = 0, historyRows = 0 } = table.summary;
    rows += table.rows;
    if (historyRows === 0 || historyFirst >= floor) continue;
    const span = historyLast - historyFirst + 1;
    garbage += historyRows * Math.min(1, (floor - historyFirst) / span);
  }
  return rows === 0 ? 0 : garbage / rows;
}
