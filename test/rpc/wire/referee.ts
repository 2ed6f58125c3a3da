/**
 * What a server must never send, whatever it was sent (RFC 9113): watched on every connection of the
 * wire client, so that each test is a test of these rules, too.
 */
import type { Field } from "../../../src/rpc/hpack/decoder.ts";
import { type Frame, flags, frameHeaderBytes, settingIds, types, windowMax } from "./frame.ts";

/** The flags each frame type has. */
const flagsOf: Readonly<Record<number, number>> = {
  [types.data]: flags.endStream | flags.padded,
  [types.headers]: flags.endStream | flags.endHeaders | flags.padded | flags.priority,
  [types.settings]: flags.acknowledge,
  [types.ping]: flags.acknowledge,
  [types.continuation]: flags.endHeaders,
};

/** So many are enough to see what is wrong. */
const violationsMax = 10;
const initialWindow = 65_535;
const frameBytesMax = 16_384;

/** Field names that mean nothing in HTTP/2 (8.2.2). */
const connectionFields = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
];

interface Sending {
  /** How many bytes of DATA the server may still send. */
  window: number;
  /** Field blocks so far: the response's, then the trailers. */
  blocks: number;
  ended: boolean;
  reset: boolean;
}

/** Watches what goes over one connection. */
export class Referee {
  readonly violations: string[] = [];
  /** True when the client has sent what was not seen here: windows and SETTINGS are unknown then. */
  isBlind = false;
  readonly #streams = new Map<number, Sending>();
  #frames = 0;
  #connectionWindow = initialWindow;
  #streamWindow = initialWindow;
  #frameBytesMax = frameBytesMax;
  /** Initial windows sent and not yet acknowledged, oldest first; undefined where none was given. */
  readonly #unacknowledged: (number | undefined)[] = [];

  /** Whether all SETTINGS that were sent are acknowledged. */
  get settled(): boolean {
    return this.#unacknowledged.length === 0;
  }

  /** Takes one frame that the client sends; what is no whole frame counts for nothing. */
  sent(bytes: Buffer): void {
    if (bytes.length < frameHeaderBytes) return;
    const payload = bytes.subarray(frameHeaderBytes);
    if (payload.length !== bytes.readUIntBE(0, 3)) return;
    const stream = bytes.readUInt32BE(5) & windowMax;
    if (bytes[3] === types.windowUpdate && payload.length === 4) {
      const increment = payload.readUInt32BE() & windowMax;
      if (stream === 0) this.#connectionWindow += increment;
      else this.#stream(stream).window += increment;
    }
    const isAcknowledgement = ((bytes[4] ?? 0) & flags.acknowledge) !== 0;
    if (bytes[3] === types.settings && !isAcknowledgement) this.#sentSettings(payload);
  }

  /** Takes one frame that arrived, with its fields where it ends a field block. */
  arrived(frame: Frame, fields: readonly Field[] | undefined): void {
    this.#frames++;
    if (this.#frames === 1 && (frame.type !== types.settings || frame.flags !== 0)) {
      this.#object(frame, "is the first frame, and no SETTINGS (3.4)");
    }
    if (frame.payload.length > this.#frameBytesMax) this.#object(frame, "is too large (4.2)");
    const unused = frame.flags & ~(flagsOf[frame.type] ?? 0);
    if (unused !== 0) this.#object(frame, `has unused flags ${unused} (4.1)`);
    this.#judge(frame);
    if (fields !== undefined) this.#judgeFields(frame, fields);
  }

  #judge(frame: Frame): void {
    switch (frame.type) {
      case types.data:
        this.#data(frame);
        break;
      case types.headers:
        this.#follows(frame, this.#stream(frame.stream));
        break;
      case types.resetStream:
        if (frame.payload.length !== 4) this.#object(frame, "has not 4 octets (6.4)");
        this.#stream(frame.stream).reset = true;
        break;
      case types.settings:
        this.#settings(frame);
        break;
      case types.pushPromise:
        this.#object(frame, "promises what nobody asked for (8.4)");
        break;
      case types.windowUpdate:
        if (frame.payload.length !== 4 || frame.payload.readUInt32BE() === 0) {
          this.#object(frame, "grants nothing (6.9)");
        }
        if (this.#stream(frame.stream).reset) this.#object(frame, "follows RST_STREAM (5.1)");
        break;
      default:
    }
  }

  #data(frame: Frame): void {
    const stream = this.#stream(frame.stream);
    const { length } = frame.payload;
    if (stream.blocks === 0) this.#object(frame, "comes before HEADERS (8.1)");
    this.#follows(frame, stream);
    this.#connectionWindow -= length;
    stream.window -= length;
    if (length > 0 && !this.isBlind && (this.#connectionWindow < 0 || stream.window < 0)) {
      this.#object(frame, "exceeds the window (6.9.1)");
    }
  }

  /** Notes a HEADERS or DATA frame in the life of its stream (5.1). */
  #follows(frame: Frame, stream: Sending): void {
    if (frame.stream === 0) this.#object(frame, "belongs to no stream (6.1, 6.2)");
    if (stream.ended) this.#object(frame, "follows END_STREAM (5.1)");
    if (stream.reset) this.#object(frame, "follows RST_STREAM (5.1)");
    if ((frame.flags & flags.endStream) !== 0) stream.ended = true;
  }

  #settings(frame: Frame): void {
    if (frame.stream !== 0) this.#object(frame, "is of a stream (6.5)");
    if ((frame.flags & flags.acknowledge) !== 0) {
      if (frame.payload.length > 0) this.#object(frame, "acknowledges with a payload (6.5)");
      if (this.#unacknowledged.length === 0 && !this.isBlind) {
        this.#object(frame, "acknowledges nothing (6.5.3)");
      }
      const window = this.#unacknowledged.shift();
      if (window !== undefined) this.#resize(window);
      return;
    }
    for (let at = 0; at + 6 <= frame.payload.length; at += 6) {
      const id = frame.payload.readUInt16BE(at);
      const value = frame.payload.readUInt32BE(at + 2);
      if (id === settingIds.enablePush && value !== 0) this.#object(frame, "pushes (6.5.2)");
      if (id === settingIds.maxFrameSize && (value < frameBytesMax || value >= 2 ** 24)) {
        this.#object(frame, `has a maximum frame size of ${value} (6.5.2)`);
      }
    }
  }

  #judgeFields(frame: Frame, fields: readonly Field[]): void {
    const stream = this.#stream(frame.stream);
    const pseudo = fields.filter(({ name }) => name.startsWith(":")).map(({ name }) => name);
    const isFirst = stream.blocks++ === 0;
    const isWhole = isFirst ? fields[0]?.name === ":status" : stream.ended;
    if (pseudo.length !== (isFirst ? 1 : 0) || !isWhole) {
      this.#object(frame, `has pseudo-header fields [${pseudo.join(", ")}] (8.1, 8.3.2)`);
    }
    for (const { name, value } of fields) {
      if (!/^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) this.#object(frame, `has ${name} (8.2.1)`);
      if (/[\0\r\n]|^[ \t]|[ \t]$/.test(value))
        this.#object(frame, `has ${name}: ${value} (8.2.1)`);
      if (connectionFields.includes(name)) this.#object(frame, `has ${name} (8.2.2)`);
    }
  }

  /** A larger window may be used at once, a smaller one binds when it is acknowledged (6.9.2). */
  #sentSettings(payload: Buffer): void {
    let window: number | undefined;
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      const id = payload.readUInt16BE(at);
      if (id === settingIds.initialWindowSize) window = value;
      if (id === settingIds.maxFrameSize) this.#frameBytesMax = value;
    }
    const isLarger = window !== undefined && window > this.#streamWindow;
    if (isLarger && window !== undefined) this.#resize(window);
    this.#unacknowledged.push(isLarger ? undefined : window);
  }

  #resize(window: number): void {
    for (const stream of this.#streams.values()) stream.window += window - this.#streamWindow;
    this.#streamWindow = window;
  }

  #stream(id: number): Sending {
    let stream = this.#streams.get(id);
    if (stream === undefined) {
      stream = { window: this.#streamWindow, blocks: 0, ended: false, reset: false };
      this.#streams.set(id, stream);
    }
    return stream;
  }

  #object({ type, stream }: Frame, what: string): void {
    const violation = `a frame of type ${type} on stream ${stream} ${what}`;
    if (this.violations.length < violationsMax) this.violations.push(violation);
  }
}
