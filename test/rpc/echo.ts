/** A service whose messages are texts, for the tests of servers. */
import { expect } from "bun:test";
import type { InvariantError } from "../../src/lib/assert.ts";
import { type Clock, SystemClock } from "../../src/lib/clock.ts";
import { createLogger, type Logger } from "../../src/lib/logger.ts";
import { noMeters } from "../../src/rpc/meters.ts";
import type { Server, ServerOptions } from "../../src/rpc/server.ts";
import { type Handlers, type MessageType, serviceOf } from "../../src/rpc/service.ts";
import { codes, StatusError } from "../../src/rpc/status.ts";
import { Client, type ClientTls } from "../support/client.ts";
import { secured } from "./secured.ts";

export interface Text {
  text: string;
}

/** UTF-8, but nothing may begin with 0xff: those bytes are malformed. */
export const TextType: MessageType<Text> = {
  decode(bytes) {
    if (bytes[0] === 0xff) throw new Error("begins with 0xff");
    return { text: new TextDecoder().decode(bytes) };
  },
  encode: ({ text }) => ({ finish: () => new TextEncoder().encode(text) }),
};

const method = <
  const Name extends string,
  const Request extends boolean,
  const Response extends boolean,
>(
  name: Name,
  requestStream: Request,
  responseStream: Response,
) => ({ name, requestStream, responseStream, requestType: TextType, responseType: TextType });

export const EchoDefinition = {
  fullName: "test.Echo",
  methods: {
    say: method("Say", false, false),
    list: method("List", false, true),
    join: method("Join", true, false),
    chat: method("Chat", true, true),
  },
};

export type EchoHandlers = Handlers<typeof EchoDefinition>;

/** Answers with what it is asked, word by word or joined; streams echo until the client half-closes. */
export const echo: EchoHandlers = {
  say: (request) => request,
  async list(stream) {
    for await (const { text } of stream.requests) {
      for (const word of text.split(" ")) stream.send({ text: word });
    }
  },
  async join(stream) {
    const texts: string[] = [];
    for await (const { text } of stream.requests) texts.push(text);
    return { text: texts.join(" ") };
  },
  async chat(stream) {
    for await (const request of stream.requests) stream.send(request);
  },
};

export const stopped = { code: codes.unavailable, message: "the server stopped" };

export const refusal = (message: string) => new StatusError(codes.notFound, message);

export type Serve = (options: ServerOptions) => Promise<Server>;

/** A server with its client, and what it logged. */
export class Bench implements AsyncDisposable {
  readonly server: Server;
  readonly client: Client;
  readonly logged: Record<string, unknown>[];
  readonly broken: InvariantError[];

  private constructor(parts: Pick<Bench, "server" | "client" | "logged" | "broken">) {
    this.server = parts.server;
    this.client = parts.client;
    this.logged = parts.logged;
    this.broken = parts.broken;
  }

  static async open(
    serve: Serve,
    handlers: Partial<EchoHandlers> = {},
    options: Partial<ServerOptions> = {},
    tls?: ClientTls,
  ): Promise<Bench> {
    const logged: Record<string, unknown>[] = [];
    const broken: InvariantError[] = [];
    const server = await serve({
      services: [serviceOf(EchoDefinition, { ...echo, ...handlers })],
      listen: { host: "127.0.0.1", port: 0 },
      limits: {
        receiveBytesMax: 2_097_152,
        sendQueueBytesMax: 262_144,
        concurrentStreamsMax: 1000,
        heldBytesMax: 512 * 2 ** 20,
      },
      keepalive: { intervalMs: 7_200_000, timeoutMs: 20_000 },
      stopped,
      clock: new SystemClock(),
      logger: loggerTo(logged),
      meters: noMeters,
      fatal: (error) => broken.push(error),
      tls: secured?.server,
      ...options,
    });
    const client = new Client(server.port, tls ?? secured?.client);
    return new Bench({ server, client, logged, broken });
  }

  say(text: string): Promise<string> {
    return this.client
      .unary(EchoDefinition)
      .say({ text })
      .then((response) => response.text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.server.stop(1000);
  }
}

function loggerTo(lines: Record<string, unknown>[]): Logger {
  return createLogger({
    level: "info",
    format: "json",
    wall: () => 0,
    write: (line) => lines.push(JSON.parse(line)),
  });
}

/** A clock whose sleepers wake when they are told to. */
export class HeldClock implements Clock {
  readonly #real = new SystemClock();
  readonly #sleepers = new Set<() => void>();

  now(): number {
    return this.#real.now();
  }

  elapsed(): number {
    return this.now();
  }

  wall(): number {
    return this.#real.wall();
  }

  sleep(_milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#sleepers.add(resolve);
      signal?.addEventListener("abort", () => resolve());
    });
  }

  yield(): Promise<void> {
    return this.#real.yield();
  }

  /** Lets all sleepers go. */
  wake(): void {
    for (const resolve of this.#sleepers) resolve();
    this.#sleepers.clear();
  }
}

/** Resolves when `condition` holds; the test's own time limit is the only one. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** The code and message a call was refused with. */
export async function refusalOf(
  call: Promise<unknown>,
): Promise<{ code: number; message: string }> {
  const outcome = await call.then(
    () => undefined,
    (error: { code: number; message: string }) => error,
  );
  expect(outcome).toBeDefined();
  return { code: outcome?.code ?? -1, message: outcome?.message ?? "" };
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
}
