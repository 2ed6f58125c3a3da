/**
 * What a server serves, without a word on how bytes travel: services, their methods, and what a
 * handler sees of a call. Any transport can carry it (server.ts is one).
 */

/** A named group of methods. */
export interface Service {
  /** With its package: `grpc.health.v1.Health`. */
  readonly name: string;
  readonly methods: readonly Method[];
}

// Handlers and codecs are declared as methods, not as properties: TypeScript then lets a method of
// known messages stand where one of unknown messages is asked for.
export type Method = UnaryMethod<unknown, unknown> | StreamMethod<unknown, unknown>;

/** One request, one response. */
export interface UnaryMethod<Request, Response> {
  readonly kind: "unary";
  readonly name: string;
  readonly codec: Codec<Request, Response>;
  /**
   * Answers through `reply`, now or later, once. A StatusError, thrown or given to `reply`, says why
   * there is no answer; any other error is a fault of the server.
   */
  handle(request: Request, call: Call, reply: Reply<Response>): void;
}

/** Where the answer to a request goes. */
export interface Reply<Response> {
  send(response: Response): void;
  /**
   * Answers with a message of `length` bytes that is made while it is sent: the next piece when the
   * client has taken the one before. For messages so large that making them holds the event loop.
   */
  sendPieces(length: number, pieces: Iterator<Uint8Array, undefined>): void;
  fail(error: unknown): void;
}

/**
 * Any number of responses, to one request (`serverStream`) or any number of them (`bidiStream`); or
 * one response to any number of requests (`clientStream`).
 */
export interface StreamMethod<Request, Response> {
  readonly kind: "serverStream" | "clientStream" | "bidiStream";
  readonly name: string;
  readonly codec: Codec<Request, Response>;
  /** The stream ends well when it resolves, and as a StatusError says when it throws one. */
  handle(stream: Stream<Request, Response>): Promise<void>;
}

export type MethodKind = Method["kind"];

export interface Codec<Request, Response> {
  /** The message in bytes[from, to). Throws on bytes that are none. May keep views of `bytes`. */
  decode(bytes: Uint8Array, from: number, to: number): Request;
  /** The message behind `room` bytes that are anything. */
  encode(response: Response, room: number): Uint8Array;
}

/** What a handler may know of its caller. */
export interface Call {
  /** Aborts when the client is gone, its deadline has passed or the server is stopping. */
  readonly signal: AbortSignal;
  /** Whether `signal` has aborted, or would have: asking makes none. */
  readonly aborted: boolean;
  /** Address and port of the client. */
  readonly peer: string;
  /** The common name in the certificate that the client showed, which was verified. */
  readonly commonName: string | undefined;
  /** How long the client waits, from the beginning of the call; undefined for "for ever". */
  readonly deadlineMs: number | undefined;
  /** How long the newest request message was on the wire. */
  readonly requestBytes: number;
  /**
   * The first value of a metadata key (lower case); undefined where the client sent none. Of a key
   * that ends in "-bin" it is bytes, one char each.
   */
  metadata(key: string): string | undefined;
}

/** A call with many messages. */
export interface Stream<Request, Response> extends Call {
  /**
   * The client's messages, to be iterated once. They end when the client closes its side, which
   * does not end the stream, and when `signal` aborts, which does.
   */
  readonly requests: AsyncIterable<Request>;
  /** Queues a message. Dropped without a word when the stream is over. */
  send(response: Response): void;
  /** False while the client reads too slowly: wait for `drained` before sending more. */
  readonly writable: boolean;
  /** Resolves when the stream is writable again, or over. */
  drained(): Promise<void>;
}

/** A service as ts-proto describes it (outputServices=generic-definitions). */
export interface Definition {
  readonly fullName: string;
  readonly methods: Readonly<Record<string, MethodDefinition>>;
}

export interface MethodDefinition {
  readonly name: string;
  readonly requestType: MessageType<unknown>;
  readonly requestStream: boolean;
  readonly responseType: MessageType<unknown>;
  readonly responseStream: boolean;
}

export interface MessageType<T> {
  decode(bytes: Uint8Array): T;
  encode(message: T): { finish(): Uint8Array };
}

type MessageOf<Type> = Type extends { decode(bytes: Uint8Array): infer T } ? T : never;

type Handler<D extends MethodDefinition> = D["responseStream"] extends true
  ? StreamMethod<MessageOf<D["requestType"]>, MessageOf<D["responseType"]>>["handle"]
  : D["requestStream"] extends true
    ? Collector<MessageOf<D["requestType"]>, MessageOf<D["responseType"]>>
    : Responder<MessageOf<D["requestType"]>, MessageOf<D["responseType"]>>;

/** Answers a request, or throws StatusError: the handler of a unary method. */
type Responder<Request, Response> = (request: Request, call: Call) => Promise<Response> | Response;

/** Takes all requests, and answers once: the handler of a `clientStream`. */
type Collector<Request, Response> = (stream: Stream<Request, Response>) => Promise<Response>;

/** One handler for each method of `D`: a method without one does not compile. */
export type Handlers<D extends Definition> = {
  readonly [Name in keyof D["methods"]]: Handler<D["methods"][Name]>;
};

/** What may handle a method. */
type AnyHandler =
  | StreamMethod<unknown, unknown>["handle"]
  | Responder<unknown, unknown>
  | Collector<unknown, unknown>;

/** The service that `definition` describes, with its handlers. */
export function serviceOf<D extends Definition>(definition: D, handlers: Handlers<D>): Service {
  const methods = Object.entries(definition.methods).map(([key, method]) =>
    methodOf(method, handlers[key] as AnyHandler),
  );
  return { name: definition.fullName, methods };
}

function methodOf(definition: MethodDefinition, handler: AnyHandler): Method {
  const { name, requestStream, requestType, responseStream, responseType } = definition;
  const codec: Codec<unknown, unknown> = {
    decode: (bytes, from, to) => requestType.decode(bytes.subarray(from, to)),
    encode: (response, room) => behind(responseType.encode(response).finish(), room),
  };
  if (responseStream) {
    const handle = handler as StreamMethod<unknown, unknown>["handle"];
    return { kind: requestStream ? "bidiStream" : "serverStream", name, codec, handle };
  }
  if (requestStream) {
    const collect = handler as Collector<unknown, unknown>;
    const handle = async (stream: Stream<unknown, unknown>) => stream.send(await collect(stream));
    return { kind: "clientStream", name, codec, handle };
  }
  return { kind: "unary", name, codec, handle: replying(handler as Responder<unknown, unknown>) };
}

/** A handler that answers by what it returns, as one that answers through a Reply. */
function replying(respond: Responder<unknown, unknown>): UnaryMethod<unknown, unknown>["handle"] {
  return (request, call, reply) => {
    const response = respond(request, call);
    if (!(response instanceof Promise)) reply.send(response);
    else
      response.then(
        (value) => reply.send(value),
        (error) => reply.fail(error),
      );
  };
}

/** `message` behind `room` bytes that are anything: what a Codec's `encode` makes. */
export function behind(message: Uint8Array, room: number): Uint8Array {
  const bytes = new Uint8Array(room + message.length);
  bytes.set(message, room);
  return bytes;
}
