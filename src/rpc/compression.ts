/** Message encodings: those that clients may use. What is sent is never compressed. */
import zlib from "node:zlib";
import { codes, StatusError } from "./status.ts";

/** For grpc-accept-encoding. */
export const acceptedEncodings = "identity,gzip,deflate";

/** Makes of a compressed message the message. */
export type Inflate = (bytes: Uint8Array, bytesMax: number) => Uint8Array;

const inflaters: ReadonlyMap<string, Inflate> = new Map<string, Inflate>(
  Object.entries({
    gzip: (bytes, bytesMax) => inflated(() => zlib.gunzipSync(bytes, limit(bytesMax)), bytesMax),
    deflate: (bytes, bytesMax) =>
      inflated(() => zlib.inflateSync(bytes, limit(bytesMax)), bytesMax),
  } satisfies Record<string, Inflate>),
);

/** Whether messages may be encoded so. */
export function isAccepted(encoding: string): boolean {
  return encoding === "identity" || inflaters.has(encoding);
}

/** What undoes `encoding`; undefined for identity, which compresses nothing. */
export function inflaterOf(encoding: string | undefined): Inflate | undefined {
  return encoding === undefined ? undefined : inflaters.get(encoding);
}

/** One byte more than is taken: enough to see that there is too much, whatever is said of it. */
function limit(bytesMax: number): zlib.ZlibOptions {
  return { maxOutputLength: bytesMax + 1 };
}

function inflated(inflate: () => Uint8Array, bytesMax: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = inflate();
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(bytesMax);
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `grpc: failed to decompress the received message: ${reason}`;
    throw new StatusError(codes.internal, message, { cause });
  }
  if (bytes.length > bytesMax) throw tooLarge(bytesMax);
  return bytes;
}

function tooLarge(bytesMax: number): StatusError {
  return new StatusError(
    codes.resourceExhausted,
    `grpc: received message after decompression larger than max ${bytesMax}`,
  );
}
