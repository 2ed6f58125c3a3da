/**
 * The live set: the runs that reads go to, and the manifest that names them. It changes in this
 * order, one change at a time; a crash between any two steps leaves a manifest whose tables are all
 * there:
 *
 *   1 new tables     content and names durable, before they come here
 *   2 manifest       written beside the old one, synced, renamed, directory synced
 *   3 reads          go to the new runs
 *   4 old tables     removed; what a crash leaves of them is removed at the next opening
 */
import { assert, must } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import {
  type Disk,
  DiskError,
  ensureDirectory,
  readWhole,
  removeIfThere,
  replaceWhole,
  temporarySuffix,
} from "../lib/disk.ts";
import type { Lane } from "./lane.ts";
import { decodeManifest, encodeManifest, type Manifest, manifestName } from "./manifest.ts";
import { bothOf, type Lanes, Run } from "./run.ts";
import { Table, tablePath, tableSuffix } from "./table.ts";
import type { TableInfo } from "./tree.ts";

export interface LiveOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  /** Told how many of the tables are open, while they are being opened. */
  onOpening?(done: number, total: number): void;
  /** Called right after reads go to other runs. */
  readonly changed: (gone: readonly Table[]) => void;
}

/** One change of the live set. */
export interface Change<P> {
  /** Runs that go; neighbours. With none, the outputs become the newest run. */
  readonly inputs: readonly Run[];
  /** Tables that take their place; with none, nothing does. */
  readonly outputs: Lanes<TableInfo>;
  /** The durable position from now on; absent: as it was. */
  readonly position?: P;
}

export class Live<P> {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #clock: Clock;
  /** Called right after reads go to other runs. */
  readonly #changed: (gone: readonly Table[]) => void;
  #runs: readonly Run[];
  #durable: P | undefined;
  /** Hashes of tables that are not live and may still have a file. */
  readonly #doomed = new Set<string>();
  /** How many captures need the file of a table, by its hash. */
  readonly #held = new Map<string, number>();
  /** Settles when the change that is under way is done. */
  #last: Promise<void> = Promise.resolve();

  private constructor(options: LiveOptions, manifest: Manifest<P>, runs: readonly Run[]) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#clock = options.clock;
    this.#changed = options.changed;
    this.#durable = manifest.position;
    this.#runs = runs;
  }

  /**
   * Opens what the manifest in the directory names, or makes an empty manifest, and removes files
   * that no manifest names any more. CorruptionError, ForeignError, DiskError.
   */
  static async open<P>(options: LiveOptions): Promise<Live<P>> {
    const { directory, disk } = options;
    await ensureDirectory(disk, directory);
    const path = `${directory}/${manifestName}`;
    const bytes = readWhole(disk, path);
    if (bytes === undefined) {
      const table = disk.list(directory).find((name) => name.endsWith(tableSuffix));
      if (table !== undefined) {
        throw new CorruptionError(path, 0, `there are tables (${table}) and no manifest`);
      }
      await replaceWhole(disk, path, encodeManifest({ position: undefined, runs: [] }));
    }
    const manifest: Manifest<P> =
      bytes === undefined ? { position: undefined, runs: [] } : decodeManifest(path, bytes);
    const live = new Live(options, manifest, await openRuns(options, manifest.runs));
    try {
      // The manifest may have been renamed by a process that died before it synced the directory.
      await disk.syncDirectory(directory);
      for (const name of live.orphans()) disk.remove(`${directory}/${name}`);
    } catch (error) {
      live.close();
      throw error;
    }
    return live;
  }

  /** Newest first. */
  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** The position that the tables hold everything up to; undefined before the first flush. */
  get durable(): P | undefined {
    return this.#durable;
  }

  get tables(): TableInfo[] {
    return this.#runs.flatMap((run) => run.tables.map(({ info }) => info));
  }

  /** What the manifest on the disk should say. */
  get manifest(): Manifest<P> {
    return manifestOf(this.#durable, this.#runs);
  }

  /** Names of files in the directory that are a table's or half-made, and nobody's. */
  orphans(): string[] {
    const hashes = [...this.tables.map(({ hash }) => hash), ...this.#doomed];
    const live = new Set(hashes.map((hash) => `${hash}${tableSuffix}`));
    return this.#disk
      .list(this.#directory)
      .filter((name) => name.endsWith(tableSuffix) || name.endsWith(temporarySuffix))
      .filter((name) => !live.has(name));
  }

  /**
   * Makes a change, durably, after those that are under way; the outputs are its own from now on.
   * DiskError: nothing has changed, nothing will have after a crash, and the outputs are removed.
   * Any other error: it is not known which of the two manifests a crash would leave.
   */
  async replace(change: Change<P>): Promise<void> {
    const made: Table[] = [];
    const outputs = bothOf(change.outputs);
    try {
      for (const info of outputs) {
        made.push(Table.open(this.#disk, this.#directory, info));
        await this.#clock.yield();
      }
      await this.turn(() => this.#publish(change, made));
    } catch (error) {
      for (const table of made) table.close();
      if (error instanceof DiskError) await this.#remove(outputs);
      throw error;
    }
    const gone = change.inputs.flatMap((run) => run.tables);
    for (const table of gone) table.close();
    await this.#remove(gone.map(({ info }) => info));
  }

  /** Runs `work` after the changes that are under way; none begins before it is done. */
  turn<T>(work: () => Promise<T> | T): Promise<T> {
    const done = this.#last.then(work);
    const next = () => undefined;
    // Whoever is next is not concerned by a failure: the caller is told.
    this.#last = done.then(next, next);
    return done;
  }

  /** Keeps the files of the tables that are live now, until the release that it returns. */
  hold(): () => Promise<void> {
    const hashes = this.tables.map(({ hash }) => hash);
    for (const hash of hashes) this.#held.set(hash, (this.#held.get(hash) ?? 0) + 1);
    return async () => {
      for (const hash of hashes) {
        const count = must(this.#held.get(hash), "a table is released once") - 1;
        if (count > 0) this.#held.set(hash, count);
        else this.#held.delete(hash);
      }
      await this.sweep();
    };
  }

  /**
   * Removes what could not be removed before: it was held, or the disk was full, which stops some
   * file systems. DiskError.
   */
  async sweep(): Promise<void> {
    for (const hash of this.#doomed) {
      if (this.#held.has(hash)) continue;
      // The same bytes have the same name: a live table may have it again.
      const isLive = this.tables.some((table) => table.hash === hash);
      if (!isLive) removeIfThere(this.#disk, tablePath(this.#directory, hash));
      this.#doomed.delete(hash);
      await this.#clock.yield();
    }
  }

  /** Closes the files. */
  close(): void {
    for (const run of this.#runs) for (const table of run.tables) table.close();
  }

  /** Steps 2 and 3: the tables of `made` are the change's outputs. */
  async #publish(change: Change<P>, made: readonly Table[]): Promise<void> {
    if (this.#isNothing(change)) return;
    const { inputs } = change;
    const at = inputs[0] === undefined ? 0 : this.#runs.indexOf(inputs[0]);
    assert(
      inputs.every((run, offset) => this.#runs[at + offset] === run),
      "the runs of a merge are neighbours",
    );
    const { length } = change.outputs.fronts;
    const lanes = { fronts: made.slice(0, length), rest: made.slice(length) };
    const between = made.length === 0 ? [] : [new Run(lanes)];
    const runs = this.#runs.toSpliced(at, inputs.length, ...between);
    const durable = "position" in change ? change.position : this.#durable;
    await this.#writeManifest(encodeManifest(manifestOf(durable, runs)));
    this.#runs = runs;
    this.#durable = durable;
    this.#changed(inputs.flatMap((run) => run.tables));
  }

  /** Step 4, of tables that are closed. */
  async #remove(tables: readonly TableInfo[]): Promise<void> {
    if (tables.length === 0) return;
    for (const { hash } of tables) this.#doomed.add(hash);
    await this.sweep();
  }

  #isNothing({ inputs, outputs, position }: Change<P>): boolean {
    if (inputs.length > 0 || bothOf(outputs).length > 0) return false;
    return JSON.stringify(position) === JSON.stringify(this.#durable);
  }

  async #writeManifest(bytes: Buffer): Promise<void> {
    const path = `${this.#directory}/${manifestName}`;
    try {
      await replaceWhole(this.#disk, path, bytes);
    } catch (error) {
      if (this.#isKept(path, bytes)) throw error;
      throw new Error(`${path} was replaced, but maybe not durably`, { cause: error });
    }
  }

  /** Whether the manifest that `bytes` were to replace is certainly there. */
  #isKept(path: string, bytes: Buffer): boolean {
    try {
      return !must(readWhole(this.#disk, path), "a manifest stays").equals(bytes);
    } catch (error) {
      if (error instanceof DiskError) return false;
      throw error;
    }
  }
}

function manifestOf<P>(position: P | undefined, runs: readonly Run[]): Manifest<P> {
  const infos = ({ tables }: Lane) => tables.map(({ info }) => info);
  return {
    position,
    runs: runs.map(({ fronts, rest }) => ({ fronts: infos(fronts), rest: infos(rest) })),
  };
}

/** Opens the tables of all runs; closes them again when one cannot be opened. */
async function openRuns(
  options: LiveOptions,
  runs: Manifest<unknown>["runs"],
): Promise<readonly Run[]> {
  const { clock, directory, disk } = options;
  const opened: Table[] = [];
  const all = runs.flatMap(bothOf);
  try {
    for (const info of all) {
      opened.push(Table.open(disk, directory, info));
      options.onOpening?.(opened.length, all.length);
      await clock.yield();
    }
  } catch (error) {
    for (const table of opened) table.close();
    throw error;
  }
  return runs.map(({ fronts, rest }) => {
    const take = (infos: readonly TableInfo[]) => opened.splice(0, infos.length);
    return new Run({ fronts: take(fronts), rest: take(rest) });
  });
}
