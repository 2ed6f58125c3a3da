/**
 * A connection without a network: its far end is the test, which says when the server's bytes are
 * taken, when the client's half is closed, and what time it is.
 */
import type { Clock } from "../../src/lib/clock.ts";
import { SystemClock } from "../../src/lib/clock.ts";
import { Connection } from "../../src/rpc/http2/connection.ts";
import { OutputPool } from "../../src/rpc/http2/output.ts";
import type { Stream } from "../../src/rpc/http2/stream.ts";
import type { Socket } from "../../src/rpc/socket.ts";
import { blockOf, requestFields } from "./wire/fields.ts";
import * as wire from "./wire/frame.ts";

/** Time that stands still until it is moved. */
export class StillClock implements Clock {
  ms = 0;
  readonly #real = new SystemClock();

  now(): number {
    return this.ms;
  }

  elapsed(): number {
    return this.ms;
  }

  wall(): number {
    return this.ms;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return this.#real.sleep(milliseconds, signal);
  }

  yield(): Promise<void> {
    return this.#real.yield();
  }
}

/** A socket that takes as many bytes as there is room for. */
export class FakeSocket implements Socket {
  readonly peer = "127.0.0.1:1";
  readonly commonName = undefined;
  readonly protocol = undefined;
  /** Bytes that it still takes. */
  room = Number.POSITIVE_INFINITY;
  isPaused = false;
  /** The server has said that nothing follows. */
  isEnded = false;
  isDestroyed = false;
  readonly #taken: Buffer[] = [];

  /** All that was handed over. */
  get taken(): Buffer {
    return Buffer.concat(this.#taken);
  }

  write(bytes: Uint8Array, from: number, to: number): number {
    const length = Math.min(this.room, to - from);
    this.room -= length;
    this.#taken.push(Buffer.from(bytes.subarray(from, from + length)));
    return length;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isEnded = true;
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

/** An HTTP/2 connection whose client has sent its preface, and the streams it has begun. */
export class FarEnd {
  readonly clock = new StillClock();
  readonly socket = new FakeSocket();
  readonly streams: Stream[] = [];
  readonly connection: Connection<undefined>;

  constructor() {
    this.connection = new Connection(this.socket, {
      application: {
        read: () => undefined,
        open: (stream) => {
          this.streams.push(stream);
          return stream.receiver;
        },
        refuseLarge: () => undefined,
        queued: () => undefined,
      },
      clock: this.clock,
      keepalive: { intervalMs: 7_200_000, timeoutMs: 20_000 },
      pool: new OutputPool(this.clock),
      settings: {
        concurrentStreamsMax: 100,
        initialWindowBytes: 2 ** 20,
        headerListBytesMax: 65_536,
      },
      failed: () => undefined,
    });
    this.send(wire.preface, wire.settings());
  }

  send(...bytes: readonly Buffer[]): void {
    this.connection.data(new Uint8Array(Buffer.concat(bytes)));
  }

  /** Begins and half-closes a stream. */
  ask(): Stream {
    const id = 2 * this.streams.length + 1;
    this.send(wire.headers(id, blockOf(requestFields("/a/b")), wire.flags.endStream));
    const stream = this.streams.at(-1);
    if (stream?.id !== id) throw new Error(`stream ${id} was not opened`);
    return stream;
  }

  /** Moves the time on, and tells the connection. */
  pass(milliseconds: number): void {
    this.clock.ms += milliseconds;
    this.connection.tick(this.clock.ms);
  }

  /** Has the socket take everything, and lets what that sets off happen. */
  async take(): Promise<void> {
    this.socket.room = Number.POSITIVE_INFINITY;
    this.connection.drain();
    await this.settled();
  }

  /** What was set off has happened. */
  async settled(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) await this.clock.yield();
  }

  /** The server's frames that were taken. */
  frames(): wire.Frame[] {
    return new wire.FrameReader().push(this.socket.taken);
  }

  /** Bytes of DATA that were taken, of a stream. */
  dataOf({ id }: Stream): number {
    return this.frames()
      .filter(({ stream, type }) => stream === id && type === wire.types.data)
      .reduce((sum, { payload }) => sum + payload.length, 0);
  }

  /** Whether the end of a stream was taken. */
  hasEnd({ id }: Stream): boolean {
    return this.frames().some(
      ({ flags, stream, type }) =>
        stream === id && type === wire.types.headers && (flags & wire.flags.endStream) !== 0,
    );
  }
}
