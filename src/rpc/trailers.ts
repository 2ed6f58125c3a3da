/** How gRPC answers in header fields: the head of a response, and the status behind it. */
import type { HeaderField } from "./hpack/encoder.ts";
import { codes, type Status } from "./status.ts";

const index = (name: string, value: string): HeaderField => ({ name, value, how: "index" });
const plain = (name: string, value: string): HeaderField => ({ name, value, how: "plain" });

const contentType = index("content-type", "application/grpc");

/** The head of a response with messages. */
export const responseHead: readonly HeaderField[] = Object.freeze([
  index(":status", "200"),
  contentType,
]);

const wellEnded: readonly HeaderField[] = Object.freeze([index("grpc-status", "0")]);

/** What comes behind the last message. */
export function trailersOf(status: Status): readonly HeaderField[] {
  if (status.code === codes.ok && status.message === "") return wellEnded;
  return [
    index("grpc-status", String(status.code)),
    plain("grpc-message", escaped(status.message)),
  ];
}

/** A response that is a status and nothing else. */
export function headOnly(status: Status, httpStatus = 200): readonly HeaderField[] {
  return [index(":status", String(httpStatus)), contentType, ...trailersOf(status)];
}

/** That a message encoding is unknown, and which are not. */
export function encodingRefusal(status: Status, accepted: string): readonly HeaderField[] {
  return [...headOnly(status), plain("grpc-accept-encoding", accepted)];
}

/** No longer than this: a text for people. */
const messageBytesMax = 8192;

/** UTF-8, where all but printable ASCII is %XX, and so are the per cent sign and blanks at an end. */
function escaped(message: string): string {
  if (/^(?! )[ -$&-~]*(?<! )$/.test(message) && message.length <= messageBytesMax) return message;
  const bytes = new TextEncoder().encode(message).subarray(0, messageBytesMax);
  let text = "";
  for (const [at, byte] of bytes.entries()) {
    const isBlankAtEnd = byte === 0x20 && (at === 0 || at === bytes.length - 1);
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25 && !isBlankAtEnd;
    text += isPlain
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return text;
}
