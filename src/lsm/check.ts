/** Walks everything a tree has on the disk and holds it against what was claimed. */
import type { ByteString } from "../lib/bytes.ts";
import { Sha256 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { type Disk, readWhole } from "../lib/disk.ts";
import { BlockCursor } from "./block.ts";
import { filterMayHave, prefixHash } from "./filter.ts";
import { Lane, LaneCursor } from "./lane.ts";
import type { Live } from "./live.ts";
import { decodeManifest, encodeManifest, manifestName } from "./manifest.ts";
import { MergeCursor } from "./merge.ts";
import { ReadAhead } from "./readahead.ts";
import { type Lanes, type Run, Split } from "./run.ts";
import { Slice } from "./slice.ts";
import { claimsToJson, type Table, tablePath } from "./table.ts";
import type { Schema, TableInfo } from "./tree.ts";
import type { RowView } from "./view.ts";

export interface CheckOptions {
  readonly clock: Clock;
  readonly directory: string;
  readonly disk: Disk;
  readonly schema: Schema;
  readonly sliceMsMax: number;
  /** Whether files are being made that are not live yet. */
  readonly isBusy: () => boolean;
}

/** What is wrong with a table. */
export interface TableDamage {
  readonly path: string;
  /** In bytes; undefined where it is no place of the file. */
  readonly offset: number | undefined;
  readonly what: string;
  /** The rows it concerns lie from about here */
  readonly first: ByteString;
  /** to here. */
  readonly last: ByteString;
}

/** The claims that are broken, each with the path it is about; none when all is well. */
export async function checkLive(live: Live<unknown>, options: CheckOptions): Promise<string[]> {
  const { clock, directory, schema, sliceMsMax } = options;
  const broken = await live.turn(() => [
    ...checkDirectory(live, options),
    ...live.manifest.runs.flatMap((infos) => checkOrder(directory, infos).map(text)),
  ]);
  const slice = new Slice(clock, sliceMsMax);
  for (const run of live.runs) {
    if (!live.runs.includes(run)) continue;
    for (const damage of checkRun(run, schema)) {
      if (damage !== undefined) broken.push(text(damage));
      if (!slice.isOver) continue;
      await slice.pause(() => clock.yield());
      // A merge may have replaced it meanwhile.
      if (!live.runs.includes(run)) break;
    }
  }
  return broken;
}

function text({ offset, path, what }: TableDamage): string {
  return offset === undefined ? `${path} ${what}` : `${path} at offset ${offset} ${what}`;
}

function* checkDirectory(live: Live<unknown>, options: CheckOptions): Generator<string> {
  const { directory, disk, isBusy } = options;
  const path = `${directory}/${manifestName}`;
  if (!encodeManifest(live.manifest).equals(encodedAnew(path, readWhole(disk, path)))) {
    yield `${path} does not say what is live`;
  }
  if (isBusy()) return;
  for (const name of live.orphans()) yield `${directory}/${name} is nobody's`;
}

/** A manifest as it is written now, whatever its format was; empty where there is none that is whole. */
function encodedAnew(path: string, bytes: Buffer | undefined): Buffer {
  try {
    return bytes === undefined ? Buffer.alloc(0) : encodeManifest(decodeManifest(path, bytes));
  } catch (error) {
    if (error instanceof CorruptionError || error instanceof ForeignError) return Buffer.alloc(0);
    throw error;
  }
}

/** The tables of a run that begin before the one before them in their lane ends. */
export function checkOrder(directory: string, run: Lanes<TableInfo>): TableDamage[] {
  const damages: TableDamage[] = [];
  for (const tables of [run.fronts, run.rest]) {
    for (const [at, { first, hash, last }] of tables.entries()) {
      const before = tables[at - 1];
      if (before === undefined || first > before.last) continue;
      const path = tablePath(directory, hash);
      const what = "begins before the table before it ends";
      damages.push({ path, offset: undefined, what, first, last });
    }
  }
  return damages;
}

/** Reads a run whole; yields what is wrong with it, and undefined now and then. */
export function* checkRun(run: Run, schema: Schema): Generator<TableDamage | undefined> {
  let isSound = true;
  for (const table of run.tables) {
    for (const damage of checkTable(table, schema)) {
      if (damage !== undefined) isSound = false;
      yield damage;
    }
  }
  // What is made of damaged rows is damaged too.
  if (isSound) yield* checkLanes(run, schema);
}

/**
 * Whether each row is in the lane it belongs to. Of a run without a rest that cannot be told: before
 * there were lanes everything went into one.
 */
function* checkLanes(run: Run, schema: Schema): Generator<TableDamage | undefined> {
  if (run.rest.tables.length === 0) return;
  const rest = new LaneCursor(new ReadAhead(), run.rest);
  const rows = new MergeCursor([new LaneCursor(new ReadAhead(), run.fronts), rest]);
  const split = new Split(schema);
  const damage = (lane: Lane, { key }: RowView, what: string) => {
    const table = lane.tables[lane.tableAt(key)] as Table;
    return { path: table.path, offset: undefined, what, first: key, last: key };
  };
  let count = 0;
  for (rows.seek(""); rows.next(); ) {
    const { row } = rows;
    const lane = row === rest.row ? run.rest : run.fronts;
    const isFront = split.isFront(row);
    if (isFront && lane === run.rest) {
      yield damage(lane, row, "has a row that no newer one of its prefix stands before");
    } else if (!isFront && lane === run.fronts) {
      yield damage(lane, row, "has a second row of a prefix among the first ones");
    }
    if (++count % 64 === 0) yield undefined;
  }
  const [table] = run.rest.tables;
  if (count !== run.rows && table !== undefined) yield whole(table, "has rows of the other lane");
}

/** Reads a table whole; yields what is wrong with it, and undefined now and then. */
export function* checkTable(table: Table, schema: Schema): Generator<TableDamage | undefined> {
  let isSound = true;
  for (const checks of [checkHash(table), checkBlocks(table)]) {
    for (const damage of checks) {
      if (damage !== undefined) isSound = false;
      yield damage;
    }
  }
  // Behind a damaged block nothing is in its place.
  if (isSound) yield* checkRows(table, schema);
}

const chunkBytes = 2 ** 18;

function* checkHash(table: Table): Generator<TableDamage | undefined> {
  const hasher = new Sha256();
  const chunk = Buffer.allocUnsafeSlow(chunkBytes);
  let at = 0;
  for (;;) {
    const count = table.readRaw(chunk, at);
    if (count === 0) break;
    hasher.update(chunk.subarray(0, count));
    at += count;
    yield undefined;
  }
  if (hasher.digest() !== table.info.hash)
    yield whole(table, "is not named by the hash of its bytes");
}

/** Each block is whole and lies between the place of the one before and its own in the index. */
function* checkBlocks(table: Table): Generator<TableDamage | undefined> {
  const reader = new ReadAhead();
  const index = new BlockCursor();
  const rows = new BlockCursor();
  let after: ByteString | undefined;
  index.open(table.index);
  while (index.next()) {
    const offset = index.bytes.readUInt32LE(index.start);
    const first = after ?? table.info.first;
    const damage = (what: string) => ({ path: table.path, offset, what, first, last: index.key });
    try {
      rows.open(reader.read(table, offset, index.bytes.readUInt32LE(index.start + 4)));
      const hasRow = rows.next();
      if (!hasRow || (after !== undefined && rows.key <= after)) {
        yield damage("has a block that begins before its place in the index");
      }
      while (rows.next());
      if (rows.key > index.key) yield damage("has a block that ends after its place in the index");
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      yield damage("does not hold what was written: a block has a wrong checksum");
    }
    after = index.key;
    yield undefined;
  }
}

function* checkRows(table: Table, schema: Schema): Generator<TableDamage | undefined> {
  const summary = schema.summary();
  const rows = new LaneCursor(new ReadAhead(), new Lane([table]));
  let count = 0;
  let deletions = 0;
  let first: ByteString | undefined;
  let last: ByteString | undefined;
  while (rows.next()) {
    const { row } = rows;
    const { key } = row;
    if (last !== undefined && key <= last) {
      yield whole(table, `has keys that do not ascend, at row ${count}`);
    }
    if (!filterMayHave(table.filter, prefixHash(key, schema.prefixLength(row)))) {
      yield whole(table, `has a filter that denies row ${count}`);
    }
    summary.add(row);
    first ??= key;
    last = key;
    count++;
    if (row.start < 0) deletions++;
    if (count % 64 === 0) yield undefined;
  }
  const found = { rows: count, deletions, first: first ?? "", last: last ?? "" };
  const claims = JSON.stringify(claimsToJson({ ...found, summary: summary.result() }));
  if (claims !== JSON.stringify(claimsToJson(table.info))) {
    yield whole(table, `claims other rows than ${claims}`);
  }
}

/** A damage that concerns all rows of a table. */
function whole({ info, path }: Table, what: string): TableDamage {
  return { path, offset: undefined, what, first: info.first, last: info.last };
}
