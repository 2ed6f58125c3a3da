/**
 * The server on @grpc/grpc-js. Of that library it uses what speaks HTTP/2 and frames messages: an
 * interceptor takes every call over before its handler objects come in, so that unknown methods,
 * limits and errors answer with the texts of Go's gRPC, which etcd's clients know.
 */
import net from "node:net";
import tls from "node:tls";
import * as grpc from "@grpc/grpc-js";
import { InvariantError } from "../lib/assert.ts";
import { bufferOf } from "../lib/bytes.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import { type Calls, callOf, type Entry, type Incoming, type Wire } from "./call.ts";
import type { Meters } from "./meters.ts";
import type { Service } from "./service.ts";
import { type Code, codes, type Status } from "./status.ts";

export interface ServerOptions {
  readonly services: readonly Service[];
  /** Port 0 lets the system choose. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly tls?: TlsOptions | undefined;
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

/** PEM texts. TLS 1.2 at least. */
export interface TlsOptions {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** Where given, clients must show a certificate that it signed. */
  readonly clientAuthority?: Uint8Array | undefined;
}

export interface ServerLimits {
  /** The largest message taken from a client. Those sent are not limited. */
  readonly receiveBytesMax: number;
  /** What a stream queues for a slow client before it says that it is not writable. */
  readonly sendQueueBytesMax: number;
  /** Calls in progress on one connection. */
  readonly concurrentStreamsMax: number;
}

export interface KeepaliveOptions {
  /** A connection idle for this long is pinged. */
  readonly intervalMs: number;
  /** It is closed when no answer came for this long. */
  readonly timeoutMs: number;
}

export interface Server {
  /** The port listened on. */
  readonly port: number;
  /** Streams that are open. */
  readonly streams: number;
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

/** The TLS certificate, key or authority cannot be used. */
export class TlsError extends Error {
  override readonly name = "TlsError";

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`cannot use the TLS certificate, key or authority: ${reason}`, { cause });
  }
}

/** A server that takes calls. ListenError when it cannot listen, TlsError for bad files. */
export async function serve(options: ServerOptions): Promise<Server> {
  const front = new FrontDoor(options);
  await front.listen();
  return front;
}

class FrontDoor implements Server {
  readonly #options: ServerOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #services = new Set<string>();
  readonly #active = new Set<Incoming>();
  readonly #calls: Calls;
  readonly #sockets = new Set<net.Socket>();
  readonly #listener: net.Server;
  readonly #injector: grpc.ConnectionInjector;
  #stopping = false;
  /** Called when the last connection is gone. */
  #emptied: (() => void) | undefined;

  constructor(options: ServerOptions) {
    const { clock, limits, logger, meters, services, tls: secure } = options;
    this.#options = options;
    for (const service of services) {
      this.#services.add(service.name);
      for (const method of service.methods) {
        const path = `/${service.name}/${method.name}`;
        const instruments = meters.method(service.name, method.name, method.kind);
        this.#entries.set(path, { method, path, meters: instruments, handled: new Map() });
      }
    }
    this.#calls = {
      clock,
      meters,
      sendQueueBytesMax: limits.sendQueueBytesMax,
      active: this.#active,
      fault: (path, error) => {
        const stack = error instanceof Error ? error.stack : undefined;
        logger.error("call failed", { call: path, error, stack });
        if (error instanceof InvariantError) options.fatal(error);
      },
    };
    this.#injector = this.#transport().createConnectionInjector(
      grpc.ServerCredentials.createInsecure(),
    );
    this.#listener = listenerOf(secure, (socket) => this.#accept(socket));
    this.#listener.on("tlsClientError", (error: Error) => {
      logger.debug("TLS handshake failed", { error });
    });
  }

  get port(): number {
    const address = this.#listener.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get streams(): number {
    let count = 0;
    for (const call of this.#active) if (call.streaming) count++;
    return count;
  }

  listen(): Promise<void> {
    const { host, port } = this.#options.listen;
    const listener = this.#listener;
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) => reject(new ListenError(host, port, cause));
      listener.once("error", fail);
      listener.listen({ host, port }, () => {
        listener.off("error", fail);
        listener.on("error", (error) => this.#options.logger.warn("listener failed", { error }));
        resolve();
      });
    });
  }

  async stop(graceMs: number): Promise<void> {
    const { clock, stopped } = this.#options;
    this.#stopping = true;
    this.#listener.close();
    for (const call of this.#active) if (call.streaming) call.abort(stopped);
    this.#injector.drain(graceMs);
    const gone = new AbortController();
    this.#emptied = () => gone.abort();
    if (this.#sockets.size > 0) await clock.sleep(graceMs, gone.signal);
    for (const socket of this.#sockets) socket.destroy();
    for (const call of this.#active) call.cancel(codes.cancelled);
  }

  #accept(socket: net.Socket): void {
    if (this.#stopping) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.on("error", (error) => this.#options.logger.debug("connection failed", { error }));
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (this.#sockets.size === 0) this.#emptied?.();
    });
    this.#injector.injectConnection(socket);
  }

  /** grpc-js's server, made to hand every call to `#take`. */
  #transport(): grpc.Server {
    const { keepalive, limits } = this.#options;
    const server = new grpc.Server({
      "grpc.enable_channelz": 0,
      "grpc.keepalive_time_ms": keepalive.intervalMs,
      "grpc.keepalive_timeout_ms": keepalive.timeoutMs,
      "grpc.max_concurrent_streams": limits.concurrentStreamsMax,
      "grpc.max_receive_message_length": limits.receiveBytesMax,
      "grpc.max_send_message_length": -1,
      interceptors: [(method, call) => this.#take(method.path, call)],
    });
    // It looks a path up here before it runs interceptors, and answers unknown ones by itself.
    Reflect.set(server, "handlers", new AnyPath());
    return server;
  }

  #take(path: string, call: grpc.ServerInterceptingCallInterface): grpc.ServerInterceptingCall {
    const wire = new GrpcWire(call, this.#options.clock);
    call.start({
      onReceiveMetadata: (metadata) => {
        wire.received = metadata;
        const entry = this.#entries.get(path);
        if (entry === undefined) wire.end(this.#unimplemented(path));
        else wire.carry(callOf(entry, wire, this.#calls));
      },
      onReceiveMessage: (bytes: Uint8Array) => wire.call?.message(bytes),
      onReceiveHalfClose: () => wire.call?.halfClose(),
      onCancel: () => wire.call?.cancel(wire.endedBy),
    });
    return inert;
  }

  #unimplemented(path: string): Status {
    return { code: codes.unimplemented, message: this.#objection(path) };
  }

  #objection(path: string): string {
    const slash = path.lastIndexOf("/");
    if (slash <= 0) return `malformed method name: ${JSON.stringify(path)}`;
    const service = path.slice(1, slash);
    return this.#services.has(service)
      ? `unknown method ${path.slice(slash + 1)} for service ${service}`
      : `unknown service ${service}`;
  }
}

/** A call as grpc-js gives it. */
class GrpcWire implements Wire {
  readonly #call: grpc.ServerInterceptingCallInterface;
  readonly #send: grpc.ServerInterceptingCallInterface["sendStatus"];
  readonly deadlineMs: number | undefined;
  received: grpc.Metadata | undefined;
  call: Incoming | undefined;
  /** How the call ended, if grpc-js ended it. */
  endedBy: Code = codes.cancelled;

  constructor(call: grpc.ServerInterceptingCallInterface, clock: Clock) {
    this.#call = call;
    const deadline = Number(call.getDeadline());
    this.deadlineMs = Number.isFinite(deadline) ? deadline - clock.wall() : undefined;
    this.#send = call.sendStatus.bind(call);
    // grpc-js ends calls itself where a limit or the deadline is passed: in its own words.
    call.sendStatus = ({ code = codes.internal, details = "" }) => {
      this.endedBy = code as Code;
      this.end({ code: this.endedBy, message: goText(details) });
    };
  }

  get peer(): string {
    return this.#call.getPeer();
  }

  carry(call: Incoming): void {
    this.call = call;
    call.start();
  }

  metadata(key: string): string | undefined {
    const [value] = this.received?.get(key) ?? [];
    return typeof value === "string" ? value : undefined;
  }

  read(): void {
    this.#call.startRead();
  }

  send(message: Uint8Array, done: () => void): void {
    this.#call.sendMessage(bufferOf(message), done);
  }

  end(status: Status): void {
    this.#send({ code: status.code, details: status.message });
  }
}

/** The texts of Go's gRPC for what grpc-js says by itself. */
function goText(details: string): string {
  if (details === "Deadline exceeded") return "context deadline exceeded";
  return details.replace(
    /^Received message larger than max \((\d+) vs (\d+)\)$/,
    "grpc: received message larger than max ($1 vs. $2)",
  );
}

/** A handler for whatever path is asked for. Messages stay bytes. */
class AnyPath extends Map<string, object> {
  override get(path: string): object {
    const same = (bytes: Uint8Array) => bytes;
    return { path, type: "bidi", func: () => undefined, serialize: same, deserialize: same };
  }
}

/** Stands in for a call that has been taken over: grpc-js starts it, and nothing happens. */
const inert = { start: () => undefined } as unknown as grpc.ServerInterceptingCall;

function listenerOf(
  secure: TlsOptions | undefined,
  accept: (socket: net.Socket) => void,
): net.Server {
  if (secure === undefined) return net.createServer({ noDelay: true }, accept);
  try {
    return tls.createServer({ noDelay: true, ...tlsOptionsOf(secure) }, accept);
  } catch (cause) {
    throw new TlsError(cause);
  }
}

function tlsOptionsOf(options: TlsOptions): tls.TlsOptions {
  const { certificate, clientAuthority, key } = options;
  return {
    cert: bufferOf(certificate),
    key: bufferOf(key),
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.2",
    ...(clientAuthority === undefined
      ? {}
      : { ca: bufferOf(clientAuthority), requestCert: true, rejectUnauthorized: true }),
  };
}
