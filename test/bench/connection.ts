/**
 * A gRPC client for load: as little of HTTP/2 (RFC 9113) as two known servers need. It costs a few
 * microseconds a call where @grpc/grpc-js costs a hundred and more, and on a machine of two cores
 * what the client takes is taken from the server. Headers are sent as HPACK literals and never
 * decoded: a response that carries a message is a success, one that ends without is an error.
 *
 *   request    HEADERS, DATA (END_STREAM)
 *   response   HEADERS, DATA ..., HEADERS (END_STREAM);  for an error, HEADERS (END_STREAM) alone
 *
 * What the server may send is not limited. What it takes is: a connection's window is minded, a
 * stream's need not be, because a request is smaller than any server's.
 */
import type { Socket } from "bun";

const types = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  window: 8,
} as const;
const endStream = 1;
const acknowledged = 1;
const endHeaders = 4;

const frameHeaderBytes = 9;
const messageHeaderBytes = 5;
const framePayloadBytesMax = 16_384;
const windowBytesMin = 65_535;
const windowBytesMax = 2 ** 31 - 1;
/** Messages must be smaller than this; see above. */
const requestBytesMax = windowBytesMin - messageHeaderBytes;

const empty = Buffer.alloc(0);

/** Takes what arrives on one stream. */
export interface Listener {
  /** Bytes of DATA, any cut; theirs until it returns. */
  data(bytes: Buffer): void;
  /** Nothing follows. */
  end(): void;
}

/** Sends a message on a stream; after the `last` one none may follow. */
export type Send = (message: Uint8Array, last: boolean) => void;

/** One connection to a server on 127.0.0.1. */
export class Connection {
  readonly #listeners = new Map<number, Listener>();
  readonly #headers = new Map<string, Buffer>();
  readonly #socket: Socket<undefined>;
  #error: Error | undefined;
  #nextStream = 1;
  /** The beginning of a frame whose rest has not arrived. */
  #rest: Buffer = empty;
  #unsent: Buffer[] = [];
  #isFlushing = false;
  /** Bytes of DATA that the server still takes, and messages that wait for more of it. */
  #window = windowBytesMin;
  #waiting: (() => void)[] = [];
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
    this.#write(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"));
    this.#write(frameOf(types.settings, 0, 0, settings));
    this.#write(windowUpdate(windowBytesMax - windowBytesMin));
  }

  /** Makes a call with one request; the bytes of its one response. Rejects on any other ending. */
  call(path: string, request: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      let response: Buffer | undefined;
      const messages = new Messages((message) => {
        response = message;
      });
      const send = this.stream(path, {
        data: (bytes) => messages.push(bytes),
        end: () => {
          if (response !== undefined) resolve(response);
          else reject(this.#error ?? new Error(`${path} ended with an error`));
        },
      });
      send(request, true);
    });
  }

  /** Starts a call with any number of messages either way. */
  stream(path: string, listener: Listener): Send {
    const id = this.#nextStream;
    this.#nextStream += 2;
    this.#listeners.set(id, listener);
    if (this.#error !== undefined) queueMicrotask(() => this.#end(id));
    this.#write(frameOf(types.headers, endHeaders, id, this.#headersOf(path)));
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
    if (this.#unsent.length === 0) return;
    const bytes =
      this.#unsent.length === 1 ? (this.#unsent[0] as Buffer) : Buffer.concat(this.#unsent);
    const taken = Math.max(0, this.#socket.write(bytes));
    // The socket calls again when it has room.
    this.#unsent = taken === bytes.length ? [] : [bytes.subarray(taken)];
    this.#isFlushing = this.#unsent.length > 0;
  }

  /** For the socket: bytes have arrived. */
  receive(bytes: Buffer): void {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    let at = 0;
    while (all.length - at >= frameHeaderBytes) {
      const end = at + frameHeaderBytes + all.readUIntBE(at, 3);
      if (end > all.length) break;
      const [type, flags] = [all[at + 3] as number, all[at + 4] as number];
      this.#take(type, flags, all.readUInt32BE(at + 5), all.subarray(at + frameHeaderBytes, end));
      at = end;
    }
    this.#rest = at === all.length ? empty : Buffer.from(all.subarray(at));
  }

  #take(type: number, flags: number, id: number, payload: Buffer): void {
    const isAnswer = (flags & acknowledged) !== 0;
    if (type === types.data) {
      this.#thank(payload.length);
      this.#listeners.get(id)?.data(payload);
    } else if (type === types.settings && !isAnswer) {
      this.#write(frameOf(types.settings, acknowledged, 0, empty));
    } else if (type === types.ping && !isAnswer) {
      this.#write(frameOf(types.ping, acknowledged, 0, payload));
    } else if (type === types.window && id === 0) {
      this.#widen(payload.readUInt32BE(0));
    } else if (type === types.goAway) {
      this.fail(new Error(`the server goes away: ${payload.toString("latin1", 8)}`));
    }
    const ends = (type === types.data || type === types.headers) && (flags & endStream) !== 0;
    if (ends || type === types.reset) this.#end(id);
  }

  #end(id: number): void {
    const listener = this.#listeners.get(id);
    this.#listeners.delete(id);
    listener?.end();
  }

  #thank(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < windowBytesMax / 4) return;
    this.#write(windowUpdate(this.#owed));
    this.#owed = 0;
  }

  #widen(bytes: number): void {
    this.#window += bytes;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const send of waiting) send();
  }

  #send(id: number, message: Uint8Array, last: boolean): void {
    const bytes = Buffer.allocUnsafe(messageHeaderBytes + message.length);
    if (message.length >= requestBytesMax)
      throw new Error("a request is too large for this client");
    bytes[0] = 0;
    bytes.writeUInt32BE(message.length, 1);
    bytes.set(message, messageHeaderBytes);
    const send = () => {
      if (this.#window < bytes.length) {
        this.#waiting.push(send);
        return;
      }
      this.#window -= bytes.length;
      for (let at = 0; at < bytes.length; at += framePayloadBytesMax) {
        const part = bytes.subarray(at, at + framePayloadBytesMax);
        const isEnd = last && at + part.length === bytes.length;
        this.#write(frameOf(types.data, isEnd ? endStream : 0, id, part));
      }
    };
    send();
  }

  /** Sends soon: what is written in one turn goes out together. */
  #write(bytes: Buffer): void {
    this.#unsent.push(bytes);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => this.flush());
  }

  #headersOf(path: string): Buffer {
    let headers = this.#headers.get(path);
    if (headers === undefined) {
      headers = Buffer.concat([
        // :method POST and :scheme http stand in HPACK's static table, as do the names 4, 1 and 31.
        Buffer.from([0x83, 0x86]),
        literal(4, path),
        literal(1, "127.0.0.1"),
        literal(31, "application/grpc"),
        literal("te", "trailers"),
      ]);
      this.#headers.set(path, headers);
    }
    return headers;
  }
}

/** Puts messages together from DATA. */
export class Messages {
  readonly #take: (message: Buffer) => void;
  #rest: Buffer = empty;

  /** `take` gets each message when it is whole; the bytes are its own. */
  constructor(take: (message: Buffer) => void) {
    this.#take = take;
  }

  push(bytes: Buffer): void {
    let all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (all.length >= messageHeaderBytes) {
      const end = messageHeaderBytes + all.readUInt32BE(1);
      if (end > all.length) break;
      this.#take(Buffer.from(all.subarray(messageHeaderBytes, end)));
      all = all.subarray(end);
    }
    this.#rest = Buffer.from(all);
  }
}

function frameOf(type: number, flags: number, id: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(frameHeaderBytes + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(id, 5);
  bytes.set(payload, frameHeaderBytes);
  return bytes;
}

function windowUpdate(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return frameOf(types.window, 0, 0, payload);
}

/** A header that goes into no table: its name in full, or where it stands in the static one. */
function literal(name: string | number, value: string): Buffer {
  if (typeof name === "string") return Buffer.concat([Buffer.of(0), text(name), text(value)]);
  const place = name < 15 ? Buffer.of(name) : Buffer.of(15, name - 15);
  return Buffer.concat([place, text(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length), Buffer.from(value, "latin1")]);
}
