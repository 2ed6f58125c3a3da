/** Byte streams for tests: ports over TCP and TLS, and both ends of their connections, watched. */
import net from "node:net";
import tls from "node:tls";
import { listenPlain } from "../../src/rpc/plain.ts";
import { listenSecure } from "../../src/rpc/secure.ts";
import type { Accept, ListenAddress, Listener, Receiver, Socket } from "../../src/rpc/socket.ts";
import { Authority } from "../support/authority.ts";
import { until } from "./echo.ts";

/** What makes byte streams. */
export interface Transport {
  listen(accept: Accept, address?: ListenAddress): Promise<Listener>;
  /** A client that ends its half only when it is told to. */
  connect(port: number, host?: string): net.Socket;
}

const authority = Authority.root("authority");
const issued = authority.issue("server");
const certificates = {
  certificate: Buffer.from(issued.certificate),
  key: Buffer.from(issued.key),
};
const loopback = { host: "127.0.0.1", port: 0 };

/** By name. */
export const transports: Readonly<Record<string, Transport>> = {
  TCP: {
    listen: (accept, address = loopback) =>
      new Promise((resolve) => resolve(listenPlain(address, accept))),
    connect: (port, host = loopback.host) => net.connect({ port, host, allowHalfOpen: true }),
  },
  TLS: {
    listen: (accept, address = loopback) =>
      listenSecure(address, certificates, accept, () => undefined),
    connect: (port, host = loopback.host) => {
      const ca = authority.certificate;
      // A variable, because the types do not know `allowHalfOpen` here.
      const options = { port, host, servername: "localhost", ca, allowHalfOpen: true };
      return tls.connect(options);
    },
  },
};

/** The near end of a connection, and what happened to it. */
export class Near implements Receiver {
  readonly socket: Socket;
  readonly received: Uint8Array[] = [];
  bytes = 0;
  drains = 0;
  ends = 0;
  closes = 0;
  /** What happened though the end or the close had been told. */
  late = 0;
  onData: (bytes: Uint8Array) => void = () => undefined;
  onDrain: () => void = () => undefined;
  onEnd: () => void = () => undefined;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  data(bytes: Uint8Array): void {
    if (this.ends + this.closes > 0) this.late++;
    this.received.push(bytes);
    this.bytes += bytes.length;
    this.onData(bytes);
  }

  drain(): void {
    if (this.closes > 0) this.late++;
    this.drains++;
    this.onDrain();
  }

  end(): void {
    if (this.closes > 0) this.late++;
    this.ends++;
    this.onEnd();
  }

  close(): void {
    this.closes++;
  }
}

/** The far end: a client of node's, and what happened to it. */
export class Far {
  readonly socket: net.Socket;
  readonly received: Uint8Array[] = [];
  ended = false;
  closed = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => this.received.push(bytes));
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("error", () => undefined);
  }

  /** It was told, in one way or another, that nothing more comes. */
  get over(): boolean {
    return this.ended || this.closed;
  }

  get text(): string {
    return Buffer.concat(this.received).toString();
  }

  get bytes(): number {
    return this.received.reduce((sum, { length }) => sum + length, 0);
  }
}

/** A port whose connections do nothing by themselves. */
export class Streams implements Disposable {
  readonly listener: Listener;
  readonly accepted: Near[];
  readonly #transport: Transport;
  readonly #clients: net.Socket[] = [];

  private constructor(transport: Transport, listener: Listener, accepted: Near[]) {
    this.#transport = transport;
    this.listener = listener;
    this.accepted = accepted;
  }

  /** `prepare` is called with each new connection. */
  static async open(
    transport: Transport,
    prepare: (near: Near) => void = () => undefined,
    address?: ListenAddress,
  ): Promise<Streams> {
    const accepted: Near[] = [];
    const accept = (socket: Socket) => {
      const near = new Near(socket);
      accepted.push(near);
      prepare(near);
      return near;
    };
    return new Streams(transport, await transport.listen(accept, address), accepted);
  }

  connect(host?: string): Far {
    const socket = this.#transport.connect(this.listener.port, host);
    this.#clients.push(socket);
    return new Far(socket);
  }

  /** Both ends of a new connection. */
  async pair(host?: string): Promise<[Near, Far]> {
    const at = this.accepted.length;
    const far = this.connect(host);
    await until(() => this.accepted.length > at);
    return [this.accepted[at] as Near, far];
  }

  [Symbol.dispose](): void {
    this.listener.stop();
    for (const { socket } of this.accepted) socket.destroy();
    for (const socket of this.#clients) socket.destroy();
  }
}
