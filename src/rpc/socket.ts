/**
 * Byte streams, as whatever speaks over them sees them. Two files make them: plain.ts on Bun's TCP
 * sockets, secure.ts on node's TLS.
 *
 *   network ── data, end, close, drain ──► Receiver
 *   network ◄── write, pause, resume ───── whoever has the Socket
 */

/** The near end of an open connection. */
export interface Socket {
  /** Address and port of the far end: `127.0.0.1:40000`, `[::1]:40000`. */
  readonly peer: string;
  /** The common name in the client's certificate, which was verified; undefined without one. */
  readonly commonName: string | undefined;
  /** The protocol that TLS agreed on (ALPN, RFC 7301); undefined where none was. */
  readonly protocol: string | undefined;
  /**
   * Hands bytes[from, to) over, as many as there is room for: returns how many. Where that is not
   * all, `drain` tells when to go on. The bytes may be reused when it returns.
   */
  write(bytes: Uint8Array, from: number, to: number): number;
  /** No `data` until `resume`. */
  pause(): void;
  resume(): void;
  /** Says that nothing more is sent, behind all that was handed over. */
  end(): void;
  /** Closes at once, whatever is on its way. */
  destroy(): void;
}

/** Takes what happens to a connection. */
export interface Receiver {
  /** Bytes arrived; they belong to the receiver. */
  data(bytes: Uint8Array): void;
  /** There is room to write again. */
  drain(): void;
  /** The far end sends nothing more. */
  end(): void;
  /** The connection is gone; called once, last. */
  close(): void;
}

/** Called with each new connection. */
export type Accept = (socket: Socket) => Receiver;

/** A port that takes connections. */
export interface Listener {
  readonly port: number;
  /** Takes no more. Those that are open stay open. */
  stop(): void;
}

/** Where to listen; port 0 lets the system choose. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}
