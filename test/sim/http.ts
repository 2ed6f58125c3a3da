/**
 * As much of HTTP/1.1 as an S3 client speaks, over plain sockets: whoever answers has the connection
 * in hand, can cut an answer anywhere, reset the connection, or not answer at all.
 */
import type { Socket, TCPSocketListener, TLSOptions } from "bun";

export interface HttpRequest {
  readonly method: string;
  /** As sent: escaped, with the query. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** One request's way back. */
export interface Exchange {
  answer(answer: HttpAnswer): void;
  /** Sends the first part of an answer and ends the connection: in order, or with a reset. */
  cut(answer: HttpAnswer, how: "end" | "reset"): void;
  reset(): void;
}

export interface HttpServer extends Disposable {
  readonly port: number;
}

interface Connection {
  received: Buffer;
  /** What came after that, while less than `wanted` bytes are there: a large body comes in many. */
  parts: Buffer[];
  partsBytes: number;
  wanted: number;
}

/** Serves on a free port of 127.0.0.1; `serve` decides about each request, one after the other. */
export function serveHttp(
  serve: (request: HttpRequest, exchange: Exchange) => Promise<void>,
  tls?: TLSOptions,
): HttpServer {
  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    ...(tls === undefined ? {} : { tls }),
    socket: {
      open: (socket) => {
        socket.data = { received: Buffer.alloc(0), parts: [], partsBytes: 0, wanted: 0 };
      },
      data: (socket, chunk) => {
        const { data } = socket;
        data.parts.push(chunk);
        data.partsBytes += chunk.length;
        if (data.received.length + data.partsBytes < data.wanted) return;
        data.received = Buffer.concat([data.received, ...data.parts]);
        [data.parts, data.partsBytes, data.wanted] = [[], 0, 0];
        for (let next = take(data); next !== undefined; next = take(data)) {
          void serve(next, exchangeOf(socket));
        }
      },
      drain: (socket) => waiting.get(socket)?.(),
      close: (socket) => {
        waiting.delete(socket);
      },
    },
  }) as TCPSocketListener<Connection>;
  return { port: listener.port, [Symbol.dispose]: () => listener.stop(true) };
}

/** The first whole request that was received. */
function take(connection: Connection): HttpRequest | undefined {
  const { received } = connection;
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [first = "", ...lines] = received.subarray(0, end).toString("latin1").split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const bodyEnd = end + 4 + Number(headers["content-length"] ?? 0);
  if (received.length < bodyEnd) {
    connection.wanted = bodyEnd;
    return undefined;
  }
  connection.received = received.subarray(bodyEnd);
  return { method, target, headers, body: Buffer.from(received.subarray(end + 4, bodyEnd)) };
}

const waiting = new Map<Socket<Connection>, () => void>();

function exchangeOf(socket: Socket<Connection>): Exchange {
  return {
    answer: (answer) => send(socket, bytesOf(answer), () => undefined),
    cut: (answer, how) => {
      const bytes = bytesOf(answer);
      const head = bytes.indexOf("\r\n\r\n") + 4;
      const bodyBytes = bytes.length - head;
      // Half of the body, or of the head when there is none.
      const part = bytes.subarray(0, bodyBytes > 0 ? head + (bodyBytes >> 1) : head >> 1);
      send(socket, part, () => (how === "end" ? socket.end() : socket.terminate()));
    },
    reset: () => socket.terminate(),
  };
}

function bytesOf({ body = "", headers = {}, status }: HttpAnswer): Buffer {
  const content = Buffer.from(body as Uint8Array);
  const own: Record<string, string> = { "content-length": `${content.length}`, ...headers };
  const lines = Object.entries(own).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `HTTP/1.1 ${status} ${status < 300 ? "OK" : "No"}\r\n${lines.join("")}\r\n`;
  return Buffer.concat([Buffer.from(head), content]);
}

function send(socket: Socket<Connection>, bytes: Buffer, done: () => void): void {
  const sent = socket.write(bytes);
  if (sent < 0) return;
  if (sent === bytes.length) {
    socket.flush();
    waiting.delete(socket);
    done();
  } else waiting.set(socket, () => send(socket, bytes.subarray(sent), done));
}
