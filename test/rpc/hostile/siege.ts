/**
 * One server for all attacks of a file. After each it must live, complain of nothing, have given
 * back its memory and its handlers, and have served somebody else all the while.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ServerOptions } from "../../../src/rpc/server.ts";
import { Bystander, Victim } from "../victim/victim.ts";
import type { Peer, PeerOptions } from "../wire/peer.ts";

const attackMsMax = 60_000;
const mebibyte = 2 ** 20;

export interface Bounds {
  /** How much more memory the server may use afterwards, in MiB: generous, as allocators keep some. */
  readonly growth?: number;
  /** How much more it may use at any time. */
  readonly peak?: number;
}

/** What an attack is given. */
export interface Field {
  readonly victim: Victim;
  connect(options?: PeerOptions): Promise<Peer>;
  /** Sends `bytes` again and again, `times` or until the server has closed the connection. */
  flood(peer: Peer, bytes: Uint8Array, times: number): Promise<void>;
}

export interface Siege {
  /** Declares an attack. Its connections are closed when it is over. */
  attack(name: string, body: (field: Field) => Promise<void>, bounds?: Bounds): void;
}

/** Opens a server for the file that calls this. */
export function siege(limits?: ServerOptions["limits"]): Siege {
  let victim: Victim | undefined;
  beforeAll(async () => {
    victim = await Victim.open(limits);
  });
  afterAll(async () => {
    await victim?.[Symbol.asyncDispose]();
  });
  return {
    attack(name, body, bounds) {
      test(
        name,
        async () => {
          if (victim === undefined) throw new Error("no server before the tests begin");
          await besiege(victim, body, bounds ?? {});
        },
        attackMsMax,
      );
    },
  };
}

async function besiege(
  victim: Victim,
  body: (field: Field) => Promise<void>,
  { growth = 96, peak = 384 }: Bounds,
): Promise<void> {
  const peers: Peer[] = [];
  const before = await victim.condition();
  using bystander = new Bystander(victim.port);
  await bystander.answered();
  try {
    await body({
      victim,
      flood,
      connect: async (options) => {
        const peer = await victim.connect(options);
        peers.push(peer);
        return peer;
      },
    });
    await bystander.answered();
  } finally {
    for (const peer of peers) peer.destroy();
  }
  await bystander.answered();
  expect(bystander.complaints).toEqual([]);
  const after = await settled(victim);
  expect(after.complaints.slice(before.complaints.length)).toEqual([]);
  expect(Math.ceil((after.bytes - before.bytes) / mebibyte)).toBeLessThan(growth);
  expect(Math.ceil((after.peakBytes - before.bytes) / mebibyte)).toBeLessThan(peak);
  for (const peer of peers) expect(peer.referee.violations).toEqual([]);
}

/** The server's condition once no handler runs but the bystander's. */
async function settled(victim: Victim): Promise<Awaited<ReturnType<Victim["condition"]>>> {
  let peakBytes = 0;
  for (;;) {
    const condition = await victim.condition();
    peakBytes = Math.max(peakBytes, condition.peakBytes);
    if (condition.streams === 0 && condition.running <= 1) return { ...condition, peakBytes };
  }
}

async function flood(peer: Peer, bytes: Uint8Array, times: number): Promise<void> {
  for (let at = 0; at < times && !peer.closed; at++) {
    peer.write(bytes);
    await peer.drained();
  }
}
