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
const bytesPerUpdate = 2048;
const updatesPerFrame = 2;

export class Sender {
  readonly #output: Output;
  readonly #overflowed: () => void;
  readonly #blocks = new BlockWriter();
  readonly #waiting = new Set<Stream>();
  /** What the client takes of DATA, in all streams together. */
  #window = initialWindowBytes;
  #peer = defaultSettings;
  #isFrozen = false;
  /** Frames of HEADERS and DATA sent. */
  sent = 0;
  /**
   * Frames that a client is expected to send for the DATA it got: a WINDOW_UPDATE for every few
   * kilobytes, or two for each frame; but none for a frame that is short because its window is.
   */
  expected = 0;

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
    this.#block(stream, this.#blocks.encode(fields), isEnd);
  }

  /** Sends a whole response whose body `allowance` allows, with one look for room. */
  answer(
    stream: number,
    head: readonly HeaderField[],
    body: Uint8Array,
    trailers: readonly HeaderField[],
  ): void {
    const first = this.#blocks.encode(head);
    const last = this.#blocks.encode(trailers);
    if (Math.max(first.length, last.length) > framePayloadBytesMax) {
      this.#block(stream, first, false);
      this.data(stream, body, 0, body.length);
      this.#block(stream, last, true);
      return;
    }
    const lengths = first.length + body.length + last.length;
    const { endHeaders, endStream } = flags;
    let at = this.#reserve(3 * frameHeaderBytes + lengths);
    const out = this.#output.bytes;
    at = writeFrameHeader(out, at, first.length, frameTypes.headers, endHeaders, stream);
    at = copy(out, at, first);
    at = writeFrameHeader(out, at, body.length, frameTypes.data, 0, stream);
    at = copy(out, at, body);
    const ends = endHeaders | endStream;
    at = writeFrameHeader(out, at, last.length, frameTypes.headers, ends, stream);
    copy(out, at, last);
    this.#window -= body.length;
    this.expected += updatesPerFrame + body.length / bytesPerUpdate;
    this.sent += 3;
  }

  /** How many of `length` bytes of DATA may be sent now on a stream whose window is `window`. */
  allowance(length: number, window: number): number {
    if (this.#output.length > roomBytes) return 0;
    return Math.max(0, Math.min(length, window, this.#window, framePayloadBytesMax));
  }

  /** Sends bytes[from, to) as a frame of DATA; as many as `allowance` allows. */
  data(stream: number, bytes: Uint8Array, from: number, to: number): void {
    this.#window -= to - from;
    this.expected += (to - from) / bytesPerUpdate;
    if (to === bytes.length) this.expected += updatesPerFrame;
    this.sent++;
    const at = this.#frame(to - from, frameTypes.data, 0, stream);
    const isAll = from === 0 && to === bytes.length;
    copy(this.#output.bytes, at, isAll ? bytes : bytes.subarray(from, to));
  }

  /** Calls `stream.pump` when it may send: soon, if it may now. */
  wait(stream: Stream): void {
    this.#waiting.add(stream);
    this.#output.soon();
  }

  /** The client sends nothing more, so that no window grows. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** Whether so many bytes can never be sent on a stream whose window is `window`. */
  isHopeless(bytes: number, window: number): boolean {
    return this.#isFrozen && bytes > Math.min(window, this.#window);
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
    if (!this.#isFrozen || this.#window > 0) return;
    for (const stream of [...this.#waiting]) stream.giveUpIfHopeless();
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

  #block(stream: number, block: Uint8Array, isEnd: boolean): void {
    let type: number = frameTypes.headers;
    let bits: number = isEnd ? flags.endStream : 0;
    let from = 0;
    this.sent++;
    do {
      const to = Math.min(block.length, from + framePayloadBytesMax);
      if (to === block.length) bits |= flags.endHeaders;
      const at = this.#frame(to - from, type, bits, stream);
      copy(this.#output.bytes, at, block.subarray(from, to));
      from = to;
      type = frameTypes.continuation;
      bits = 0;
    } while (from < block.length);
  }

  #frame(length: number, type: number, bits: number, stream: number): number {
    const at = this.#reserve(frameHeaderBytes + length);
    return writeFrameHeader(this.#output.bytes, at, length, type, bits, stream);
  }

  #reserve(length: number): number {
    if (this.#output.length > outputBytesMax) this.#overflowed();
    return this.#output.reserve(length);
  }
}

/** For so few bytes a loop is faster than a call out of JavaScript. */
const loopBytesMax = 48;

/** Copies all of `bytes` to `at`; returns where they end. */
function copy(out: Uint8Array, at: number, bytes: Uint8Array): number {
  const { length } = bytes;
  if (length > loopBytesMax) out.set(bytes, at);
  else for (let index = 0; index < length; index++) out[at + index] = bytes[index] as number;
  return at + length;
}
