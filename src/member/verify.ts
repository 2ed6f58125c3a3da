/**
 * Checks a data directory whole, without changing it, also while its member runs. Nothing is
 * believed because something else says so:
 *
 *   1 identity   MEMBER is what was written, and so is BUCKET where there is one
 *   2 manifest   MANIFEST is, and names tables that are there
 *   3 tables     bytes make the name, blocks and rows are as claimed, lanes are in order
 *   4 log        every segment, frame and entry; indexes, terms and the chain; where the tables end
 *   5 entries    what the tables hold already, they hold as the log has it
 *   6 rows       after a replay, what rows say of each other
 *
 * A damage does not end it: what can be checked without the damaged part still is.
 */
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import type { Disk } from "../lib/disk.ts";
import type { HeldRows, HeldTables } from "../lsm/hold.ts";
import { tablesIn } from "../lsm/manifest.ts";
import type { Entry } from "../model/entry.ts";
import { openEnd } from "../model/range.ts";
import { checkEntry, checkStore } from "../mvcc/check.ts";
import { describeRow } from "../mvcc/keys.ts";
import { schemaOf } from "../mvcc/schema.ts";
import type { Store } from "../mvcc/store.ts";
import { LogCheck } from "../wal/check.ts";
import type { HeldLog } from "../wal/hold.ts";
import { readBond } from "./bond.ts";
import { identityIn } from "./directory.ts";
import type { Checkpoint } from "./durable.ts";
import { positionOf } from "./rooms.ts";
import { hold, storeOver } from "./snapshot.ts";

/** Something that is not what was written. */
export interface Damage {
  /** A file or an object. */
  readonly path: string;
  /** In bytes; undefined where it is no place of it. */
  readonly offset: number | undefined;
  readonly what: string;
  /** What is in doubt with it, in words: "entries 5 to 9", `key "a" to key "b"`. */
  readonly range: string | undefined;
}

/** One kind of thing that was looked at. */
export interface Part {
  readonly name: string;
  /** What was counted, by what it is: files, bytes, rows … */
  readonly counts: Readonly<Record<string, number>>;
}

/** What came out of looking at everything. */
export interface Verification {
  /** What was looked at. */
  readonly subject: string;
  readonly parts: readonly Part[];
  /** Not damaged, and worth knowing. */
  readonly notes: readonly string[];
  readonly damages: readonly Damage[];
}

export interface VerifyOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly cacheBytesMax: number;
  /** Whether it may be a directory into which a database is being put (rewind.ts). */
  readonly mayBeHalf?: boolean;
}

/** Verifies the data directory `path`. ForeignError when there is none or it is newer; DiskError. */
export async function verifyDirectory(path: string, options: VerifyOptions): Promise<Verification> {
  const verifier = new Verifier(path, options);
  await verifier.run();
  return verifier;
}

class Verifier implements Verification {
  readonly #path: string;
  readonly #options: VerifyOptions;
  readonly parts: Part[] = [];
  readonly notes: string[] = [];
  readonly damages: Damage[] = [];

  constructor(path: string, options: VerifyOptions) {
    this.#path = path;
    this.#options = options;
  }

  get subject(): string {
    return this.#path;
  }

  async run(): Promise<void> {
    const cluster = this.#identity();
    const { log, tables } = await hold(this.#path, this.#options);
    try {
      if (tables.unreadable !== undefined) this.#corrupt(tables.unreadable);
      this.#checkTables(tables);
      if (!this.#concerns(tables.directory)) {
        this.#checkAll(tables, log, cluster);
        return;
      }
      this.#checkLog(log, cluster, tables, () => undefined);
      this.notes.push("rows were not held against each other, because the tables are damaged");
    } finally {
      log.close();
      tables.close();
    }
  }

  /** The cluster's id; undefined when that file is damaged. */
  #identity(): bigint | undefined {
    const { disk, mayBeHalf } = this.#options;
    const identity = this.#readable(() => identityIn(disk, this.#path, mayBeHalf));
    this.#readable(() => readBond(disk, this.#path));
    return identity?.clusterId;
  }

  /** What `read` returns; undefined when that is damaged. */
  #readable<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#corrupt(error);
      return undefined;
    }
  }

  #checkTables(tables: HeldTables<Checkpoint>): void {
    const infos = tablesIn(tables.manifest);
    for (const { error, info, path } of tables.unopened) {
      const offset = error instanceof CorruptionError ? error.offset : undefined;
      this.#damage(path, offset, error.what, rowsText(info.first, info.last));
    }
    for (const { first, last, offset, path, what } of tables.check(schemaOf(() => -1))) {
      this.#damage(path, offset, what, rowsText(first, last));
    }
    const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);
    this.parts.push({
      name: "tables",
      counts: {
        files: infos.length,
        bytes: sum(infos.map(({ bytes }) => bytes)) + tables.manifestBytes,
        rows: sum(infos.map(({ rows }) => rows)),
      },
    });
  }

  /** Steps 4 to 6, on tables that are whole. */
  #checkAll(tables: HeldTables<Checkpoint>, log: HeldLog, cluster: bigint | undefined): void {
    const rows = tables.rows(
      schemaOf(() => -1),
      this.#options.cacheBytesMax,
    );
    const { position: checkpoint } = tables.manifest;
    const store = storeOver(rows, checkpoint);
    let next = (checkpoint?.index ?? 0) + 1;
    const apply = (entry: Entry) => {
      if (entry.index !== next) return undefined;
      next++;
      const what = refusal(() => store.apply(entry));
      if (what !== undefined) next = Number.NaN;
      return what;
    };
    if (!this.#checkLog(log, cluster, tables, apply)) {
      this.notes.push("rows were not held against each other, because the log is damaged");
      return;
    }
    const agree = (entry: Entry) => {
      const { index } = entry;
      return index < next && index <= (checkpoint?.index ?? 0)
        ? checkEntry(entry, rows, store.floor)
        : undefined;
    };
    const again = new LogCheck(log, { cluster, applied: positionOf(checkpoint), visit: agree });
    again.run();
    this.#takeLog(again);
    this.#checkRows(store, rows, tables.directory);
  }

  /** Returns whether the log is whole. */
  #checkLog(
    log: HeldLog,
    cluster: bigint | undefined,
    tables: HeldTables<Checkpoint>,
    visit: (entry: Entry) => string | undefined,
  ): boolean {
    const isKnown = tables.unreadable === undefined;
    const applied = isKnown ? positionOf(tables.manifest.position) : undefined;
    const check = new LogCheck(log, { cluster, applied, visit });
    check.run();
    this.#takeLog(check);
    const { entries, frames, tornBytes } = check;
    this.parts.push({
      name: "log",
      counts: { files: log.names.length, bytes: log.bytes, frames, entries },
    });
    if (tornBytes > 0) {
      this.notes.push(
        `the log ends with ${tornBytes} bytes of an append that was interrupted, or is under way`,
      );
    }
    return check.damages.length === 0;
  }

  #takeLog({ damages }: LogCheck): void {
    for (const { first, last, offset, path, what } of damages) {
      this.#damage(path, offset, what, entriesText(first, last));
    }
  }

  #checkRows(store: Store, rows: HeldRows, directory: string): void {
    let keys = 0;
    // The tables were whole a moment ago, which does not mean that they still are.
    this.#readable(() => {
      const broken = checkStore(store, rows);
      for (const what of broken) this.#damage(directory, undefined, what, undefined);
      const cursor = store.cursor({ key: "\0", end: openEnd }, store.revision);
      while (cursor.next()) keys++;
    });
    const { floor, leases, revision } = store;
    this.parts.push({
      name: "database",
      counts: {
        revision,
        compacted: Math.max(0, floor),
        keys,
        leases: [...leases.all()].length,
      },
    });
  }

  #corrupt({ offset, path, what }: CorruptionError): void {
    this.#damage(path, offset, what, undefined);
  }

  #damage(path: string, offset: number | undefined, what: string, range: string | undefined): void {
    this.damages.push({ path, offset, what, range });
  }

  /** Whether something in this directory is damaged. */
  #concerns(directory: string): boolean {
    return this.damages.some(({ path }) => path.startsWith(`${directory}/`));
  }
}

/** What an assertion says that `work` breaks. */
function refusal(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    return `it cannot be applied: the claim that ${error.message} does not hold`;
  }
}

function rowsText(first: string, last: string): string {
  const [from, to] = [describeRow(first), describeRow(last)];
  return from === to ? from : `${from} to ${to}`;
}

function entriesText(first: number | undefined, last: number | undefined): string | undefined {
  if (first === undefined) return last === undefined ? undefined : `entries up to ${last}`;
  if (first === last) return `entry ${first}`;
  return last === undefined ? `entries from ${first} on` : `entries ${first} to ${last}`;
}
