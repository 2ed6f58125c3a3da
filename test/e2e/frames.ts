/**
 * HTTP/2 by hand (RFC 9113), for what no client library would send.
 *
 *   frame    length, u24 | type, u8 | flags, u8 | stream, u31 | payload
 *   header   0 | length, u7+ | name | length, u7+ | value    (literal, never indexed; RFC 7541 6.2.2)
 */
import net from "node:net";

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const endStream = 1;
export const endHeaders = 4;

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const settings = frame(frameTypes.settings, 0, 0, Buffer.alloc(0));

export function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block of literal fields. */
export function headerBlock(fields: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([Buffer.of(0), hpackText(name), hpackText(value)]),
  );
  return Buffer.concat(parts);
}

/** The header block of a gRPC call, with more fields if given. */
export function callHeaders(path: string, more: Readonly<Record<string, string>> = {}): Buffer {
  return headerBlock({
    ":method": "POST",
    ":scheme": "http",
    ":path": path,
    ":authority": "localhost",
    "content-type": "application/grpc",
    te: "trailers",
    ...more,
  });
}

/** A gRPC message in its frame: not compressed, its length, its bytes. */
export function message(bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text);
  const lengths = [Math.min(bytes.length, 127)];
  if (bytes.length >= 127) {
    let rest = bytes.length - 127;
    for (; rest >= 128; rest = Math.floor(rest / 128)) lengths.push((rest % 128) + 128);
    lengths.push(rest);
  }
  return Buffer.concat([Buffer.from(lengths), bytes]);
}

/** A connection on which anything may be said. */
export class RawConnection implements Disposable {
  /** Resolves when it is closed, by whom ever. */
  readonly closed: Promise<void>;
  readonly #socket: net.Socket;

  constructor(port: number) {
    this.#socket = net.connect(port, "127.0.0.1");
    this.#socket.on("error", () => undefined);
    this.#socket.resume();
    this.closed = new Promise((resolve) => this.#socket.on("close", () => resolve()));
  }

  /** Resolves when the bytes have gone to the system, or the connection is closed. */
  async send(...pieces: readonly Uint8Array[]): Promise<void> {
    if (this.#socket.destroyed) return;
    const sent = new Promise<void>((resolve) => {
      this.#socket.write(Buffer.concat(pieces), () => resolve());
    });
    await Promise.race([sent, this.closed]);
  }

  /** Takes in nothing more. */
  pause(): void {
    this.#socket.pause();
  }

  /** Says that nothing more follows. */
  end(): void {
    this.#socket.end();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
