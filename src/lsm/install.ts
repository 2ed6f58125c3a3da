/**
 * Puts the tables of another directory into this one, so that a tree can be opened on them:
 *
 *   1 tables     each held against its name, written under a temporary name, synced, renamed
 *   2 directory  synced: the names of all tables are durable
 *   3 manifest   replaces the one there is, as every change of the live set does (live.ts)
 *
 * Until step 3 the directory is what it was before; what a crash leaves of step 1 is taken up by the
 * next installation, or removed when a tree is opened. No tree may be open on the directory.
 */
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError } from "../lib/corruption.ts";
import {
  type Disk,
  ensureDirectory,
  readWhole,
  removeIfThere,
  replaceWhole,
  temporarySuffix,
} from "../lib/disk.ts";
import { decodeManifest, type Manifest, manifestName, tablesIn } from "./manifest.ts";
import { tablePath, tableSuffix } from "./table.ts";

export class Installation {
  readonly #disk: Disk;
  readonly #directory: string;

  private constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Begins an installation in `directory`, which is made when absent. DiskError. */
  static async begin(disk: Disk, directory: string): Promise<Installation> {
    await ensureDirectory(disk, directory);
    return new Installation(disk, directory);
  }

  /** Whether the table is there already: what is there is read and held against its name. */
  has(hash: string): boolean {
    const bytes = readWhole(this.#disk, tablePath(this.#directory, hash));
    return bytes !== undefined && sha256(bytes) === hash;
  }

  /** Takes a table. CorruptionError when the bytes, which came from `origin`, are not its. DiskError. */
  async add(hash: string, bytes: Uint8Array, origin: string): Promise<void> {
    if (sha256(bytes) !== hash) {
      throw new CorruptionError(origin, 0, `its bytes are not those of table ${hash}`);
    }
    const path = tablePath(this.#directory, hash);
    const temporary = `${path}${temporarySuffix}`;
    removeIfThere(this.#disk, temporary);
    const file = this.#disk.create(temporary);
    try {
      await file.writeInBackground(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
    this.#disk.rename(temporary, path);
  }

  /**
   * Makes the tables of a manifest, found at `origin`, the ones that a tree opens. All must be there.
   * CorruptionError, ForeignError, DiskError.
   */
  async finish<P>(bytes: Buffer, origin: string): Promise<Manifest<P>> {
    const manifest = decodeManifest<P>(origin, bytes);
    const names = new Set(this.#disk.list(this.#directory));
    for (const { hash } of tablesIn(manifest)) {
      if (names.has(`${hash}${tableSuffix}`)) continue;
      throw new CorruptionError(origin, 0, `it names table ${hash}, which was not given`);
    }
    await this.#disk.syncDirectory(this.#directory);
    await replaceWhole(this.#disk, `${this.#directory}/${manifestName}`, bytes);
    return manifest;
  }
}
