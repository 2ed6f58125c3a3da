/**
 * TLS connections on node:tls, which costs 1.4 microseconds for a read and a write more than Bun's own
 * TLS sockets, and can be given other certificates while it listens.
 *
 *   replace ──► context ──► handshakes from then on
 *                           connections that are open keep what they agreed on
 */
import tls from "node:tls";
import { bufferOf } from "../lib/bytes.ts";
import type { Accept, ListenAddress, Listener, Socket } from "./socket.ts";

/** PEM texts. */
export interface TlsOptions {
  /** The server's own first, then each the one that signed the one before. */
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** Where given, clients must show a certificate that one of these signed. */
  readonly clientAuthority?: Uint8Array | undefined;
}

export interface SecureListener extends Listener {
  /**
   * Handshakes from now on use these. Whether clients must show a certificate stays as it was at
   * the start. TlsError, and nothing has changed, when they cannot be used.
   */
  replace(certificates: TlsOptions): void;
}

/** The TLS certificate, key or authority cannot be used. */
export class TlsError extends Error {
  override readonly name = "TlsError";

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`cannot use the TLS certificate, key or authority: ${reason}`, { cause });
  }
}

/** A client that has not finished its handshake after this long is cut off. */
const handshakeMsDefault = 10_000;
/** What a connection holds that the kernel has not taken. */
const waitingBytesMax = 256 * 1024;

/**
 * Listens at `address`; `accept` is called with each connection whose handshake went well. TLS 1.2
 * at least; HTTP/2 is preferred to HTTP/1.1, and a client that wants neither by ALPN is refused
 * (RFC 7301 section 3.2). `onError` is told what ended a handshake or a connection before its time:
 * nobody else is concerned. Rejects with TlsError, or with an error that has an errno `code`.
 */
export async function listenSecure(
  address: ListenAddress,
  certificates: TlsOptions,
  accept: Accept,
  onError: (error: Error) => void,
  handshakeTimeout = handshakeMsDefault,
): Promise<SecureListener> {
  const asks = certificates.clientAuthority !== undefined;
  const server = attempt(() =>
    tls.createServer({
      ...contextOf(certificates),
      ALPNProtocols: ["h2", "http/1.1"],
      requestCert: asks,
      rejectUnauthorized: asks,
      allowHalfOpen: true,
      noDelay: true,
      handshakeTimeout,
    }),
  );
  server.on("secureConnection", (socket) => connect(socket, asks, accept, onError));
  server.on("tlsClientError", (error, socket) => {
    socket.destroy();
    onError(error);
  });
  const port = await listening(server, address);
  server.on("error", onError);
  return {
    port,
    stop: () => server.close(),
    replace: (next) => {
      // Without an authority node would trust those that browsers trust.
      if (asks !== (next.clientAuthority !== undefined)) {
        throw new TlsError("whether clients must show a certificate is decided at the start");
      }
      attempt(() => server.setSecureContext(contextOf(next)));
    },
  };
}

function contextOf({ certificate, clientAuthority, key }: TlsOptions): tls.SecureContextOptions {
  return {
    cert: bufferOf(certificate),
    key: bufferOf(key),
    minVersion: "TLSv1.2",
    ...(clientAuthority && { ca: bufferOf(clientAuthority) }),
  };
}

function attempt<T>(action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw new TlsError(cause);
  }
}

/** Resolves to the port. */
function listening(server: tls.Server, { host, port }: ListenAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

function connect(
  socket: tls.TLSSocket,
  verified: boolean,
  accept: Accept,
  onError: (error: Error) => void,
): void {
  const receiver = accept(new Secure(socket, verified));
  socket.on("data", (bytes: Buffer) => receiver.data(bytes));
  socket.on("drain", () => receiver.drain());
  // Bun tells the end of what was destroyed here, too.
  socket.on("end", () => {
    if (!socket.destroyed) receiver.end();
  });
  socket.on("close", () => receiver.close());
  // What fails is closed, too: `close` comes next.
  socket.on("error", onError);
}

class Secure implements Socket {
  readonly peer: string;
  readonly commonName: string | undefined;
  readonly protocol: string | undefined;
  readonly #socket: tls.TLSSocket;

  constructor(socket: tls.TLSSocket, verified: boolean) {
    const { alpnProtocol, remoteAddress, remoteFamily, remotePort } = socket;
    const host = remoteFamily === "IPv6" ? `[${remoteAddress}]` : remoteAddress;
    this.peer = `${host}:${remotePort}`;
    this.commonName = verified ? commonNameOf(socket) : undefined;
    this.protocol = alpnProtocol || undefined;
    this.#socket = socket;
  }

  write(bytes: Uint8Array, from: number, to: number): number {
    const socket = this.#socket;
    if (!socket.writable) return 0;
    const count = Math.min(to - from, waitingBytesMax - socket.writableLength);
    if (count <= 0) return 0;
    // A copy: what the kernel does not take at once is kept, and encrypted later.
    socket.write(Buffer.from(bytes.subarray(from, from + count)));
    return count;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** The last one where the subject has several, as Go's crypto/x509 takes it; undefined for "". */
function commonNameOf(socket: tls.TLSSocket): string | undefined {
  const name: string | string[] | undefined = socket.getPeerCertificate().subject?.CN;
  return (Array.isArray(name) ? name.at(-1) : name) || undefined;
}
