/**
 * The wire client: one TCP connection on which a test sends whatever frames it likes, in whatever
 * order, and sees each frame that comes back. It answers SETTINGS and PING and does nothing else by
 * itself: no window is opened unless the test opens it.
 */
import net from "node:net";
import tls from "node:tls";
import { CompressionError, Decoder, type Field } from "../../../src/rpc/hpack/decoder.ts";
import { secured } from "../secured.ts";
import { blockOf, type Field as Literal } from "./fields.ts";
import * as wire from "./frame.ts";
import { Referee } from "./referee.ts";

/** A frame that arrived, with its fields where it ends a field block. */
export interface Received extends wire.Frame {
  readonly fields?: readonly Field[];
}

export interface PeerOptions {
  /** Identifiers and values of the client's first SETTINGS. */
  readonly settings?: readonly (readonly [number, number])[];
  /** True: not even the preface is sent, and nothing is answered. */
  readonly mute?: boolean;
  /** The size of the table that the server's field blocks are decoded with. */
  readonly tableBytes?: number;
}

/** One connection to a server. */
export class Peer implements AsyncDisposable {
  /** The server's settings, as far as it has told them. */
  readonly settings = new Map<number, number>();
  readonly referee = new Referee();
  /** True once the server's end of the connection is closed. */
  closed = false;
  /** The newest GOAWAY. */
  goAway: { readonly lastStream: number; readonly error: string } | undefined;
  /** How many frames arrived. */
  arrived = 0;
  readonly #socket: net.Socket;
  readonly #reader = new wire.FrameReader();
  readonly #decoder: Decoder;
  readonly #streams = new Map<number, Received[]>();
  readonly #pongs = new Set<number>();
  /** What each window (0: the connection's) has more, or less, than it had at first. */
  readonly #windows = new Map<number, number>();
  readonly #mute: boolean;
  #block: Buffer[] = [];
  #wake: (() => void)[] = [];
  #newest = -1;
  #pings = 0;

  private constructor(socket: net.Socket, { mute = false, tableBytes = 4096 }: PeerOptions) {
    this.#socket = socket;
    this.#mute = mute;
    this.#decoder = new Decoder({ tableBytesMax: tableBytes, listBytesMax: 2 ** 24 });
    const gone = () => {
      this.closed = true;
      this.#notify();
    };
    socket.on("error", gone).on("end", gone).on("close", gone);
    socket.on("data", (bytes) => {
      for (const frame of this.#reader.push(Buffer.from(bytes))) this.#take(frame);
      this.#notify();
    });
  }

  /** A connection whose SETTINGS have been exchanged, unless it is to be mute. */
  static async connect(port: number, options: PeerOptions = {}): Promise<Peer> {
    const { mute = false, settings = [] } = options;
    const socket = connected(port);
    const peer = new Peer(socket, options);
    await new Promise<void>((resolve) => {
      socket.on(secured === undefined ? "connect" : "secureConnect", () => resolve());
      socket.on("error", () => resolve());
    });
    if (mute) return peer;
    peer.#put(wire.preface);
    peer.send(wire.settings(...settings));
    await peer.until(() => peer.closed || (peer.arrived > 0 && peer.settled));
    return peer;
  }

  /** Whether the server has acknowledged all SETTINGS that were sent. */
  get settled(): boolean {
    return this.referee.settled;
  }

  /** Sends frames, each of them whole as far as the test wants it to be. */
  send(...frames: readonly Buffer[]): void {
    for (const frame of frames) {
      this.referee.sent(frame);
      if (frame[3] === wire.types.data) {
        const length = -(frame.length - wire.frameHeaderBytes);
        this.#credit(0, length);
        this.#credit(frame.readUInt32BE(5), length);
      }
    }
    this.#put(Buffer.concat(frames));
  }

  /** Sends bytes, of whose meaning no account is kept. */
  write(bytes: Uint8Array): void {
    this.referee.isBlind = true;
    this.#put(bytes);
  }

  /** Resolves when everything written has been taken by the system, or the connection is gone. */
  drained(): Promise<void> {
    return this.until(() => this.closed || this.#socket.writableLength === 0);
  }

  /** The stream after the newest. */
  nextStream(): number {
    this.#newest += 2;
    return this.#newest;
  }

  /** Opens a new stream with a block of literals; its id. */
  open(fields: readonly Literal[], flagBits: number = wire.flags.none): number {
    const stream = this.nextStream();
    this.send(wire.headers(stream, blockOf(fields), flagBits));
    return stream;
  }

  /** How many bytes of DATA the server still takes on `stream`, and on the connection for 0. */
  windowOf(stream: number): number {
    const initial = stream === 0 ? undefined : this.settings.get(wire.settingIds.initialWindowSize);
    return (initial ?? 65_535) + (this.#windows.get(stream) ?? 0);
  }

  /** Sends `bytes` as DATA of a stream, as its windows allow; with END_STREAM where `ends`. */
  async upload(stream: number, bytes: Uint8Array, ends: boolean): Promise<void> {
    for (let at = 0; at < bytes.length || (at === 0 && ends); ) {
      const room = () => Math.min(this.windowOf(0), this.windowOf(stream), 16_384);
      await this.until(() => this.closed || this.isOver(stream) || room() > 0);
      if (this.closed || this.isOver(stream)) return;
      const part = bytes.subarray(at, at + Math.max(room(), 0));
      at += Math.max(part.length, 1);
      const flagBits = ends && at >= bytes.length ? wire.flags.endStream : wire.flags.none;
      this.send(wire.data(stream, part, flagBits));
    }
  }

  /** What arrived on a stream. */
  of(stream: number): readonly Received[] {
    return this.#streams.get(stream) ?? [];
  }

  /** Forgets what arrived on a stream. */
  forget(stream: number): void {
    this.#streams.delete(stream);
  }

  /** The error a stream was reset with; undefined while it was not. */
  resetOf(stream: number): string | undefined {
    const reset = this.of(stream).find(({ type }) => type === wire.types.resetStream);
    return reset === undefined ? undefined : wire.errorName(reset.payload.readUInt32BE());
  }

  /** Whether the server has sent all that it will ever send on a stream. */
  isOver(stream: number): boolean {
    const last = wire.flags.endStream;
    const { data, headers, resetStream } = wire.types;
    return this.of(stream).some(
      ({ flags, type }) =>
        type === resetStream || ((type === data || type === headers) && (flags & last) !== 0),
    );
  }

  /** Sends a PING; whether it was answered before the connection ended. */
  async ping(): Promise<boolean> {
    const mark = ++this.#pings;
    this.send(wire.ping(mark));
    await this.until(() => this.closed || this.#pongs.has(mark));
    return this.#pongs.has(mark);
  }

  /** Resolves once `condition` holds; it is asked whenever something happened. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }

  /** Reads nothing more, so that the server's bytes pile up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Says that nothing more is sent (TCP's FIN). */
  end(): void {
    this.#socket.end();
  }

  /** Closes without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.destroy();
    await this.until(() => this.closed);
  }

  #put(bytes: Uint8Array): void {
    if (!this.closed && !this.#socket.destroyed) this.#socket.write(bytes, () => this.#notify());
  }

  #credit(stream: number, bytes: number): void {
    this.#windows.set(stream, (this.#windows.get(stream) ?? 0) + bytes);
  }

  #notify(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const resolve of waiting) resolve();
  }

  #take(frame: wire.Frame): void {
    this.arrived++;
    const fields = this.#fieldsOf(frame);
    this.referee.arrived(frame, fields);
    const isAcknowledgement = (frame.flags & wire.flags.acknowledge) !== 0;
    switch (frame.type) {
      case wire.types.settings:
        if (!isAcknowledgement) this.#takeSettings(frame.payload);
        break;
      case wire.types.ping:
        if (isAcknowledgement) this.#pongs.add(frame.payload.readUInt32BE(4));
        else if (!this.#mute) {
          this.send(wire.frame(wire.types.ping, wire.flags.acknowledge, 0, frame.payload));
        }
        break;
      case wire.types.windowUpdate:
        this.#credit(frame.stream, frame.payload.readUInt32BE());
        break;
      case wire.types.goAway: {
        const error = wire.errorName(frame.payload.readUInt32BE(4));
        this.goAway = { lastStream: frame.payload.readUInt32BE() & wire.windowMax, error };
        break;
      }
      default:
        this.#keep(fields === undefined ? frame : { ...frame, fields });
    }
  }

  #takeSettings(payload: Buffer): void {
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      this.settings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
    }
    if (!this.#mute) this.send(wire.settingsAcknowledged);
  }

  #keep(frame: Received): void {
    const frames = this.#streams.get(frame.stream);
    if (frames === undefined) this.#streams.set(frame.stream, [frame]);
    else frames.push(frame);
  }

  /** The fields of a block that `frame` ends. */
  #fieldsOf({ flags, payload, type }: wire.Frame): readonly Field[] | undefined {
    if (type !== wire.types.headers && type !== wire.types.continuation) return undefined;
    this.#block.push(payload);
    if ((flags & wire.flags.endHeaders) === 0) return undefined;
    const block = Buffer.concat(this.#block);
    this.#block = [];
    try {
      return this.#decoder.decode(block, 0, block.length);
    } catch (error) {
      if (error instanceof CompressionError)
        this.referee.violations.push(`HPACK: ${error.message}`);
      else throw error;
      return undefined;
    }
  }
}

function connected(port: number): net.Socket {
  const place = { port, host: "127.0.0.1", noDelay: true };
  if (secured === undefined) return net.connect(place);
  const ca = Buffer.from(secured.client.authority);
  return tls.connect({ ...place, ca, servername: "localhost", ALPNProtocols: ["h2"] });
}
