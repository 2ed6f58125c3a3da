/**
 * Which protocol a connection speaks: what TLS agreed on, or else what its first bytes say. HTTP/2
 * begins with a preface that no request of HTTP/1.1 can be (RFC 9113, section 3.4).
 */
import { preface } from "./http2/frame.ts";
import type { Receiver, Socket } from "./socket.ts";

/** What is spoken on a connection. */
export interface Conversation extends Receiver {
  /** Does what time asks for; to be called every second or so with monotonic milliseconds. */
  tick(now: number): void;
  /** Comes to an end: nothing more is taken. Over HTTP/2 what was asked is answered first. */
  shutDown(): void;
}

/** What is made of a connection, by the protocol it speaks. */
export interface Protocols {
  http2(socket: Socket): Conversation;
  http1(socket: Socket): Conversation;
}

/** The fewest bytes of the preface that no request of HTTP/1.1 begins with: "PRI * ". */
const tellingBytes = 6;
/** Who says nothing is not waited for any longer. */
const silenceMsMax = 10_000;

/** A connection whose protocol is found out when its first bytes come. */
export class Negotiation implements Conversation {
  readonly #socket: Socket;
  readonly #protocols: Protocols;
  readonly #born: number;
  #seen: Uint8Array = new Uint8Array(0);
  #chosen: Conversation | undefined;

  /** `now` in monotonic milliseconds. */
  constructor(socket: Socket, protocols: Protocols, now: number) {
    this.#socket = socket;
    this.#protocols = protocols;
    this.#born = now;
    if (socket.protocol === "h2") this.#chosen = protocols.http2(socket);
    if (socket.protocol === "http/1.1") this.#chosen = protocols.http1(socket);
  }

  data(bytes: Uint8Array): void {
    if (this.#chosen !== undefined) this.#chosen.data(bytes);
    else this.#choose(bytes);
  }

  drain(): void {
    this.#chosen?.drain();
  }

  end(): void {
    if (this.#chosen === undefined) this.#socket.destroy();
    else this.#chosen.end();
  }

  close(): void {
    this.#chosen?.close();
  }

  tick(now: number): void {
    if (this.#chosen !== undefined) this.#chosen.tick(now);
    else if (now - this.#born >= silenceMsMax) this.#socket.destroy();
  }

  shutDown(): void {
    if (this.#chosen === undefined) this.#socket.destroy();
    else this.#chosen.shutDown();
  }

  #choose(bytes: Uint8Array): void {
    const seen = this.#seen.length === 0 ? bytes : Buffer.concat([this.#seen, bytes]);
    const length = Math.min(seen.length, tellingBytes);
    const isHttp2 = Buffer.compare(seen.subarray(0, length), preface.subarray(0, length)) === 0;
    this.#seen = seen;
    if (isHttp2 && length < tellingBytes) return;
    const { http1, http2 } = this.#protocols;
    // A request of HTTP/1.1 begins with a method; anything else is for HTTP/2 to refuse.
    const isHttp1 = !isHttp2 && /^[A-Z]$/.test(String.fromCharCode(seen[0] as number));
    this.#seen = new Uint8Array(0);
    this.#chosen = isHttp1 ? http1(this.#socket) : http2(this.#socket);
    this.#chosen.data(seen);
  }
}
