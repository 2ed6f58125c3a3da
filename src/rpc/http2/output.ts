/**
 * Frames out. What is written in one turn of the event loop goes to the socket together; while the
 * socket has no room, it is kept. A connection with nothing to send holds no memory for it:
 *
 *   reserve ──► bytes ──► flush, once a turn ──► socket
 *                 ▲                                │
 *                pool ◄──── all was taken ─────────┘
 */
import type { Clock } from "../../lib/clock.ts";
import type { Socket } from "../socket.ts";

/** Enough for what a turn writes, most of the time. */
const chunkBytes = 65_536;
const spareMax = 64;

/** What the outputs of a server share: memory, and the turn in which they flush. */
export class OutputPool {
  readonly #clock: Clock;
  readonly #spare: Uint8Array[] = [];
  #waiting: Output[] = [];
  #isFlushing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  take(): Uint8Array {
    return this.#spare.pop() ?? new Uint8Array(chunkBytes);
  }

  give(chunk: Uint8Array): void {
    if (chunk.length === chunkBytes && this.#spare.length < spareMax) this.#spare.push(chunk);
  }

  /**
   * Has `output` flushed when what runs now, and all it has set off, is done. What a flush itself
   * makes room for goes out in the next turn: others shall have theirs.
   */
  soon(output: Output): void {
    if (this.#waiting.push(output) > 1) return;
    if (this.#isFlushing) void this.#clock.yield().then(() => this.#flush());
    else queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#isFlushing = true;
    for (const output of waiting) output.flush();
    this.#isFlushing = false;
  }
}

const none = new Uint8Array(0);

export class Output {
  /** Where frames are written; valid after `reserve`, up to the next one. */
  bytes: Uint8Array = none;
  readonly #pool: OutputPool;
  readonly #socket: Socket;
  readonly #emptied: () => void;
  #end = 0;
  #sent = 0;
  #isBlocked = false;
  #isScheduled = false;
  #isClosed = false;

  /** `emptied` is called when the socket has taken everything. */
  constructor(socket: Socket, pool: OutputPool, emptied: () => void) {
    this.#socket = socket;
    this.#pool = pool;
    this.#emptied = emptied;
  }

  /** Bytes that the socket has not taken. */
  get length(): number {
    return this.#end - this.#sent;
  }

  /** Makes room for `length` more bytes; returns where in `bytes` they begin. They will be sent. */
  reserve(length: number): number {
    if (this.#end + length > this.bytes.length) this.#grow(length);
    const at = this.#end;
    this.#end += length;
    this.soon();
    return at;
  }

  /** Flushes when what runs now is done, and tells when that leaves nothing. */
  soon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#pool.soon(this);
  }

  /** Hands over what the socket has room for. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#isBlocked) return;
    if (this.#sent < this.#end && !this.#isClosed) {
      this.#sent += this.#socket.write(this.bytes, this.#sent, this.#end);
    }
    if (this.#sent < this.#end && !this.#isClosed) {
      this.#isBlocked = true;
      return;
    }
    this.#release();
    if (!this.#isClosed) this.#emptied();
  }

  /** The socket has room again. */
  drain(): void {
    this.#isBlocked = false;
    this.flush();
  }

  /** Nothing is sent any more. */
  close(): void {
    this.#isClosed = true;
    this.#isBlocked = false;
    this.#release();
  }

  #release(): void {
    this.#pool.give(this.bytes);
    this.bytes = none;
    this.#end = 0;
    this.#sent = 0;
  }

  #grow(length: number): void {
    const kept = this.#end - this.#sent;
    const old = this.bytes;
    let size = chunkBytes;
    while (size < kept + length) size *= 2;
    if (size <= old.length) old.copyWithin(0, this.#sent, this.#end);
    else {
      this.bytes = size === chunkBytes ? this.#pool.take() : new Uint8Array(size);
      this.bytes.set(old.subarray(this.#sent, this.#end));
      this.#pool.give(old);
    }
    this.#sent = 0;
    this.#end = kept;
  }
}
