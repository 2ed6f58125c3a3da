/**
 * Room for the next segment: a file of zeros, durable, made in the background while the segment
 * before it fills up. What is written into room that is there already needs one write of the device
 * to be durable; what makes a file longer needs two or three, one after the other, because the file
 * system notes new blocks and the length too. Allocating blocks without writing them (fallocate)
 * saves little of that. So each byte of a busy log is written twice, and a sync takes half the time.
 *
 *   active  |#############> 0 0 0|            half full: the next one is begun
 *   spare   |0 0 0 0 0 0 0 > . . .|  longer; becomes active by a header, a sync and a rename
 *
 * A log that is hardly written to has no spare: there is none before a segment is
 * worth it (LogLimits.spareFromBytes).
 */
import { type Disk, type DiskFile, isFull, removeIfThere, temporarySuffix } from "../lib/disk.ts";
import type { Logger } from "../lib/logger.ts";
import { segmentSuffix } from "./segment.ts";

/** Written at once, and between two syncs: those of the log wait no longer than for one of these. */
const pieceBytes = 2 ** 18;
/** Only where so many of them would fit is one made: what is left is for entries. */
const freeMin = 16;

const zeros = Buffer.alloc(pieceBytes);

/** A file of zeros, with its name durable or not. */
export interface Room {
  readonly file: DiskFile;
  readonly bytes: number;
}

export class Spare {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #logger: Logger;
  #ready: Room | undefined;
  #filling: Promise<void> | undefined;
  /** It could not be made: not tried again before the next segment. */
  #isGivenUp = false;
  #isClosed = false;

  constructor(options: { disk: Disk; directory: string; logger: Logger }) {
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#logger = options.logger;
  }

  /** The name of the file, until it is a segment's. A start removes one that it finds. */
  get path(): string {
    return `${this.#directory}/spare${segmentSuffix}${temporarySuffix}`;
  }

  get isReady(): boolean {
    return this.#ready !== undefined;
  }

  /** Begins to make one of `bytes`, unless one is there or being made, or could not be. */
  prepare(bytes: number): void {
    if (this.#ready || this.#filling || this.#isGivenUp || this.#isClosed) return;
    this.#filling = this.#make(bytes).finally(() => {
      this.#filling = undefined;
    });
  }

  /** The room, if it is ready, for the caller to rename and to close. */
  take(): Room | undefined {
    const room = this.#ready;
    this.#ready = undefined;
    this.#isGivenUp = false;
    return room;
  }

  /** Ends what is being made, and removes the file. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#filling;
    const room = this.take();
    if (room !== undefined) this.#abandon(room.file);
  }

  async #make(bytes: number): Promise<void> {
    let file: DiskFile | undefined;
    try {
      if (this.#disk.freeBytes(this.#directory) < bytes * freeMin) return this.#giveUp();
      removeIfThere(this.#disk, this.path);
      file = this.#disk.create(this.path);
      for (let at = 0; at < bytes && !this.#isClosed; at += pieceBytes) {
        await file.writeInBackground(zeros.subarray(0, Math.min(pieceBytes, bytes - at)), at);
        await file.sync();
      }
      if (this.#isClosed) this.#abandon(file);
      else this.#ready = { file, bytes };
    } catch (error) {
      this.#giveUp(error);
      if (file !== undefined) this.#abandon(file);
    }
  }

  /** Without room the log is slower, not worse; where the disk is broken, its own sync will tell. */
  #giveUp(error?: unknown): void {
    this.#isGivenUp = true;
    if (error === undefined || isFull(error)) return;
    this.#logger.warn("no room was made for the next log file", { path: this.path, error });
  }

  #abandon(file: DiskFile): void {
    try {
      file.close();
      removeIfThere(this.#disk, this.path);
    } catch (error) {
      this.#giveUp(error);
    }
  }
}
