/** gRPC over the wire client: messages in their frames, calls, and what is answered. */
import type { Field } from "../../../src/rpc/hpack/decoder.ts";
import { type Field as Literal, requestFields } from "./fields.ts";
import { data, flags, types } from "./frame.ts";
import type { Peer, Received } from "./peer.ts";

/** How a call was answered. */
export interface Answer {
  /** Of HTTP; undefined where no HEADERS came. */
  readonly status: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** The last field block: the headers again where there was but one. */
  readonly trailers: Readonly<Record<string, string>>;
  readonly messages: readonly Message[];
  /** The error of RST_STREAM, if it came to that. */
  readonly reset: string | undefined;
}

export interface Message {
  readonly compressed: boolean;
  readonly bytes: Buffer;
}

/** A message in its frame: flag 8 | length 32 | bytes. `length` may lie. */
export function message(
  content: string | Uint8Array,
  flag = 0,
  length = Buffer.from(content).length,
): Buffer {
  const bytes = Buffer.from(content);
  const framed = Buffer.alloc(5 + bytes.length);
  framed[0] = flag;
  framed.writeUInt32BE(length, 1);
  framed.set(bytes, 5);
  return framed;
}

/** Opens a call on a new stream and sends nothing but its headers; the stream. */
export function begin(peer: Peer, path: string, more: readonly Literal[] = []): number {
  return peer.open(requestFields(path, more));
}

/** Opens a call, sends `content` as its one message, and half-closes; the stream. */
export function request(
  peer: Peer,
  path: string,
  content: string | Uint8Array,
  more: readonly Literal[] = [],
): number {
  const stream = begin(peer, path, more);
  peer.send(data(stream, message(content), flags.endStream));
  return stream;
}

/** Calls test.Echo/Say with a text; what it was answered. */
export async function say(peer: Peer, text: string): Promise<Answer> {
  return await answerOf(peer, request(peer, "/test.Echo/Say", text));
}

/** How the call on `stream` was answered, once it is over or the connection is gone. */
export async function answerOf(peer: Peer, stream: number): Promise<Answer> {
  await peer.until(() => peer.closed || peer.isOver(stream));
  const frames = peer.of(stream);
  const blocks = frames.flatMap(({ fields }) => (fields === undefined ? [] : [recordOf(fields)]));
  const headers = blocks[0] ?? {};
  return {
    status: headers[":status"],
    headers,
    trailers: blocks.at(-1) ?? {},
    messages: messagesIn(frames),
    reset: peer.resetOf(stream),
  };
}

/** The whole messages that have arrived on a stream. */
export function messagesIn(frames: readonly Received[]): Message[] {
  const bytes = Buffer.concat(
    frames.filter(({ type }) => type === types.data).map(({ payload }) => payload),
  );
  const messages: Message[] = [];
  for (let at = 0; bytes.length - at >= 5; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) break;
    messages.push({ compressed: bytes[at] === 1, bytes: bytes.subarray(at + 5, end) });
    at = end;
  }
  return messages;
}

/** The texts of an answer's messages. */
export function textsOf({ messages }: Answer): string[] {
  return messages.map(({ bytes }) => bytes.toString());
}

function recordOf(fields: readonly Field[]): Record<string, string> {
  return Object.fromEntries(fields.map(({ name, value }) => [name, value]));
}
