/**
 * The server: services on a port.
 *
 *   plain.ts, secure.ts ── Socket ──► protocol.ts ──► http2/connection.ts ──► Exchange ──► call.ts
 *                                          └────────► http1.ts, to another server
 */
import { InvariantError } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { Account, type Debtor } from "./account.ts";
import type { Caller, Calls, Entry, ServerCall } from "./call.ts";
import { Deadlines } from "./deadlines.ts";
import { type Head, headOf } from "./head.ts";
import { CompressionError } from "./hpack/decoder.ts";
import { relayHttp1 } from "./http1.ts";
import { Connection, type ConnectionOptions } from "./http2/connection.ts";
import { ConnectionError } from "./http2/error.ts";
import { OutputPool } from "./http2/output.ts";
import type { KeepaliveOptions } from "./http2/pings.ts";
import type { Request } from "./http2/request.ts";
import type { Stream, StreamReceiver } from "./http2/stream.ts";
import type { Application } from "./http2/streams.ts";
import type { Meters } from "./meters.ts";
import { listenPlain } from "./plain.ts";
import { type Conversation, Negotiation } from "./protocol.ts";
import { listenSecure, type SecureListener, TlsError, type TlsOptions } from "./secure.ts";
import type { Service } from "./service.ts";
import type { ListenAddress, Listener, Receiver, Socket } from "./socket.ts";
import { codes, type Status } from "./status.ts";
import { StreamingCall } from "./streaming.ts";
import { headOnly } from "./trailers.ts";
import { UnaryCall } from "./unary.ts";

export interface ServerOptions {
  readonly services: readonly Service[];
  /** Port 0 lets the system choose. */
  readonly listen: ListenAddress;
  readonly tls?: TlsOptions | undefined;
  /** Who answers HTTP/1.1 on the same port; nobody if left out. */
  readonly http1?: ListenAddress | undefined;
  readonly limits: ServerLimits;
  readonly keepalive: KeepaliveOptions;
  /** How calls end that the server ends because it stops, or that come too late. */
  readonly stopped: Status;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly meters: Meters;
  /** Takes a broken invariant that surfaced in a handler: the process should stop on it. */
  readonly fatal: (error: InvariantError) => void;
}

export interface ServerLimits {
  /** The largest message taken from a client. Those sent are not limited. */
  readonly receiveBytesMax: number;
  /** What a stream queues for a slow client before it says that it is not writable. */
  readonly sendQueueBytesMax: number;
  /** Calls in progress on one connection. */
  readonly concurrentStreamsMax: number;
  /**
   * Bytes of requests that are not complete and of responses that are not taken, over all clients:
   * when there are more, the client that they are kept for most of all is disconnected.
   */
  readonly heldBytesMax: number;
}

export interface Server {
  /** The port listened on. */
  readonly port: number;
  /** Streams that are open. */
  readonly streams: number;
  /** New connections see these; those that are open go on. TlsError when they cannot be used. */
  replaceCertificates(certificates: TlsOptions): void;
  /**
   * Takes no more connections and calls, ends the open streams at once, lets unary calls finish,
   * and closes what is left after `graceMs`.
   */
  stop(graceMs: number): Promise<void>;
}

/** The address cannot be listened on. `code` is the errno name, where there is one. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: string | undefined;

  constructor(host: string, port: number, cause: Error & { code?: string }) {
    super(`cannot listen on ${host}:${port}: ${cause.code ?? cause.message}`, { cause });
    this.code = cause.code;
  }
}

/** A server that takes calls. ListenError when it cannot listen, TlsError for bad certificates. */
export async function serve(options: ServerOptions): Promise<Server> {
  const front = new FrontDoor(options);
  await front.listen();
  return front;
}

const headerListBytesMax = 65_536;
/** What a client may send of one request before it is handled. */
const streamWindowBytes = 2 ** 20;
const tickMs = 1000;

/** A connection as it is kept track of. */
interface Guest extends Debtor {
  readonly socket: Socket;
  readonly conversation: Conversation;
}

class FrontDoor implements Server {
  readonly #options: ServerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #services = new Set<string>();
  readonly #streaming = new Set<ServerCall>();
  readonly #guests = new Set<Guest>();
  readonly #calls: Calls;
  readonly #connections: Omit<ConnectionOptions<Head>, "application">;
  readonly #over = new AbortController();
  readonly #account: Account;
  #listener: Listener | SecureListener | undefined;
  #isStopping = false;
  /** Called when the last connection is gone. */
  #emptied: (() => void) | undefined;

  constructor(options: ServerOptions) {
    const { clock, keepalive, limits, logger } = options;
    this.#options = options;
    this.#register(options.services, options.meters);
    this.#account = new Account(limits.heldBytesMax);
    this.#calls = {
      clock,
      meters: options.meters,
      deadlines: new Deadlines(clock),
      receiveBytesMax: limits.receiveBytesMax,
      sendQueueBytesMax: limits.sendQueueBytesMax,
      fault: (path, error) => this.#fault(path, error),
      streaming: this.#streaming,
    };
    this.#connections = {
      clock,
      keepalive,
      pool: new OutputPool(clock),
      settings: {
        concurrentStreamsMax: limits.concurrentStreamsMax,
        initialWindowBytes: streamWindowBytes,
        headerListBytesMax,
      },
      failed: (peer, error) => {
        if (isOfClient(error)) logger.debug("connection failed", { peer, error });
        else this.#fault("connection", error);
      },
    };
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get streams(): number {
    return this.#streaming.size;
  }

  async listen(): Promise<void> {
    const { listen, logger, tls } = this.#options;
    const accept = (socket: Socket) => this.#accept(socket);
    const failed = (error: Error) => logger.debug("TLS handshake failed", { error });
    try {
      this.#listener =
        tls === undefined
          ? listenPlain(listen, accept)
          : await listenSecure(listen, tls, accept, failed);
    } catch (cause) {
      if (cause instanceof TlsError) throw cause;
      throw new ListenError(listen.host, listen.port, cause as Error);
    }
    void this.#tick();
  }

  replaceCertificates(certificates: TlsOptions): void {
    if (this.#listener !== undefined && "replace" in this.#listener) {
      this.#listener.replace(certificates);
    }
  }

  async stop(graceMs: number): Promise<void> {
    const { clock, stopped } = this.#options;
    this.#isStopping = true;
    this.#listener?.stop();
    for (const call of [...this.#streaming]) call.abort(stopped);
    for (const { conversation } of [...this.#guests]) conversation.shutDown();
    const gone = new AbortController();
    this.#emptied = () => gone.abort();
    if (this.#guests.size > 0) await clock.sleep(graceMs, gone.signal);
    this.#over.abort();
    for (const { socket } of [...this.#guests]) socket.destroy();
  }

  #register(services: readonly Service[], meters: Meters): void {
    for (const service of services) {
      this.#services.add(service.name);
      for (const method of service.methods) {
        const path = `/${service.name}/${method.name}`;
        const instruments = meters.method(service.name, method.name, method.kind);
        this.#entries.set(path, { method, path, meters: instruments, handled: new Map() });
      }
    }
  }

  #fault(path: string, error: unknown): void {
    const { fatal, logger } = this.#options;
    const stack = error instanceof Error ? error.stack : undefined;
    logger.error("call failed", { call: path, error, stack });
    if (error instanceof InvariantError) fatal(error);
  }

  #accept(socket: Socket): Receiver {
    const caller = {
      peer: socket.peer,
      commonName: socket.commonName,
      hold: (bytes: number) => this.#account.hold(guest, bytes),
    };
    const http2 = () => this.#http2(socket, caller);
    const { http1: target } = this.#options;
    // Without anyone to pass it on to, HTTP/1.1 is told what is spoken here.
    const http1 = target === undefined ? http2 : () => relayHttp1(socket, target);
    const conversation = new Negotiation(socket, { http1, http2 }, this.#options.clock.now());
    const cutOff = (heldBytes: number) => this.#cutOff(socket, heldBytes);
    const guest: Guest = { socket, conversation, cutOff };
    this.#guests.add(guest);
    this.#account.join(guest);
    if (this.#isStopping) socket.destroy();
    return {
      data: (bytes) => conversation.data(bytes),
      drain: () => conversation.drain(),
      end: () => conversation.end(),
      close: () => {
        conversation.close();
        this.#account.leave(guest);
        this.#guests.delete(guest);
        if (this.#guests.size === 0) this.#emptied?.();
      },
    };
  }

  #cutOff(socket: Socket, heldBytes: number): void {
    const { peer } = socket;
    this.#options.logger.warn("a client that keeps us waiting was cut off", { peer, heldBytes });
    socket.destroy();
  }

  #http2(socket: Socket, caller: Caller): Conversation {
    const application: Application<Head> = {
      read: (request: Request) => headOf(request, (path) => this.#find(path)),
      open: (stream, head) => this.#open(stream, head, caller),
      refuseLarge: (stream) => {
        const message = `the header fields are larger than ${headerListBytesMax} bytes`;
        stream.respond(headOnly({ code: codes.resourceExhausted, message }, 431), true);
      },
      queued: caller.hold,
    };
    return new Connection(socket, { ...this.#connections, application });
  }

  #open(stream: Stream, head: Head, caller: Caller): StreamReceiver {
    const { entry, refusal } = head;
    if (entry === undefined || this.#isStopping) {
      stream.respond(refusal ?? headOnly(this.#options.stopped), true);
      return stream.receiver;
    }
    const { method } = entry;
    const call =
      method.kind === "unary"
        ? new UnaryCall(method, entry, head, stream, caller, this.#calls)
        : new StreamingCall(method, entry, head, stream, caller, this.#calls);
    stream.receiver = call;
    call.begin();
    return call;
  }

  #find(path: string): Entry | Status {
    const entry = this.#entries.get(path);
    return entry ?? { code: codes.unimplemented, message: this.#objection(path) };
  }

  #objection(path: string): string {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return `malformed method name: ${JSON.stringify(path)}`;
    const service = path.slice(1, slash);
    return this.#services.has(service)
      ? `unknown method ${path.slice(slash + 1)} for service ${service}`
      : `unknown service ${service}`;
  }

  /** Tells conversations the time, while the server lives. */
  async #tick(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      await clock.sleep(tickMs, signal);
      const now = clock.now();
      for (const { conversation } of [...this.#guests]) conversation.tick(now);
    }
  }
}

/** Whether it is the client that broke the protocol. */
function isOfClient(error: unknown): boolean {
  return error instanceof ConnectionError || error instanceof CompressionError;
}
