/**
 * HTTP/1.1 on a port that speaks HTTP/2: the connection is passed on, byte by byte, to a server that
 * speaks it.
 *
 *   client ◄──► Socket ── Relay ── Bun.connect ◄──► server on this machine
 */
import type { Conversation } from "./protocol.ts";
import type { ListenAddress, Socket } from "./socket.ts";

/** Bytes kept for a side that does not take them, before the other is stopped. */
const heldBytesMax = 65_536;
/** A connection on which nothing moves for so long is closed. */
const idleMsMax = 60_000;

/** Passes `socket` on to the server at `target`. */
export function relayHttp1(socket: Socket, target: ListenAddress): Conversation {
  return new Relay(socket, target);
}

/** Bytes on their way to one side. */
class Way {
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isEnded = false;
  write: ((bytes: Uint8Array) => number) | undefined;
  end: () => void = () => undefined;

  /** Takes bytes; false when there are more than are to be kept. */
  push(bytes: Uint8Array): boolean {
    const taken = this.#held.length === 0 ? (this.write?.(bytes) ?? 0) : 0;
    if (taken < bytes.length) {
      this.#held.push(bytes.subarray(taken));
      this.#heldBytes += bytes.length - taken;
    }
    return this.#heldBytes <= heldBytesMax;
  }

  /** Nothing follows what was pushed. */
  finish(): void {
    this.#isEnded = true;
    this.flush();
  }

  /** Hands over what is held; true when nothing is left. */
  flush(): boolean {
    if (this.write === undefined) return false;
    for (let bytes = this.#held.shift(); bytes !== undefined; bytes = this.#held.shift()) {
      const taken = this.write(bytes);
      this.#heldBytes -= taken;
      if (taken === bytes.length) continue;
      this.#held.unshift(bytes.subarray(taken));
      return false;
    }
    if (this.#isEnded) this.end();
    return true;
  }
}

class Relay implements Conversation {
  readonly #socket: Socket;
  readonly #there = new Way();
  readonly #back = new Way();
  #server: Bun.Socket | undefined;
  #isClosed = false;
  /** Whether anything came since the last tick, and since when nothing has. */
  #hasMoved = false;
  #since: number | undefined;

  constructor(socket: Socket, target: ListenAddress) {
    this.#socket = socket;
    this.#back.write = (bytes) => socket.write(bytes, 0, bytes.length);
    this.#back.end = () => socket.end();
    void this.#connect(target);
  }

  data(bytes: Uint8Array): void {
    this.#hasMoved = true;
    if (!this.#there.push(bytes)) this.#socket.pause();
  }

  drain(): void {
    if (this.#back.flush()) this.#server?.resume();
  }

  end(): void {
    this.#there.finish();
  }

  close(): void {
    this.#isClosed = true;
    this.#server?.terminate();
  }

  tick(now: number): void {
    if (this.#hasMoved) this.#since = now;
    this.#hasMoved = false;
    this.#since ??= now;
    if (now - this.#since >= idleMsMax) this.#socket.destroy();
  }

  /** At once: a page is cheap to ask for again. */
  shutDown(): void {
    this.#socket.destroy();
  }

  async #connect({ host, port }: ListenAddress): Promise<void> {
    try {
      await Bun.connect({
        hostname: host,
        port,
        allowHalfOpen: true,
        socket: {
          open: (server) => this.#opened(server),
          data: (server, bytes) => {
            this.#hasMoved = true;
            if (!this.#back.push(bytes)) server.pause();
          },
          drain: () => {
            if (this.#there.flush()) this.#socket.resume();
          },
          end: () => this.#back.finish(),
          close: () => this.#back.finish(),
          error: () => undefined,
        },
      });
    } catch {
      this.#socket.destroy();
    }
  }

  #opened(server: Bun.Socket): void {
    if (this.#isClosed) return void server.terminate();
    this.#server = server;
    this.#there.write = (bytes) => Math.max(0, server.write(bytes));
    this.#there.end = () => server.shutdown();
    if (this.#there.flush()) this.#socket.resume();
  }
}
