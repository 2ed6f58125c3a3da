/**
 * HTTP/2 frames as bytes, right and wrong ones: whatever a client could put on a wire.
 *
 *   length 24 | type 8 | flags 8 | reserved 1 | stream 31 | payload      (RFC 9113 4.1)
 */

/** RFC 9113 6. */
export const types = {
  data: 0,
  headers: 1,
  priority: 2,
  resetStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Of whichever frame type they belong to (RFC 9113 6). */
export const flags = {
  none: 0,
  acknowledge: 0x1,
  endStream: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const;

/** RFC 9113 7. */
export const errors = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

export type ErrorName = keyof typeof errors;

/** RFC 9113 6.5.2. */
export const settingIds = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

/** RFC 9113 3.4. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** The greatest window there is (RFC 9113 6.9.1). */
export const windowMax = 2 ** 31 - 1;

export const frameHeaderBytes = 9;

const nothing = Buffer.alloc(0);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The name of an error code; the number where it has none. */
export function errorName(code: number): string {
  return Object.entries(errors).find(([, value]) => value === code)?.[0] ?? `${code}`;
}

/** A frame. `length` is what its header claims, which may be a lie. */
export function frame(
  type: number,
  flagBits: number,
  stream: number,
  payload: Uint8Array = nothing,
  length = payload.length,
): Buffer {
  const bytes = Buffer.alloc(frameHeaderBytes + payload.length);
  bytes.writeUIntBE(length, 0, 3);
  bytes[3] = type;
  bytes[4] = flagBits;
  bytes.writeUInt32BE(stream >>> 0, 5);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

/** A 32-bit number, big-endian. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

export function data(stream: number, payload: Uint8Array, flagBits: number = flags.none): Buffer {
  return frame(types.data, flagBits, stream, payload);
}

/** A HEADERS frame with a whole field block. */
export function headers(stream: number, block: Uint8Array, flagBits: number = flags.none): Buffer {
  return frame(types.headers, flagBits | flags.endHeaders, stream, block);
}

/** A payload with its padding (RFC 9113 6.1): `claimed` is the pad length it tells of. */
export function padded(payload: Uint8Array, padding: number, claimed = padding): Buffer {
  return Buffer.concat([Buffer.from([claimed]), payload, Buffer.alloc(padding)]);
}

/** The fields of a priority signal (RFC 9113 6.3). */
export function priorityFields(dependency: number, weight = 15): Buffer {
  return Buffer.concat([u32(dependency), Buffer.from([weight])]);
}

export function resetStream(stream: number, error: ErrorName): Buffer {
  return frame(types.resetStream, flags.none, stream, u32(errors[error]));
}

/** SETTINGS with these identifiers and values, in this order. */
export function settings(...entries: readonly (readonly [number, number])[]): Buffer {
  const payload = Buffer.alloc(entries.length * 6);
  for (const [at, [id, value]] of entries.entries()) {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value >>> 0, at * 6 + 2);
  }
  return frame(types.settings, flags.none, 0, payload);
}

export const settingsAcknowledged = frame(types.settings, flags.acknowledge, 0);

/** A PING whose eight bytes are `mark`, a number. */
export function ping(mark: number, flagBits: number = flags.none): Buffer {
  return frame(types.ping, flagBits, 0, Buffer.concat([u32(0), u32(mark)]));
}

export function goAway(lastStream: number, error: ErrorName, debug = ""): Buffer {
  const payload = Buffer.concat([u32(lastStream), u32(errors[error]), Buffer.from(debug)]);
  return frame(types.goAway, flags.none, 0, payload);
}

export function windowUpdate(stream: number, increment: number): Buffer {
  return frame(types.windowUpdate, flags.none, stream, u32(increment));
}

/** Cuts arriving bytes into frames. */
export class FrameReader {
  #rest: Buffer = nothing;

  /** The frames that `bytes` complete. */
  push(bytes: Buffer): Frame[] {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const frames: Frame[] = [];
    let at = 0;
    while (all.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + all.readUIntBE(at, 3);
      if (all.length < end) break;
      frames.push({
        type: all[at + 3] ?? 0,
        flags: all[at + 4] ?? 0,
        stream: all.readUInt32BE(at + 5) & windowMax,
        payload: all.subarray(at + frameHeaderBytes, end),
      });
      at = end;
    }
    this.#rest = all.subarray(at);
    return frames;
  }
}
