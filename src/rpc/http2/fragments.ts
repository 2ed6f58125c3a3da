/** A field block in pieces (RFC 9113, section 4.3): HEADERS, then CONTINUATION up to END_HEADERS. */
import { copyOf } from "../../lib/bytes.ts";
import { ConnectionError, errorCodes } from "./error.ts";

/** Frames of a block; a client needs few, as each may carry 16 KiB. */
const fragmentsMax = 64;

/** A block whose end has not come. */
export class OpenBlock {
  readonly stream: number;
  /** Whether the request ends with it. */
  readonly isEnd: boolean;
  readonly #bytesMax: number;
  readonly #fragments: Uint8Array[] = [];
  #bytes = 0;

  /** All fragments together have `bytesMax` bytes at most. */
  constructor(stream: number, isEnd: boolean, bytesMax: number) {
    this.stream = stream;
    this.isEnd = isEnd;
    this.#bytesMax = bytesMax;
  }

  /** Adds bytes[from, to). ConnectionError for a block that does not come to an end. */
  add(bytes: Uint8Array, from: number, to: number): void {
    this.#fragments.push(copyOf(bytes, from, to));
    this.#bytes += to - from;
    if (this.#fragments.length > fragmentsMax || this.#bytes > this.#bytesMax) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, "a header block without an end");
    }
  }

  /** All fragments in one. */
  whole(): Uint8Array {
    return Buffer.concat(this.#fragments);
  }
}
