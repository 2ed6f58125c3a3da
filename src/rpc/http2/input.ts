/**
 * Bytes in, frames out. A frame that arrives whole is handed on where it lies; one that is cut is
 * put together first, each byte copied once, however small the pieces.
 */
import { ConnectionError, errorCodes } from "./error.ts";
import { frameHeaderBytes, framePayloadBytesMax, readU31 } from "./frame.ts";

/** Takes frames in order. Its payload is bytes[from, to), which nobody overwrites later. */
export interface FrameReceiver {
  frame(
    type: number,
    flagBits: number,
    stream: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void;
}

export class Input {
  readonly #receiver: FrameReceiver;
  /** The frame that is cut, with room for all of it as soon as its length is known. */
  #cut: Uint8Array | undefined;
  #cutLength = 0;

  constructor(receiver: FrameReceiver) {
    this.#receiver = receiver;
  }

  /** Takes the next bytes. ConnectionError for a frame that is too long. */
  push(bytes: Uint8Array): void {
    let at = this.#cut === undefined ? 0 : this.#complete(bytes);
    while (bytes.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + lengthAt(bytes, at);
      if (end > bytes.length) break;
      this.#hand(bytes, at, end);
      at = end;
    }
    if (at < bytes.length) this.#keep(bytes, at);
  }

  /** Adds to the cut frame what belongs to it, and hands it on once it is whole; how much that was. */
  #complete(bytes: Uint8Array): number {
    let at = 0;
    for (let cut = this.#cut; cut !== undefined && at < bytes.length; ) {
      const taken = Math.min(cut.length - this.#cutLength, bytes.length - at);
      cut.set(bytes.subarray(at, at + taken), this.#cutLength);
      this.#cutLength += taken;
      at += taken;
      if (this.#cutLength < cut.length) break;
      if (cut.length === frameHeaderBytes && lengthAt(cut, 0) > 0) {
        this.#cut = new Uint8Array(frameHeaderBytes + lengthAt(cut, 0));
        this.#cut.set(cut);
        cut = this.#cut;
        continue;
      }
      this.#cut = undefined;
      this.#hand(cut, 0, cut.length);
      break;
    }
    return at;
  }

  #keep(bytes: Uint8Array, at: number): void {
    const length = bytes.length - at;
    const isHeaderThere = length >= frameHeaderBytes;
    this.#cut = new Uint8Array(frameHeaderBytes + (isHeaderThere ? lengthAt(bytes, at) : 0));
    this.#cut.set(bytes.subarray(at));
    this.#cutLength = length;
  }

  #hand(bytes: Uint8Array, at: number, end: number): void {
    this.#receiver.frame(
      bytes[at + 3] as number,
      bytes[at + 4] as number,
      readU31(bytes, at + 5),
      bytes,
      at + frameHeaderBytes,
      end,
    );
  }
}

/** The payload length of the frame whose header begins at `at`. */
function lengthAt(bytes: Uint8Array, at: number): number {
  const length =
    ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  if (length > framePayloadBytesMax) {
    throw new ConnectionError(errorCodes.frameSizeError, `a frame of ${length} bytes`);
  }
  return length;
}
