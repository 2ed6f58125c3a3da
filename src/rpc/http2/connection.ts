/**
 * A connection (RFC 9113), the server's end: from the preface to the last frame.
 *
 *   preface, SETTINGS ──► open ── GOAWAY sent, streams finish ──► ended ──► closed
 *                          └── ConnectionError: GOAWAY, at once ────┘
 */
import type { Clock } from "../../lib/clock.ts";
import { CompressionError } from "../hpack/decoder.ts";
import type { Conversation } from "../protocol.ts";
import type { Socket } from "../socket.ts";
import { Calm, costOfCall } from "./calm.ts";
import { ConnectionError, errorCodes } from "./error.ts";
import { flags, frameTypes, preface, readU31 } from "./frame.ts";
import { type FrameReceiver, Input } from "./input.ts";
import { Output, type OutputPool } from "./output.ts";
import { type KeepaliveOptions, Pings } from "./pings.ts";
import { Sender } from "./sender.ts";
import { type OwnSettings, readSettings, settingsPayload, windowBytesMax } from "./settings.ts";
import { type Application, Streams } from "./streams.ts";

/** What the connections of a server share. */
export interface ConnectionOptions<Head> {
  readonly application: Application<Head>;
  readonly clock: Clock;
  readonly keepalive: KeepaliveOptions;
  readonly pool: OutputPool;
  readonly settings: OwnSettings;
  /** Takes what went wrong: a ConnectionError is the client's doing, any other error is ours. */
  readonly failed: (peer: string, error: unknown) => void;
}

/** A client that says nothing is not waited for longer than this, nor one that was told to go. */
const handshakeMsMax = 10_000;
const lingerMsMax = 1000;
/** For taking what is on its way, after a connection has ended well. */
const finishMsMax = 10_000;
/** Eight bytes each: tells when a client has read our GOAWAY, and whether it is there. */
const drainPing = new TextEncoder().encode("go away!");
const keepalivePing = new TextEncoder().encode("are you?");

export class Connection<Head> implements Conversation, FrameReceiver {
  readonly #socket: Socket;
  readonly #options: ConnectionOptions<Head>;
  readonly #input = new Input(this);
  readonly #output: Output;
  readonly #sender: Sender;
  readonly #streams: Streams<Head>;
  readonly #calm: Calm;
  readonly #pings: Pings;
  readonly #born: number;
  #prefaceBytes = 0;
  /** The client's SETTINGS have come. */
  #isGreeted = false;
  /** Draining: since when, and whether the client knows which stream is the last. */
  #drain: { readonly since: number; isFinal: boolean } | undefined;
  /** Since when nothing more is read. */
  #ended: number | undefined;
  #isClosed = false;
  #hasFailed = false;

  constructor(socket: Socket, options: ConnectionOptions<Head>) {
    const { clock, keepalive, pool, settings } = options;
    this.#socket = socket;
    this.#options = options;
    this.#output = new Output(socket, pool, () => this.#emptied());
    this.#sender = new Sender(this.#output, () => this.#overflowed());
    this.#calm = new Calm(clock);
    this.#pings = new Pings(keepalive, clock);
    this.#streams = new Streams({
      ...options,
      calm: this.#calm,
      sender: this.#sender,
      closed: () => this.#endIfDone(),
    });
    this.#born = clock.now();
    this.#sender.settings(settingsPayload(settings));
    this.#streams.thank();
  }

  data(bytes: Uint8Array): void {
    if (this.#ended !== undefined) return;
    this.#pings.heard();
    this.#guard(() => {
      const from = this.#prefaceBytes < preface.length ? this.#takePreface(bytes) : 0;
      if (from < bytes.length) this.#input.push(from === 0 ? bytes : bytes.subarray(from));
      if (this.#ended === undefined) this.#streams.thank();
    });
  }

  drain(): void {
    if (!this.#isClosed) this.#output.drain();
  }

  /** The client sends no more. What it has asked for completely is answered. */
  end(): void {
    if (this.#ended !== undefined) {
      this.#socket.destroy();
      return;
    }
    this.#drain = { since: this.#options.clock.now(), isFinal: true };
    this.#guard(() => this.#sender.pump());
    this.#streams.freeze();
    this.#endIfDone();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ended ??= this.#options.clock.now();
    this.#output.close();
    this.#streams.abandon();
  }

  /** Lets streams finish and then closes; whatever is asked later is to be asked elsewhere. */
  shutDown(): void {
    if (this.#drain !== undefined || this.#ended !== undefined) return;
    this.#drain = { since: this.#options.clock.now(), isFinal: false };
    this.#guard(() => {
      // What the client sends before it reads this is still taken (section 6.8).
      this.#sender.goAway(windowBytesMax, errorCodes.noError, "");
      this.#sender.ping(drainPing, false);
    });
  }

  tick(now: number): void {
    const drain = this.#drain;
    if (this.#ended !== undefined) {
      if (now - this.#ended >= (this.#hasFailed ? lingerMsMax : finishMsMax))
        this.#socket.destroy();
    } else if (!this.#isGreeted && now - this.#born >= handshakeMsMax) {
      this.#socket.destroy();
    } else if (drain?.isFinal === false && now - drain.since >= lingerMsMax) {
      this.#seal();
    } else {
      const due = this.#pings.due(now);
      if (due === "end") this.#socket.destroy();
      if (due === "ping") this.#guard(() => this.#sender.ping(keepalivePing, false));
    }
  }

  frame(type: number, bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (this.#ended !== undefined) return;
    this.#checkOrder(type, bits);
    switch (type) {
      case frameTypes.data:
        this.#streams.data(bits, id, bytes, from, to);
        break;
      case frameTypes.headers:
        this.#streams.headers(bits, id, bytes, from, to);
        break;
      case frameTypes.continuation:
        this.#streams.continuation(bits, id, bytes, from, to);
        break;
      case frameTypes.resetStream:
        this.#streams.resetStream(id, to - from);
        break;
      case frameTypes.windowUpdate:
        this.#streams.windowUpdate(id, bytes, from, to);
        break;
      case frameTypes.priority:
        this.#priority(id, bytes, from, to);
        break;
      case frameTypes.settings:
        this.#settings(bits, id, bytes, from, to);
        break;
      case frameTypes.ping:
        this.#ping(bits, id, bytes, from, to);
        break;
      case frameTypes.goAway:
        this.#goAway(id, to - from);
        break;
      case frameTypes.pushPromise:
        throw new ConnectionError(errorCodes.protocolError, "PUSH_PROMISE from a client");
      default:
        // Types that nobody knows are ignored (section 5.5).
        this.#calm.spend(1, "unknown frames");
        break;
    }
  }

  #checkOrder(type: number, bits: number): void {
    if (this.#streams.expectsContinuation && type !== frameTypes.continuation) {
      throw new ConnectionError(errorCodes.protocolError, "a header block is not ended");
    }
    if (this.#isGreeted) return;
    if (type !== frameTypes.settings || (bits & flags.acknowledge) !== 0) {
      throw new ConnectionError(errorCodes.protocolError, "SETTINGS come first");
    }
    this.#isGreeted = true;
  }

  /** Holds the beginning against the preface; returns where it ends. */
  #takePreface(bytes: Uint8Array): number {
    let at = 0;
    while (at < bytes.length && this.#prefaceBytes < preface.length) {
      if (bytes[at++] !== preface[this.#prefaceBytes++]) {
        throw new ConnectionError(errorCodes.protocolError, "this is no HTTP/2");
      }
    }
    return at;
  }

  /** Priorities are deprecated (section 5.3.2): only their form is looked at. */
  #priority(id: number, bytes: Uint8Array, from: number, to: number): void {
    this.#calm.spend(1, "priorities");
    if (id === 0) throw new ConnectionError(errorCodes.protocolError, "PRIORITY on stream 0");
    const code = to - from === 5 ? errorCodes.protocolError : errorCodes.frameSizeError;
    const isWrong = to - from !== 5 || readU31(bytes, from) === id;
    if (isWrong) this.#streams.refuse(id, code, "a PRIORITY that is none");
  }

  #settings(bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id !== 0) throw new ConnectionError(errorCodes.protocolError, "SETTINGS on a stream");
    this.#calm.spend(costOfCall + this.#streams.size / 100, "settings");
    if ((bits & flags.acknowledge) !== 0) {
      if (from === to) return;
      throw new ConnectionError(errorCodes.frameSizeError, "an acknowledgement with a payload");
    }
    this.#sender.acknowledgeSettings();
    this.#sender.apply(readSettings(this.#sender.peer, bytes, from, to), this.#streams.all());
  }

  #ping(bits: number, id: number, bytes: Uint8Array, from: number, to: number): void {
    if (id !== 0) throw new ConnectionError(errorCodes.protocolError, "PING on a stream");
    if (to - from !== 8) {
      throw new ConnectionError(errorCodes.frameSizeError, "PING of another length than 8");
    }
    this.#calm.spend(1, "pings");
    const payload = bytes.subarray(from, to);
    if ((bits & flags.acknowledge) === 0) {
      this.#pings.take(this.#streams.size > 0, this.#sender.sent);
      this.#sender.ping(payload, true);
    } else if (this.#drain?.isFinal === false && Buffer.compare(payload, drainPing) === 0) {
      this.#seal();
    }
  }

  /** The client begins no more streams, but those it has go on. */
  #goAway(id: number, length: number): void {
    if (id !== 0) throw new ConnectionError(errorCodes.protocolError, "GOAWAY on a stream");
    if (length < 8) throw new ConnectionError(errorCodes.frameSizeError, "half a GOAWAY");
    this.#calm.spend(costOfCall, "GOAWAYs");
    if (this.#drain?.isFinal === true) return;
    this.#drain = { since: this.#options.clock.now(), isFinal: false };
    this.#seal();
  }

  /** Names the last stream that is served, and ends when none is left. */
  #seal(): void {
    const drain = this.#drain;
    if (drain === undefined) return;
    drain.isFinal = true;
    this.#streams.seal();
    this.#guard(() => this.#sender.goAway(this.#streams.newest, errorCodes.noError, ""));
    this.#endIfDone();
  }

  #endIfDone(): void {
    if (this.#drain?.isFinal !== true || this.#streams.size > 0 || this.#ended !== undefined)
      return;
    this.#finish();
  }

  /** Sends what is written, then says that nothing follows. */
  #finish(): void {
    this.#ended = this.#options.clock.now();
    if (this.#output.length === 0) this.#socket.end();
  }

  #emptied(): void {
    if (this.#ended === undefined) this.#sender.pump();
    else this.#socket.end();
  }

  /** Runs what may find that the client breaks the protocol. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#ended !== undefined) return;
    const { code, message } = blameOf(error);
    this.#options.failed(this.#socket.peer, error);
    this.#ended = this.#options.clock.now();
    this.#hasFailed = true;
    this.#streams.abandon();
    this.#sender.goAway(this.#streams.newest, code, message);
  }

  /** The client reads nothing, and makes us write. */
  #overflowed(): void {
    if (this.#isClosed) return;
    this.#output.close();
    this.#socket.destroy();
  }
}

function blameOf(error: unknown): ConnectionError {
  if (error instanceof ConnectionError) return error;
  if (error instanceof CompressionError) {
    return new ConnectionError(errorCodes.compressionError, error.message);
  }
  return new ConnectionError(errorCodes.internalError, "");
}
