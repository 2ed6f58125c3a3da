/**
 * SETTINGS (RFC 9113, section 6.5): what an endpoint tells of itself.
 *
 *   payload: any number of { identifier (16), value (32) }
 */
import { ConnectionError, errorCodes } from "./error.ts";
import { framePayloadBytesMax, readU32, writeU32 } from "./frame.ts";

const identifiers = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
} as const;

const settingBytes = 6;
export const windowBytesMax = 2 ** 31 - 1;
/** Of a stream and of the connection, where nobody says otherwise (section 6.9.2). */
export const initialWindowBytes = 65_535;

/** What a client said that matters to a server. */
export interface PeerSettings {
  readonly headerTableBytes: number;
  readonly initialWindowBytes: number;
  readonly framePayloadBytesMax: number;
}

/** What holds before the client has said anything. */
export const defaultSettings: PeerSettings = {
  headerTableBytes: 4096,
  initialWindowBytes,
  framePayloadBytesMax,
};

/** `settings` after those of the payload bytes[from, to). ConnectionError for values out of bounds. */
export function readSettings(
  settings: PeerSettings,
  bytes: Uint8Array,
  from: number,
  to: number,
): PeerSettings {
  if ((to - from) % settingBytes !== 0) {
    throw new ConnectionError(errorCodes.frameSizeError, "SETTINGS of a length that is none");
  }
  const read = { ...settings };
  for (let at = from; at < to; at += settingBytes) {
    const identifier = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
    const value = readU32(bytes, at + 2);
    switch (identifier) {
      case identifiers.headerTableSize:
        read.headerTableBytes = value;
        break;
      case identifiers.enablePush:
        if (value > 1) throw outOfBounds("SETTINGS_ENABLE_PUSH", value);
        break;
      case identifiers.initialWindowSize:
        if (value > windowBytesMax) {
          const text = `SETTINGS_INITIAL_WINDOW_SIZE ${value}`;
          throw new ConnectionError(errorCodes.flowControlError, text);
        }
        read.initialWindowBytes = value;
        break;
      case identifiers.maxFrameSize:
        if (value < framePayloadBytesMax || value > 2 ** 24 - 1) {
          throw outOfBounds("SETTINGS_MAX_FRAME_SIZE", value);
        }
        read.framePayloadBytesMax = value;
        break;
      default:
        // Whatever else there is, or will be, is ignored.
        break;
    }
  }
  return read;
}

function outOfBounds(name: string, value: number): ConnectionError {
  return new ConnectionError(errorCodes.protocolError, `${name} ${value}`);
}

/** What we tell clients of ourselves. */
export interface OwnSettings {
  readonly concurrentStreamsMax: number;
  readonly initialWindowBytes: number;
  readonly headerListBytesMax: number;
}

/** The payload that tells it. */
export function settingsPayload(settings: OwnSettings): Uint8Array {
  const told = [
    [identifiers.maxConcurrentStreams, settings.concurrentStreamsMax],
    [identifiers.initialWindowSize, settings.initialWindowBytes],
    [identifiers.maxHeaderListSize, settings.headerListBytesMax],
  ] as const;
  const payload = new Uint8Array(told.length * settingBytes);
  for (const [at, [identifier, value]] of told.entries()) {
    payload[at * settingBytes + 1] = identifier;
    writeU32(payload, at * settingBytes + 2, value);
  }
  return payload;
}
