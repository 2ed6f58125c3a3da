/** A gRPC client for tests, on @grpc/grpc-js, made from the same definitions as the server. */
import * as grpc from "@grpc/grpc-js";
import type { Definition, MessageType, MethodDefinition } from "../../src/rpc/service.ts";

export interface ClientTls {
  readonly authority: Uint8Array;
  readonly certificate?: Uint8Array;
  readonly key?: Uint8Array;
}

export interface CallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** How a call ended, when not well. */
export class CallError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

type RequestOf<M extends MethodDefinition> =
  M["requestType"] extends MessageType<infer T> ? T : never;
type ResponseOf<M extends MethodDefinition> =
  M["responseType"] extends MessageType<infer T> ? T : never;

/** Unary methods as functions: request (what is left out is zero) to response, or CallError. */
export type Unary<D extends Definition> = {
  readonly [Name in keyof D["methods"]]: (
    request?: Partial<RequestOf<D["methods"][Name]>>,
    options?: CallOptions,
  ) => Promise<ResponseOf<D["methods"][Name]>>;
};

const same = (bytes: Buffer) => bytes;

export class Client {
  readonly #channel: grpc.Client;

  constructor(port: number, tls?: ClientTls) {
    const credentials =
      tls === undefined
        ? grpc.credentials.createInsecure()
        : grpc.credentials.createSsl(
            Buffer.from(tls.authority),
            tls.key && Buffer.from(tls.key),
            tls.certificate && Buffer.from(tls.certificate),
          );
    this.#channel = new grpc.Client(`127.0.0.1:${port}`, credentials, {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      "grpc.ssl_target_name_override": "localhost",
      "grpc.default_authority": "localhost",
      "grpc.use_local_subchannel_pool": 1,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.min_reconnect_backoff_ms": 50,
      "grpc.enable_retries": 0,
    });
  }

  /** The unary methods of a service. */
  unary<D extends Definition>(definition: D): Unary<D> {
    const calls = Object.entries(definition.methods).map(([key, method]) => [
      key,
      async (request: object = {}, options?: CallOptions) => {
        const path = `/${definition.fullName}/${method.name}`;
        const bytes = await this.raw(path, bytesOf(method.requestType, request), options);
        return method.responseType.decode(bytes);
      },
    ]);
    return Object.fromEntries(calls);
  }

  /** Sends bytes as the one request of a call; the bytes of the response, or CallError. */
  raw(path: string, request: Uint8Array, options: CallOptions = {}): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const call = this.#channel.makeUnaryRequest(
        path,
        same,
        same,
        Buffer.from(request),
        metadataOf(options),
        settingsOf(options),
        (error, response) => {
          if (error === null && response !== undefined) resolve(response);
          else reject(new CallError(error?.code ?? -1, error?.details ?? "no response"));
        },
      );
      options.signal?.addEventListener("abort", () => call.cancel());
    });
  }

  /** Opens a stream. */
  stream<M extends MethodDefinition>(
    definition: Definition,
    method: M,
    options: CallOptions = {},
  ): ClientStream<RequestOf<M>, ResponseOf<M>> {
    const call = this.#channel.makeBidiStreamRequest(
      `/${definition.fullName}/${method.name}`,
      same,
      same,
      metadataOf(options),
      settingsOf(options),
    );
    return new ClientStream(call, method);
  }

  close(): void {
    this.#channel.close();
  }
}

/** A stream, with what arrived kept until it is asked for. */
export class ClientStream<Request, Response> {
  /** How the stream ended. */
  readonly status: Promise<{ code: number; message: string }>;
  readonly #call: grpc.ClientDuplexStream<Buffer, Buffer>;
  readonly #method: MethodDefinition;
  readonly #arrived: Response[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(call: grpc.ClientDuplexStream<Buffer, Buffer>, method: MethodDefinition) {
    this.#call = call;
    this.#method = method;
    call.on("error", () => undefined);
    call.on("data", (bytes: Buffer) => {
      this.#arrived.push(method.responseType.decode(bytes) as Response);
      this.#wake();
    });
    this.status = new Promise((resolve) => {
      call.on("status", ({ code, details }: grpc.StatusObject) => {
        this.#ended = true;
        this.#wake();
        resolve({ code, message: details });
      });
    });
  }

  send(request: Partial<Request>): void {
    this.#call.write(Buffer.from(bytesOf(this.#method.requestType, request)));
  }

  sendBytes(bytes: Uint8Array): void {
    this.#call.write(Buffer.from(bytes));
  }

  /** The next message; undefined when the stream is over. */
  async next(): Promise<Response | undefined> {
    while (this.#arrived.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#arrived.shift();
  }

  /** Half-closes: nothing more is sent, messages still arrive. */
  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#call.cancel();
  }

  /** Stops reading, so that the server's messages pile up behind flow control. */
  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }
}

/** The bytes of a message of which some fields are given. */
function bytesOf(type: MessageType<unknown>, fields: object): Uint8Array {
  const zero = type.decode(new Uint8Array(0)) as object;
  return type.encode({ ...zero, ...fields }).finish();
}

function metadataOf({ metadata = {} }: CallOptions): grpc.Metadata {
  const made = new grpc.Metadata();
  for (const [key, value] of Object.entries(metadata)) made.set(key, value);
  return made;
}

function settingsOf({ deadlineMs }: CallOptions): grpc.CallOptions {
  return deadlineMs === undefined ? {} : { deadline: new Date(Date.now() + deadlineMs) };
}
