/**
 * The file of a table that is being made: what is added is gathered in chunks, hashed, and written
 * while the caller goes on. Copying to the page cache is a third of the work of a merge, and it
 * needs no JavaScript.
 */
import { Sha256 } from "../lib/checksum.ts";
import { type Disk, type DiskFile, removeIfThere } from "../lib/disk.ts";

export class Output {
  readonly #disk: Disk;
  readonly #file: DiskFile;
  readonly #chunkBytes: number;
  readonly #hasher = new Sha256();
  /** Chunks that are not being written. */
  readonly #spare: Buffer[] = [];
  #chunk: Buffer;
  #used = 0;
  /** Bytes of the file that left the chunk, and those of them that were synced. */
  #sent = 0;
  #synced = 0;
  /** Settles when all that left the chunk is written. */
  #writing: Promise<void> = Promise.resolve();

  /** Makes the file, which is written in pieces of `chunkBytes`; nothing may be there. DiskError. */
  constructor(disk: Disk, path: string, chunkBytes: number) {
    this.#disk = disk;
    this.#chunkBytes = chunkBytes;
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes);
    this.#file = disk.create(path);
  }

  /** Bytes added. */
  get bytes(): number {
    return this.#sent + this.#used;
  }

  /** Copies bytes in. What goes wrong with writing them is for `settle` or `finish` to tell. */
  add(bytes: Buffer): void {
    let from = 0;
    while (from < bytes.length) {
      const count = bytes.copy(this.#chunk, this.#used, from);
      from += count;
      this.#used += count;
      if (this.#used === this.#chunkBytes) this.#send();
    }
  }

  /**
   * Makes durable what was sent since the last time, if anything was. It will be synced in the end
   * anyway; but the syncs of others, such as the log's, would wait behind the whole table. To be
   * called in the turn of the last `add`. DiskError.
   */
  async settle(): Promise<void> {
    if (this.#sent === this.#synced) return;
    this.#synced = this.#sent;
    await this.#writing;
    await this.#file.sync();
  }

  /** Makes everything durable, gives the file its name, and closes it. DiskError. */
  async finish(nameOf: (hash: string) => string): Promise<{ hash: string; bytes: number }> {
    if (this.#used > 0) this.#send();
    const hash = this.#hasher.digest();
    await this.#writing;
    await this.#file.sync();
    this.#disk.rename(this.#file.path, nameOf(hash));
    this.#file.close();
    return { hash, bytes: this.#sent };
  }

  /** Removes what there is of the file. DiskError. */
  async abandon(): Promise<void> {
    // Why the writes failed has been told; here they must only be over.
    await this.#writing.catch(() => undefined);
    this.#file.close();
    removeIfThere(this.#disk, this.#file.path);
  }

  #send(): void {
    const chunk = this.#chunk;
    const bytes = chunk.subarray(0, this.#used);
    const offset = this.#sent;
    this.#hasher.update(bytes);
    this.#writing = this.#writing.then(async () => {
      await this.#file.writeInBackground(bytes, offset);
      this.#spare.push(chunk);
    });
    this.#sent += bytes.length;
    this.#used = 0;
    this.#chunk = this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#chunkBytes);
  }
}
