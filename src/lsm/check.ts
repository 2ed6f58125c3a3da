/** Walks everything a tree has on the disk and holds it against what was claimed. */
import type { ByteString } from "../lib/bytes.ts";
import { Sha256 } from "../lib/checksum.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { type Disk, readWhole } from "../lib/disk.ts";
import { BlockCursor } from "./block.ts";
import { filterMayHave, prefixHash } from "./filter.ts";
import type { Live } from "./live.ts";
import { encodeManifest, manifestName } from "./manifest.ts";
import { ReadAhead } from "./readahead.ts";
import { Run, RunCursor } from "./run.ts";
import { Slice } from "./slice.ts";
import { claimsToJson, type Table } from "./table.ts";
import type { Schema } from "./tree.ts";

export interface CheckOptions {
  readonly clock: Clock;
  readonly directory: string;
  readonly disk: Disk;
  readonly schema: Schema;
  readonly sliceMsMax: number;
  /** Whether files are being made that are not live yet. */
  readonly isBusy: () => boolean;
}

/** The claims that are broken, each with the path it is about; none when all is well. */
export async function checkLive(live: Live<unknown>, options: CheckOptions): Promise<string[]> {
  const { clock, schema, sliceMsMax } = options;
  const broken = await live.turn(() => [
    ...checkDirectory(live, options),
    ...checkOrder(live.runs),
  ]);
  const slice = new Slice(clock, sliceMsMax);
  for (const table of live.runs.flatMap(({ tables }) => tables)) {
    if (!live.has(table)) continue;
    for (const claim of checkTable(table, schema)) {
      if (claim !== undefined) broken.push(`${table.path} ${claim}`);
      if (!slice.isOver) continue;
      await slice.pause(() => clock.yield());
      // A merge may have replaced it meanwhile.
      if (!live.has(table)) break;
    }
  }
  return broken;
}

function* checkDirectory(live: Live<unknown>, options: CheckOptions): Generator<string> {
  const { directory, disk, isBusy } = options;
  const path = `${directory}/${manifestName}`;
  if (!readWhole(disk, path)?.equals(encodeManifest(live.manifest))) {
    yield `${path} does not say what is live`;
  }
  if (isBusy()) return;
  for (const name of live.orphans()) yield `${directory}/${name} is nobody's`;
}

function* checkOrder(runs: readonly Run[]): Generator<string> {
  for (const { tables } of runs) {
    for (const [at, table] of tables.entries()) {
      const before = tables[at - 1];
      if (before !== undefined && table.info.first <= before.info.last) {
        yield `${table.path} begins before the table before it ends`;
      }
    }
  }
}

/** Yields broken claims, and undefined now and then. */
function* checkTable(table: Table, schema: Schema): Generator<string | undefined> {
  yield* checkHash(table);
  try {
    yield* checkIndex(table);
    yield* checkRows(table, schema);
  } catch (error) {
    // Behind a damaged block nothing is in its place: the damage is the claim that is broken.
    if (!(error instanceof CorruptionError)) throw error;
    yield `does not hold what was written: ${error.message}`;
  }
}

const chunkBytes = 2 ** 18;

function* checkHash(table: Table): Generator<string | undefined> {
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
  if (hasher.digest() !== table.info.hash) yield "is not named by the hash of its bytes";
}

/** Each row of the index stands between the last key of its block and the first of the next. */
function* checkIndex(table: Table): Generator<string | undefined> {
  const reader = new ReadAhead();
  const index = new BlockCursor();
  const rows = new BlockCursor();
  let upTo: ByteString | undefined;
  index.open(table.index);
  while (index.next()) {
    const offset = index.bytes.readUInt32LE(index.start);
    rows.open(reader.read(table, offset, index.bytes.readUInt32LE(index.start + 4)));
    const hasRow = rows.next();
    if (!hasRow || (upTo !== undefined && rows.key <= upTo)) {
      yield `has a block at ${offset} that begins before its place in the index`;
    }
    while (rows.next());
    if (rows.key > index.key)
      yield `has a block at ${offset} that ends after its place in the index`;
    upTo = index.key;
    yield undefined;
  }
}

function* checkRows(table: Table, schema: Schema): Generator<string | undefined> {
  const summary = schema.summary();
  const rows = new RunCursor(new ReadAhead(), new Run([table]));
  let count = 0;
  let deletions = 0;
  let first: ByteString | undefined;
  let last: ByteString | undefined;
  while (rows.next()) {
    const { key } = rows;
    if (last !== undefined && key <= last) yield `has keys that do not ascend, at row ${count}`;
    if (!filterMayHave(table.filter, prefixHash(key, schema.prefixLength(key)))) {
      yield `has a filter that denies row ${count}`;
    }
    summary.add(key);
    first ??= key;
    last = key;
    count++;
    if (rows.start < 0) deletions++;
    if (count % 64 === 0) yield undefined;
  }
  const found = { rows: count, deletions, first: first ?? "", last: last ?? "" };
  const claims = JSON.stringify(claimsToJson({ ...found, summary: summary.result() }));
  if (claims !== JSON.stringify(claimsToJson(table.info))) yield `claims other rows than ${claims}`;
}
