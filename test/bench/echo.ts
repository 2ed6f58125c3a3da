/**
 * The least that a server can do: HTTP/2 on Bun's sockets, and the same answer to each request, which
 * nobody reads. What a database in its place reaches is a share of this. Runs as `main.ts echo`.
 *
 *   out   the port, one line
 *   in    nothing; it ends when that ends
 */
import type { Socket } from "bun";
import { PutResponse } from "../../src/gen/etcdserverpb/rpc.ts";
import { literal } from "./fields.ts";
import {
  empty,
  FrameReader,
  flags,
  frameOf,
  frameTypes,
  incrementOf,
  messageOf,
  preface,
  windowBytesMax,
  windowBytesMin,
} from "./frames.ts";
import { type Part, startPart } from "./process.ts";

/** HEADERS, DATA, HEADERS; and where the streams' ids stand in them. */
const answer = answerBytes();

/** Starts one in a process of its own. */
export async function startEcho(): Promise<Part & { readonly port: number }> {
  const part = startPart("echo");
  return { ...part, port: Number(await part.next()) };
}

/** The process. */
export async function runEcho(): Promise<void> {
  const server = Bun.listen<Echo>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        socket.data = new Echo(socket);
      },
      data: (socket, bytes) => socket.data.receive(bytes),
      drain: (socket) => socket.data.flush(),
    },
  });
  process.stdout.write(`${server.port}\n`);
  for await (const _ of console);
  process.exit(0);
}

class Echo {
  readonly #socket: Socket<Echo>;
  readonly #frames = new FrameReader((type, bits, stream, bytes, from, to) =>
    this.#take(type, bits, stream, bytes.subarray(from, to)),
  );
  #awaitsPreface = true;
  #out = Buffer.allocUnsafe(2 ** 16);
  #length = 0;
  #owed = 0;

  constructor(socket: Socket<Echo>) {
    this.#socket = socket;
    this.#write(frameOf(frameTypes.settings, 0, 0, empty));
    this.#owed = windowBytesMax - windowBytesMin;
    this.#thank(0);
    this.flush();
  }

  receive(bytes: Buffer): void {
    this.#frames.push(this.#awaitsPreface ? bytes.subarray(preface.length) : bytes);
    this.#awaitsPreface = false;
    this.flush();
  }

  flush(): void {
    const taken = Math.max(0, this.#socket.write(this.#out.subarray(0, this.#length)));
    this.#out.copyWithin(0, taken, this.#length);
    this.#length -= taken;
  }

  #take(type: number, bits: number, stream: number, payload: Buffer): void {
    if (type === frameTypes.settings && (bits & flags.acknowledged) === 0) {
      this.#write(frameOf(frameTypes.settings, flags.acknowledged, 0, empty));
    } else if (type === frameTypes.ping && (bits & flags.acknowledged) === 0) {
      this.#write(frameOf(frameTypes.ping, flags.acknowledged, 0, payload));
    } else if (type === frameTypes.data) {
      this.#thank(payload.length);
      if ((bits & flags.endStream) !== 0) this.#answer(stream);
    }
  }

  #answer(stream: number): void {
    const at = this.#length;
    this.#write(answer.bytes);
    for (const place of answer.places) this.#out.writeUInt32BE(stream, at + place);
  }

  #thank(bytes: number): void {
    this.#owed += bytes;
    if (this.#owed < windowBytesMax / 4) return;
    this.#write(frameOf(frameTypes.window, 0, 0, incrementOf(this.#owed)));
    this.#owed = 0;
  }

  #write(bytes: Buffer): void {
    if (this.#length + bytes.length > this.#out.length) {
      this.#out = Buffer.concat([this.#out, Buffer.allocUnsafe(this.#out.length)]);
    }
    this.#out.set(bytes, this.#length);
    this.#length += bytes.length;
  }
}

function answerBytes() {
  const header = { clusterId: 1n, memberId: 1n, revision: 1000, raftTerm: 2 };
  const message = PutResponse.encode({ header, prevKv: undefined }).finish();
  const frames = [
    frameOf(
      frameTypes.headers,
      flags.endHeaders,
      0,
      Buffer.concat([Buffer.of(0x88), literal(31, "application/grpc")]),
    ),
    frameOf(frameTypes.data, 0, 0, messageOf(message)),
    frameOf(frameTypes.headers, flags.endHeaders | flags.endStream, 0, literal("grpc-status", "0")),
  ];
  const places: number[] = [];
  let at = 0;
  for (const { length } of frames) {
    places.push(at + 5);
    at += length;
  }
  return { bytes: Buffer.concat(frames), places };
}
