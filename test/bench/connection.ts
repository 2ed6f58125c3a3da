/**
 * A gRPC client for load: as little of HTTP/2 (RFC 9113) as two known servers need. It costs three
 * or four microseconds a call where @grpc/grpc-js costs a hundred and more, and on a machine of two
 * cores what the client takes is taken from the server. Header fields go into the dynamic table
 * once and are bytes from then on, as any client's are; those of responses are never decoded: a
 * response that carries a message is a success, one that ends without is an error.
 *
 *   request    HEADERS, DATA (END_STREAM)
 *   response   HEADERS, DATA ..., HEADERS (END_STREAM);  for an error, HEADERS (END_STREAM) alone
 *
 * What is asked for in one turn is written at once, from one buffer. What the server may send is
 * not limited. What it takes is: a connection's window is minded, a stream's is not, because a
 * request is smaller than any server's; who sends many on one stream waits for answers between.
 */
import type { Socket } from "bun";
import { RequestFields } from "./fields.ts";
import {
  empty,
  FrameReader,
  flags,
  frameHeaderBytes,
  framePayloadBytesMax,
  frameTypes,
  incrementOf,
  MessageReader,
  messageHeaderBytes,
  messageOf,
  preface,
  windowBytesMax,
  windowBytesMin,
  writeFrameHeader,
} from "./frames.ts";

/** A message is no larger than this; see above. */
const requestBytesMax = windowBytesMin - messageHeaderBytes;
const outBytesAtFirst = 2 ** 12;

/** Takes what arrives on one stream. */
export interface Listener {
  /** Bytes of DATA, any cut. */
  data(bytes: Buffer): void;
  /** Nothing follows. */
  end(): void;
}

/** Sends a message on a stream; after the `last` one none may follow. Its bytes are copied. */
export type Send = (message: Uint8Array, last: boolean) => void;

interface Outgoing {
  readonly id: number;
  readonly message: Uint8Array;
  readonly last: boolean;
}

/** One connection to a server on 127.0.0.1. */
export class Connection {
  readonly #listeners = new Map<number, Listener>();
  readonly #fields = new RequestFields();
  readonly #frames = new FrameReader((...frame) => this.#take(...frame));
  readonly #socket: Socket<undefined>;
  #error: Error | undefined;
  #nextStream = 1;
  /** What is to be sent: the first `#outLength` bytes. */
  #out = Buffer.allocUnsafe(outBytesAtFirst);
  #outLength = 0;
  #isFlushing = false;
  /** Bytes of DATA that the server still takes, and messages that wait for more of it. */
  #window = windowBytesMin;
  #waiting: Outgoing[] = [];
  /** Bytes of DATA that the server has not been thanked for. */
  #owed = 0;

  /** Connects; rejects when nobody listens there. */
  static async open(port: number): Promise<Connection> {
    const opened = Promise.withResolvers<Connection>();
    let connection: Connection | undefined;
    await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => {
          connection = new Connection(socket);
          opened.resolve(connection);
        },
        data: (_socket, bytes) => connection?.receive(bytes),
        drain: () => connection?.flush(),
        close: () => connection?.fail(new Error("the connection was closed")),
        error: (_socket, error) => connection?.fail(error),
      },
    });
    return await opened.promise;
  }

  private constructor(socket: Socket<undefined>) {
    this.#socket = socket;
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(4, 0);
    settings.writeUInt32BE(windowBytesMax, 2);
    const at = this.#room(preface.length);
    this.#out.set(preface, at);
    this.#frame(frameTypes.settings, 0, 0, settings);
    this.#frame(frameTypes.window, 0, 0, incrementOf(windowBytesMax - windowBytesMin));
  }

  /** Makes a call with one request; the bytes of its one response. Rejects on any other ending. */
  call(path: string, request: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let response: Buffer | undefined;
      const messages = new MessageReader((message) => {
        response = message;
      });
      const id = this.#start(path, {
        data: (bytes) => messages.push(bytes),
        end: () => {
          if (response !== undefined) resolve(response);
          else reject(this.#error ?? new Error(`${path} ended with an error`));
        },
      });
      this.#send(id, request, true);
    });
  }

  /** Starts a call with any number of messages either way. */
  stream(path: string, listener: Listener): Send {
    const id = this.#start(path, listener);
    return (message, last) => this.#send(id, message, last);
  }

  /** Ends the connection, and with it the streams. */
  close(): void {
    this.#socket.end();
  }

  /** For the socket: no more is to come. */
  fail(error: Error): void {
    this.#error ??= error;
    for (const id of [...this.#listeners.keys()]) this.#end(id);
  }

  /** For the socket: it takes bytes. */
  flush(): void {
    this.#isFlushing = false;
    if (this.#outLength === 0) return;
    const taken = Math.max(0, this.#socket.write(this.#out.subarray(0, this.#outLength)));
    this.#out.copyWithin(0, taken, this.#outLength);
    this.#outLength -= taken;
    // The socket calls again when it has room.
    this.#isFlushing = this.#outLength > 0;
  }

  /** For the socket: bytes have arrived. */
  receive(bytes: Buffer): void {
    this.#frames.push(bytes);
  }

  #start(path: string, listener: Listener): number {
    const id = this.#nextStream;
    this.#nextStream += 2;
    this.#listeners.set(id, listener);
    if (this.#error !== undefined) queueMicrotask(() => this.#end(id));
    this.#frame(frameTypes.headers, flags.endHeaders, id, this.#fields.blockOf(path));
    return id;
  }

  #take(type: number, bits: number, id: number, bytes: Buffer, from: number, to: number): void {
    const isAnswer = (bits & flags.acknowledged) !== 0;
    if (type === frameTypes.data) {
      this.#thank(to - from);
      this.#listeners.get(id)?.data(bytes.subarray(from, to));
    } else if (type === frameTypes.settings && !isAnswer) {
      this.#frame(frameTypes.settings, flags.acknowledged, 0, empty);
    } else if (type === frameTypes.ping && !isAnswer) {
      this.#frame(frameTypes.ping, flags.acknowledged, 0, bytes.subarray(from, to));
    } else if (type === frameTypes.window && id === 0) {
      this.#widen(bytes.readUInt32BE(from));
    } else if (type === frameTypes.goAway) {
      this.fail(new Error(`the server goes away: ${bytes.toString("latin1", from + 8, to)}`));
    }
    const mayEnd = type === frameTypes.data || type === frameTypes.headers;
    if ((mayEnd && (bits & flags.endStream) !== 0) || type === frameTypes.reset) this.#end(id);
  }

  #end(id: number): void {
    const listener = this.#listeners.get(id);
    this.#listeners.delete(id);
    listener?.end();
  }

  #thank(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < windowBytesMax / 4) return;
    this.#frame(frameTypes.window, 0, 0, incrementOf(this.#owed));
    this.#owed = 0;
  }

  #widen(bytes: number): void {
    this.#window += bytes;
    let sent = 0;
    for (const waiting of this.#waiting) {
      if (!this.#fits(waiting.message)) break;
      this.#transmit(waiting);
      sent++;
    }
    this.#waiting.splice(0, sent);
  }

  #send(id: number, message: Uint8Array, last: boolean): void {
    if (message.length > requestBytesMax) {
      throw new Error("a request is too large for this client");
    }
    const outgoing = { id, message, last };
    // Behind those that wait: the messages of a stream keep their order.
    if (this.#waiting.length === 0 && this.#fits(message)) this.#transmit(outgoing);
    else this.#waiting.push({ ...outgoing, message: Uint8Array.from(message) });
  }

  #fits(message: Uint8Array): boolean {
    return messageHeaderBytes + message.length <= this.#window;
  }

  #transmit({ id, last, message }: Outgoing): void {
    const bytes = messageOf(message);
    this.#window -= bytes.length;
    for (let at = 0; at < bytes.length; at += framePayloadBytesMax) {
      const part = bytes.subarray(at, at + framePayloadBytesMax);
      const isEnd = last && at + part.length === bytes.length;
      this.#frame(frameTypes.data, isEnd ? flags.endStream : 0, id, part);
    }
  }

  /** Sends soon: what is written in one turn goes out together. */
  #frame(type: number, bits: number, id: number, payload: Uint8Array): void {
    const at = this.#room(frameHeaderBytes + payload.length);
    writeFrameHeader(this.#out, at, payload.length, type, bits, id);
    this.#out.set(payload, at + frameHeaderBytes);
  }

  /** Makes room for so many bytes more, which are to be written at once; where they begin. */
  #room(bytes: number): number {
    const at = this.#outLength;
    this.#outLength += bytes;
    if (this.#outLength > this.#out.length) {
      const grown = Buffer.allocUnsafe(2 * this.#outLength);
      grown.set(this.#out.subarray(0, at));
      this.#out = grown;
    }
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      queueMicrotask(() => this.flush());
    }
    return at;
  }
}
