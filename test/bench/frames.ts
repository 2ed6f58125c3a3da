/**
 * HTTP/2's frames (RFC 9113, section 4.1), and gRPC's messages in them.
 *
 *   frame     length, 3 bytes | type, 1 | flags, 1 | stream, 4 | payload, `length` bytes
 *   message   0, 1 byte | length, 4 bytes | bytes
 */

export const frameTypes = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  window: 8,
} as const;

export const flags = { endStream: 1, acknowledged: 1, endHeaders: 4 } as const;

/** What a client says first. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const frameHeaderBytes = 9;
export const messageHeaderBytes = 5;
/** What either side takes in one frame, unless it says otherwise. */
export const framePayloadBytesMax = 16_384;
/** The window of a connection and of a stream at first, and at most. */
export const windowBytesMin = 65_535;
export const windowBytesMax = 2 ** 31 - 1;

/** No bytes. */
export const empty = Buffer.alloc(0);

/** Takes a frame: its payload is `bytes[from, to)`. */
export type TakeFrame = (
  type: number,
  flags: number,
  stream: number,
  bytes: Buffer,
  from: number,
  to: number,
) => void;

/** Cuts what arrives into frames. */
export class FrameReader {
  readonly #take: TakeFrame;
  /** The beginning of a frame whose rest has not arrived. */
  #rest: Buffer = empty;

  constructor(take: TakeFrame) {
    this.#take = take;
  }

  /** Takes bytes, any cut; gives each frame that is whole. The bytes are the reader's from now on. */
  push(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= frameHeaderBytes) {
      const from = at + frameHeaderBytes;
      const to = from + all.readUIntBE(at, 3);
      if (to > all.length) break;
      this.#take(
        all[at + 3] as number,
        all[at + 4] as number,
        all.readUInt32BE(at + 5),
        all,
        from,
        to,
      );
      at = to;
    }
    this.#rest = at === all.length ? empty : all.subarray(at);
  }
}

/** A whole frame. */
export function frameOf(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  writeFrameHeader(bytes, 0, payload.length, type, flags, stream);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** Writes the header of a frame at `at`. */
export function writeFrameHeader(
  into: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  stream: number,
): void {
  into[at] = length >>> 16;
  into[at + 1] = length >>> 8;
  into[at + 2] = length;
  into[at + 3] = type;
  into[at + 4] = flags;
  into.writeUInt32BE(stream, at + 5);
}

/** The payload of a WINDOW_UPDATE (section 6.9): so many bytes more. */
export function incrementOf(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return payload;
}

/** A message behind its header, which says that it is not compressed. */
export function messageOf(bytes: Uint8Array): Buffer {
  const message = Buffer.allocUnsafe(messageHeaderBytes + bytes.length);
  message[0] = 0;
  message.writeUInt32BE(bytes.length, 1);
  message.set(bytes, messageHeaderBytes);
  return message;
}

/** Puts messages together from the payloads of DATA. */
export class MessageReader {
  readonly #take: (message: Buffer) => void;
  #rest: Buffer = empty;

  /** `take` gets each message when it is whole; the bytes are its own. */
  constructor(take: (message: Buffer) => void) {
    this.#take = take;
  }

  /** Takes bytes, any cut, which are the reader's from now on. */
  push(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= messageHeaderBytes) {
      const from = at + messageHeaderBytes;
      const to = from + all.readUInt32BE(at + 1);
      if (to > all.length) break;
      this.#take(all.subarray(from, to));
      at = to;
    }
    this.#rest = at === all.length ? empty : all.subarray(at);
  }
}
