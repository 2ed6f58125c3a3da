/**
 * One server for all the rules of a file, and a fresh connection for each. When a rule has been
 * tried, the server must have kept its own side of the protocol, must still serve others, and must
 * not take for a fault of its own what a client did.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ServerOptions, serve } from "../../../src/rpc/server.ts";
import { aborted, Bench, type EchoHandlers, echo } from "../echo.ts";
import { Peer, type PeerOptions } from "./peer.ts";

/** A rule that hangs is broken. */
const ruleMsMax = 20_000;

export interface Court {
  readonly bench: Bench;
  /** Declares a test named `name`, on a new connection. */
  rule(name: string, body: (peer: Peer) => Promise<void>, options?: PeerOptions): void;
  connect(options?: PeerOptions): Promise<Peer>;
}

/**
 * Echo, but for two texts: "wait" is answered when the client has gone, and "bytes 5" with five
 * bytes.
 */
export const courtly: EchoHandlers = {
  ...echo,
  async say(request, call) {
    if (request.text === "wait") await aborted(call.signal);
    const [, count] = /^bytes (\d+)$/.exec(request.text) ?? [];
    return count === undefined ? request : { text: "x".repeat(Number(count)) };
  },
};

/** Opens a server for the file that calls this, with the handlers and options given. */
export function court(
  handlers: Partial<EchoHandlers> = {},
  options: Partial<ServerOptions> = {},
): Court {
  let open: Bench | undefined;
  const bench = () => {
    if (open === undefined) throw new Error("no server before the tests begin");
    return open;
  };
  const connect = (wishes?: PeerOptions) => Peer.connect(bench().server.port, wishes);
  beforeAll(async () => {
    open = await Bench.open(serve, { ...courtly, ...handlers }, options);
  });
  afterAll(async () => {
    await open?.[Symbol.asyncDispose]();
  });
  return {
    get bench() {
      return bench();
    },
    connect,
    rule(name, body, wishes) {
      test(
        name,
        async () => {
          const before = bench().logged.length;
          await using peer = await connect(wishes);
          await body(peer);
          expect(peer.referee.violations).toEqual([]);
          expect(await bench().say("others")).toBe("others");
          expect(bench().logged.slice(before)).toEqual([]);
        },
        ruleMsMax,
      );
    },
  };
}
