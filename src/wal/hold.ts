/**
 * The segments of a log, held open as they are at one moment, by somebody who is not its owner and
 * changes nothing. The owner may append, rotate and trim meanwhile: what was appended later is not
 * seen, and a file that is open can be read after its name is gone.
 */
import { type Disk, DiskError, type DiskFile } from "../lib/disk.ts";
import { arrange, refuseForeign, type SegmentName } from "./segment.ts";

/** Times the directory may have changed while its files were opened. */
const attemptsMax = 20;

export class HeldLog {
  readonly directory: string;
  /** In order of their entries. */
  readonly names: readonly SegmentName[];
  readonly #files: ReadonlyMap<string, HeldFile>;

  private constructor(
    directory: string,
    names: readonly SegmentName[],
    files: ReadonlyMap<string, HeldFile>,
  ) {
    this.directory = directory;
    this.names = names;
    this.#files = files;
  }

  /** Opens what is there; a directory that is absent has no segments. ForeignError, DiskError. */
  static open(disk: Disk, directory: string): HeldLog {
    for (let attempt = 1; ; attempt++) {
      const files = new Map<string, HeldFile>();
      try {
        const arranged = arrange(namesIn(disk, directory));
        refuseForeign(directory, arranged);
        for (const { name } of arranged.names) {
          const path = `${directory}/${name}`;
          files.set(path, new HeldFile(disk.open(path)));
        }
        return new HeldLog(directory, arranged.names, files);
      } catch (error) {
        for (const file of files.values()) file.release();
        // It was trimmed, or replaced by its copy, since it was listed.
        if (!isMissing(error) || attempt === attemptsMax) throw error;
      }
    }
  }

  /** The bytes of all segments. */
  get bytes(): number {
    return [...this.#files.values()].reduce((sum, file) => sum + file.size(), 0);
  }

  /** A segment as it was when it was held. Closing it does nothing. */
  open(path: string): DiskFile {
    const file = this.#files.get(path);
    if (file === undefined) throw new DiskError("ENOENT", "open", path);
    return file;
  }

  close(): void {
    for (const file of this.#files.values()) file.release();
  }
}

/** A file that is only read, up to the size it had. */
class HeldFile implements DiskFile {
  readonly path: string;
  readonly #file: DiskFile;
  readonly #size: number;

  constructor(file: DiskFile) {
    this.path = file.path;
    this.#file = file;
    this.#size = file.size();
  }

  size(): number {
    return this.#size;
  }

  read(target: Uint8Array, offset: number): number {
    const left = Math.max(0, this.#size - offset);
    return this.#file.read(target.subarray(0, Math.min(target.length, left)), offset);
  }

  write(): void {
    throw readOnly(this.path);
  }

  writeInBackground(): Promise<void> {
    return Promise.reject(readOnly(this.path));
  }

  sync(): Promise<void> {
    return Promise.reject(readOnly(this.path));
  }

  close(): void {
    // Whoever holds it closes it.
  }

  release(): void {
    this.#file.close();
  }
}

function readOnly(path: string): DiskError {
  return new DiskError("EBADF", "write", path);
}

function namesIn(disk: Disk, directory: string): string[] {
  try {
    return disk.list(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof DiskError && error.code === "ENOENT";
}
