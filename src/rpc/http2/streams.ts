/**
 * The streams of a connection, and the frames that are about one: HEADERS and CONTINUATION open
 * them, DATA fills them, RST_STREAM and WINDOW_UPDATE steer them (RFC 9113, sections 5 and 6).
 */
import type { Clock } from "../../lib/clock.ts";
import { BlockReader } from "./blocks.ts";
import { type Calm, costOfCall } from "./calm.ts";
import { ConnectionError, type ErrorCode, errorCodes, StreamError } from "./error.ts";
import { OpenBlock } from "./fragments.ts";
import { flags, readU31 } from "./frame.ts";
import { checkTrailers, type Request, requestOf } from "./request.ts";
import type { Sender } from "./sender.ts";
import { initialWindowBytes, type OwnSettings } from "./settings.ts";
import { Stream, type StreamOwner, type StreamReceiver } from "./stream.ts";

/** Who answers requests. `Head` is what it makes of a request before it knows the body. */
export interface Application<Head> {
  /** Reads a request; what it returns may be used again for one that is the same. */
  read(request: Request): Head;
  /** Takes a request. Its body and its end are told to what this returns. */
  open(stream: Stream, head: Head): StreamReceiver;
  /** Refuses a request whose header fields are larger than is taken. */
  refuseLarge(stream: Stream): void;
  /** Bytes that wait for the client, more or fewer. */
  queued(bytes: number): void;
}

export interface StreamsOptions<Head> {
  readonly application: Application<Head>;
  readonly calm: Calm;
  readonly clock: Clock;
  readonly sender: Sender;
  readonly settings: OwnSettings;
  /** Called when a stream is gone. */
  readonly closed: () => void;
}

/** What the client may send on the whole connection before it hears from us. */
const connectionWindowBytes = 16 * 2 ** 20;
/** Streams that were reset here and may still be sent to: as many are remembered. */
const resetsKept = 1000;
const skipsKept = 16;
/** Frames that a client sends around a call, besides those that are the call. */
const framesPerAnswer = 4;

/** What a header block that begins a stream means. */
interface Begun<Head> {
  readonly head: Head;
  readonly contentLength: number | undefined;
}

export class Streams<Head> implements StreamOwner {
  readonly sender: Sender;
  readonly #options: StreamsOptions<Head>;
  readonly #blocks: BlockReader<Begun<Head>>;
  readonly #open = new Map<number, Stream>();
  /** Those that were reset here: what still comes for them is nobody's fault. */
  readonly #resets = new Set<number>();
  /** Those that were passed over: the newest few ranges. */
  readonly #skipped: [from: number, to: number][] = [];
  /** How much of what the sender expects has been credited. */
  #thanked = 0;
  #newest = 0;
  /** The newest that came too late to be taken. */
  #tooLate = 0;
  /** Streams above are not taken any more. */
  #last = Number.POSITIVE_INFINITY;
  #window = initialWindowBytes;
  #owed = connectionWindowBytes - initialWindowBytes;
  #block: OpenBlock | undefined;

  constructor(options: StreamsOptions<Head>) {
    const { application, sender, settings } = options;
    this.#options = options;
    this.sender = sender;
    this.#blocks = new BlockReader(settings.headerListBytesMax, (fields) => {
      const request = requestOf(fields);
      return { head: application.read(request), contentLength: request.contentLength };
    });
  }

  get size(): number {
    return this.#open.size;
  }

  /** The newest stream that was begun; 0 before the first. */
  get newest(): number {
    return this.#newest;
  }

  /** Whether a header block has begun: only CONTINUATION may come. */
  get expectsContinuation(): boolean {
    return this.#block !== undefined;
  }

  all(): Iterable<Stream> {
    return this.#open.values();
  }

  /** Takes no stream after the newest. */
  seal(): void {
    this.#last = this.#newest;
  }

  /** Lets the client send on as much as it has sent, now and then. */
  thank(): void {
    if (this.#owed < connectionWindowBytes / 2) return;
    this.sender.windowUpdate(0, this.#owed);
    this.#window += this.#owed;
    this.#owed = 0;
  }

  /** The connection is gone. */
  abandon(): void {
    for (const stream of [...this.#open.values()]) this.#remove(stream, true);
  }

  /** The client sends nothing more: streams that need more from it are ended. */
  freeze(): void {
    this.seal();
    this.sender.freeze();
    for (const stream of [...this.#open.values()]) {
      if (stream.isRemoteEnded) stream.giveUpIfHopeless();
      else this.#remove(stream, true);
    }
  }

  data(bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id === 0) throw protocolError("DATA on stream 0");
    const length = to - from;
    this.#window -= length;
    this.#owed += length;
    if (this.#window < 0) throw flowControlError("more DATA than the connection's window");
    const begin = (bits & flags.padded) === 0 ? from : from + 1;
    const end = begin === from ? to : to - paddingAt(bytes, from, to);
    const isEnd = (bits & flags.endStream) !== 0;
    if (begin === end && !isEnd) this.#options.calm.spend(1, "empty DATA");
    const stream = this.#open.get(id);
    if (stream === undefined) this.#onClosed(id, "DATA");
    else this.#body(stream, bytes, begin, end, length, isEnd);
  }

  #body(
    stream: Stream,
    bytes: Uint8Array,
    begin: number,
    end: number,
    length: number,
    isEnd: boolean,
  ): void {
    try {
      if (stream.isRemoteEnded)
        throw new StreamError(errorCodes.streamClosed, "DATA after the end");
      stream.receive(length, end - begin, isEnd);
    } catch (error) {
      this.#blame(stream, error);
      return;
    }
    // Padding is of no concern to anybody.
    if (length > end - begin) stream.restore(length - (end - begin));
    if (end > begin) stream.receiver.data(bytes, begin, end);
    if (isEnd && !stream.isLocalEnded) stream.receiver.halfClosed();
  }

  headers(bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id === 0) throw protocolError("HEADERS on stream 0");
    if ((id & 1) === 0) throw protocolError("HEADERS on a stream of the server's");
    let begin = from;
    let end = to;
    if ((bits & flags.padded) !== 0) {
      end -= paddingAt(bytes, from, to);
      begin++;
    }
    if ((bits & flags.priority) !== 0) {
      if (end - begin < 5) throw frameSizeError("HEADERS with half a priority");
      if (readU31(bytes, begin) === id) throw protocolError("a stream that depends on itself");
      begin += 5;
    }
    const isEnd = (bits & flags.endStream) !== 0;
    if ((bits & flags.endHeaders) !== 0) this.#complete(id, isEnd, bytes, begin, end);
    else {
      this.#block = new OpenBlock(id, isEnd, 2 * this.#options.settings.headerListBytesMax);
      this.#block.add(bytes, begin, end);
    }
  }

  continuation(bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    const block = this.#block;
    if (block === undefined || block.stream !== id) {
      throw protocolError("CONTINUATION of nothing");
    }
    block.add(bytes, from, to);
    if ((bits & flags.endHeaders) === 0) return;
    this.#block = undefined;
    const whole = block.whole();
    this.#complete(id, block.isEnd, whole, 0, whole.length);
  }

  resetStream(id: number, length: number): void {
    if (length !== 4) throw frameSizeError("RST_STREAM of another length than 4");
    if (id === 0 || this.#isIdle(id)) throw protocolError("RST_STREAM on no stream");
    this.#options.calm.spend(costOfCall, "resets");
    const stream = this.#open.get(id);
    if (stream !== undefined) this.#remove(stream, true);
  }

  windowUpdate(id: number, bytes: Uint8Array, from: number, to: number): void {
    if (to - from !== 4) throw frameSizeError("WINDOW_UPDATE of another length than 4");
    const increment = readU31(bytes, from);
    const { expected } = this.sender;
    this.#options.calm.earn(expected - this.#thanked);
    this.#thanked = expected;
    this.#options.calm.spend(1, "window updates");
    if (id === 0) {
      if (increment === 0) throw protocolError("WINDOW_UPDATE by 0");
      this.sender.widen(increment);
      return;
    }
    if (this.#isIdle(id)) throw protocolError("WINDOW_UPDATE on no stream");
    const stream = this.#open.get(id);
    if (stream === undefined) return;
    this.#guard(stream, () => {
      if (increment === 0) throw new StreamError(errorCodes.protocolError, "WINDOW_UPDATE by 0");
      if (!stream.widen(increment)) {
        throw new StreamError(errorCodes.flowControlError, "the stream's window overflows");
      }
    });
    this.sender.pump();
  }

  // What streams ask for.

  close(stream: Stream, code: ErrorCode | undefined): void {
    if (code === undefined || code === errorCodes.noError) this.#options.calm.earn(framesPerAnswer);
    if (code !== undefined) this.#reset(stream.id, code);
    this.#remove(stream, code !== undefined && code !== errorCodes.noError);
  }

  queued(bytes: number): void {
    this.#options.application.queued(bytes);
  }

  // Streams begin and end.

  #complete(id: number, isEnd: boolean, bytes: Uint8Array, from: number, to: number): void {
    const stream = this.#open.get(id);
    if (stream !== undefined) this.#trailers(stream, isEnd, bytes, from, to);
    else if (id > this.#newest) this.#begin(id, isEnd, bytes, from, to);
    else {
      // The compression state is everybody's: it is kept right whatever becomes of the block.
      this.#blocks.fieldsOf(bytes, from, to);
      this.#onClosed(id, "HEADERS");
    }
  }

  #begin(id: number, isEnd: boolean, bytes: Uint8Array, from: number, to: number): void {
    if (id > this.#last) {
      this.#tooLate = Math.max(this.#tooLate, id);
      this.#options.calm.spend(costOfCall, "streams after the last");
      this.#blocks.fieldsOf(bytes, from, to);
      this.#reset(id, errorCodes.refusedStream);
      return;
    }
    if (id > this.#newest + 2) this.#skip(this.#newest + 2, id);
    this.#newest = id;
    const { application, settings } = this.#options;
    const stream = new Stream(id, this, settings.initialWindowBytes);
    let begun: Begun<Head> | undefined;
    try {
      begun = this.#blocks.read(bytes, from, to);
      stream.begin(begun?.contentLength, isEnd);
      if (this.#open.size >= settings.concurrentStreamsMax) {
        throw new StreamError(errorCodes.refusedStream, "too many streams");
      }
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#options.calm.spend(costOfCall, "bad requests");
      this.#reset(id, error.code);
      return;
    }
    this.#open.set(id, stream);
    if (begun === undefined) application.refuseLarge(stream);
    else stream.receiver = application.open(stream, begun.head);
    if (isEnd && !stream.isLocalEnded) stream.receiver.halfClosed();
  }

  #trailers(stream: Stream, isEnd: boolean, bytes: Uint8Array, from: number, to: number): void {
    const fields = this.#blocks.fieldsOf(bytes, from, to);
    this.#guard(stream, () => {
      if (stream.isRemoteEnded) {
        throw new StreamError(errorCodes.streamClosed, "HEADERS after the end");
      }
      if (!isEnd) throw new StreamError(errorCodes.protocolError, "HEADERS within a request");
      checkTrailers(fields ?? []);
      stream.receive(0, 0, true);
      stream.receiver.halfClosed();
    });
  }

  /** Ends one stream for what came for it; the connection where there is no such stream. */
  refuse(id: number, code: ErrorCode, text: string): void {
    const stream = this.#open.get(id);
    if (stream === undefined) throw new ConnectionError(code, text);
    stream.reset(code);
  }

  /** Something came for a stream that is not open. */
  #onClosed(id: number, what: string): void {
    if (this.#isIdle(id)) throw protocolError(`${what} on no stream`);
    this.#options.calm.spend(1, "frames of closed streams");
    if (this.#resets.has(id)) return;
    if (this.#skipped.some(([from, to]) => id >= from && id < to)) {
      throw protocolError(`${what} on a stream below the newest`);
    }
    throw new ConnectionError(errorCodes.streamClosed, `${what} on a closed stream`);
  }

  /** Streams `from` up to `to` are never begun (section 5.1.1). */
  #skip(from: number, to: number): void {
    this.#skipped.push([from, to]);
    if (this.#skipped.length > skipsKept) this.#skipped.shift();
  }

  #isIdle(id: number): boolean {
    return (id & 1) === 0 || id > Math.max(this.#newest, this.#tooLate);
  }

  /** Runs what may fail for one stream only. */
  #guard(stream: Stream, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#blame(stream, error);
    }
  }

  /** Ends a stream for a StreamError; any other error is not the stream's. */
  #blame(stream: Stream, error: unknown): void {
    if (!(error instanceof StreamError)) throw error;
    this.#options.calm.spend(costOfCall, "bad frames");
    stream.reset(error.code);
  }

  #reset(id: number, code: ErrorCode): void {
    this.sender.reset(id, code);
    this.#resets.add(id);
    if (this.#resets.size <= resetsKept) return;
    for (const oldest of this.#resets) {
      this.#resets.delete(oldest);
      break;
    }
  }

  #remove(stream: Stream, isCut: boolean): void {
    if (!this.#open.delete(stream.id)) return;
    stream.drop();
    if (isCut) stream.receiver.reset();
    this.#options.closed();
  }
}

/** The bytes at the end that are padding (section 6.1), and the one that says how many. */
function paddingAt(bytes: Uint8Array, from: number, to: number): number {
  const padding = bytes[from];
  if (from >= to || padding === undefined) throw frameSizeError("padding without a length");
  if (padding >= to - from) throw protocolError("more padding than there is room for");
  return padding;
}

function protocolError(text: string): ConnectionError {
  return new ConnectionError(errorCodes.protocolError, text);
}

function frameSizeError(text: string): ConnectionError {
  return new ConnectionError(errorCodes.frameSizeError, text);
}

function flowControlError(text: string): ConnectionError {
  return new ConnectionError(errorCodes.flowControlError, text);
}
