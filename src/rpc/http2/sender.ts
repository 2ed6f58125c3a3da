/**
 * The sending half of a connection: frames into the output, DATA within the client's windows.
 *
 *   stream ── write ──► its queue ── window of the stream, of the connection, room ──► Output
 *
 * Streams that wait take turns, a frame each.
 */
import type { HeaderField } from "../hpack/encoder.ts";
import { BlockWriter } from "./blocks.ts";
import { ConnectionError, type ErrorCode, errorCodes } from "./error.ts";
import {
  flags,
  frameHeaderBytes,
  framePayloadBytesMax,
  frameTypes,
  writeFrameHeader,
  writeU32,
} from "./frame.ts";
import type { Output } from "./output.ts";
import {
  defaultSettings,
  initialWindowBytes,
  type PeerSettings,
  windowBytesMax,
} from "./settings.ts";
import type { Stream } from "./stream.ts";

/** DATA waits while the socket has more than this to take. */
const roomBytes = 262_144;
/** What comes on top of it: headers, and answers to frames of a client that takes none. */
const outputBytesMax = 4 * 2 ** 20;

export class Sender {
  readonly #output: Output;
  readonly #overflowed: () => void;
  readonly #blocks = new BlockWriter();
  readonly #waiting = new Set<Stream>();
  /** What the client takes of DATA, in all streams together. */
  #window = initialWindowBytes;
  #peer = defaultSettings;

  /** `overflowed` is called when the client lets more pile up than is kept for it. */
  constructor(output: Output, overflowed: () => void) {
    this.#output = output;
    this.#overflowed = overflowed;
  }

  get peer(): PeerSettings {
    return this.#peer;
  }

  /** What the client says of itself now. ConnectionError when a stream's window overflows. */
  apply(peer: PeerSettings, streams: Iterable<Stream>): void {
    const growth = peer.initialWindowBytes - this.#peer.initialWindowBytes;
    this.#peer = peer;
    this.#blocks.limitTable(peer.headerTableBytes);
    for (const stream of growth === 0 ? [] : streams) {
      if (!stream.widen(growth)) {
        throw new ConnectionError(errorCodes.flowControlError, "a stream's window overflows");
      }
    }
    this.pump();
  }

  /** The client takes `increment` bytes more. ConnectionError when that is more than there may be. */
  widen(increment: number): void {
    this.#window += increment;
    if (this.#window > windowBytesMax) {
      throw new ConnectionError(errorCodes.flowControlError, "the connection's window overflows");
    }
    this.pump();
  }

  /** Sends a header block, in one frame or, where it is large, in several. */
  headers(stream: number, fields: readonly HeaderField[], isEnd: boolean): void {
    const block = this.#blocks.encode(fields);
    let left = block.length;
    let type: number = frameTypes.headers;
    let bits: number = isEnd ? flags.endStream : 0;
    let from = 0;
    do {
      const length = Math.min(left, framePayloadBytesMax);
      left -= length;
      if (left === 0) bits |= flags.endHeaders;
      const at = this.#frame(length, type, bits, stream);
      this.#output.bytes.set(
        from === 0 && left === 0 ? block : block.subarray(from, from + length),
        at,
      );
      from += length;
      type = frameTypes.continuation;
      bits = 0;
    } while (left > 0);
  }

  /** How many of `length` bytes of DATA may be sent now on a stream whose window is `window`. */
  allowance(length: number, window: number): number {
    if (this.#output.length > roomBytes) return 0;
    return Math.max(0, Math.min(length, window, this.#window, framePayloadBytesMax));
  }

  /** Begins a frame of DATA that `allowance` allows; returns where in `bytes` its payload goes. */
  data(stream: number, length: number): number {
    this.#window -= length;
    return this.#frame(length, frameTypes.data, 0, stream);
  }

  /** Where a frame is written; see `data`. */
  get bytes(): Uint8Array {
    return this.#output.bytes;
  }

  /** Calls `stream.pump` when it may send. */
  wait(stream: Stream): void {
    this.#waiting.add(stream);
  }

  /** `stream` is over. */
  forget(stream: Stream): void {
    this.#waiting.delete(stream);
  }

  /** Lets the streams that wait send, in turn, until nothing may be sent. */
  pump(): void {
    while (this.#waiting.size > 0 && this.#window > 0 && this.#output.length <= roomBytes) {
      const [stream] = this.#waiting;
      if (stream === undefined) return;
      this.#waiting.delete(stream);
      // It waits again, behind the others, if it has more and may send more.
      stream.pump();
    }
  }

  settings(payload: Uint8Array): void {
    const at = this.#frame(payload.length, frameTypes.settings, 0, 0);
    this.#output.bytes.set(payload, at);
  }

  acknowledgeSettings(): void {
    this.#frame(0, frameTypes.settings, flags.acknowledge, 0);
  }

  ping(bytes: Uint8Array, isAnswer: boolean): void {
    const at = this.#frame(8, frameTypes.ping, isAnswer ? flags.acknowledge : 0, 0);
    this.#output.bytes.set(bytes, at);
  }

  reset(stream: number, code: ErrorCode): void {
    const at = this.#frame(4, frameTypes.resetStream, 0, stream);
    writeU32(this.#output.bytes, at, code);
  }

  /** The client may send `increment` bytes more; on the whole connection if `stream` is 0. */
  windowUpdate(stream: number, increment: number): void {
    const at = this.#frame(4, frameTypes.windowUpdate, 0, stream);
    writeU32(this.#output.bytes, at, increment);
  }

  goAway(lastStream: number, code: ErrorCode, text: string): void {
    const debug = new TextEncoder().encode(text);
    const at = this.#frame(8 + debug.length, frameTypes.goAway, 0, 0);
    const { bytes } = this.#output;
    bytes.set(debug, writeU32(bytes, writeU32(bytes, at, lastStream), code));
  }

  #frame(length: number, type: number, bits: number, stream: number): number {
    if (this.#output.length > outputBytesMax) this.#overflowed();
    const at = this.#output.reserve(frameHeaderBytes + length);
    return writeFrameHeader(this.#output.bytes, at, length, type, bits, stream);
  }
}
