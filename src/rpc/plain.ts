/** TCP connections on Bun's sockets, which cost a few microseconds for each packet. */
import type { Accept, ListenAddress, Listener, Receiver, Socket } from "./socket.ts";

/** Listens at `address`. Throws an error with an errno `code` where that cannot be. */
export function listenPlain(address: ListenAddress, accept: Accept): Listener {
  const server = Bun.listen<Plain>({
    hostname: address.host,
    port: address.port,
    allowHalfOpen: true,
    socket: {
      open: (socket) => {
        socket.setNoDelay(true);
        socket.data = new Plain(socket);
        socket.data.begin(accept);
      },
      data: ({ data }, bytes) => data.receiver?.data(bytes),
      drain: ({ data }) => data.receiver?.drain(),
      end: ({ data }) => data.receiver?.end(),
      close: ({ data }) => data.close(),
      // What fails is closed, too: `close` comes next.
      error: () => undefined,
    },
  });
  return { port: server.port, stop: () => server.stop() };
}

class Plain implements Socket {
  readonly peer: string;
  readonly commonName = undefined;
  readonly protocol = undefined;
  receiver: Receiver | undefined;
  readonly #socket: Bun.Socket<Plain>;
  #isClosed = false;

  constructor(socket: Bun.Socket<Plain>) {
    const { remoteAddress, remoteFamily, remotePort } = socket;
    this.peer =
      remoteFamily === "IPv6"
        ? `[${remoteAddress}]:${remotePort}`
        : `${remoteAddress}:${remotePort}`;
    this.#socket = socket;
  }

  begin(accept: Accept): void {
    this.receiver = accept(this);
    // It may have been destroyed right there.
    if (this.#isClosed) this.receiver.close();
  }

  close(): void {
    this.#isClosed = true;
    this.receiver?.close();
  }

  write(bytes: Uint8Array, from: number, to: number): number {
    return Math.max(0, this.#socket.write(bytes, from, to - from));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.shutdown();
  }

  destroy(): void {
    this.#socket.terminate();
  }
}
