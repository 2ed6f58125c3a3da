/** etcdserverpb.Lease. */
import { LeaseDefinition } from "../gen/etcdserverpb/rpc.ts";
import { bytesOf } from "../lib/bytes.ts";
import type { Member } from "../member/member.ts";
import type { GrantReply } from "../model/reply.ts";
import { type Service, serviceOf } from "../rpc/service.ts";
import { headerOf } from "./convert.ts";
import { granted } from "./status.ts";

/** What TimeToLive answers for a lease that does not exist. */
const noSuchLease = { ttlSeconds: 0, remainingSeconds: -1, keys: [] };

export function leaseService(member: Member): Service {
  const header = (revision?: number) => headerOf(member.header(revision));
  return serviceOf(LeaseDefinition, {
    leaseGrant: async ({ ID, TTL }) => {
      const reply = granted(await member.lessor.grant(ID, TTL)) as GrantReply;
      return { header: header(reply.revision), ID: reply.lease, TTL: reply.ttlSeconds, error: "" };
    },
    leaseRevoke: async ({ ID }) => {
      const reply = granted(await member.propose({ kind: "revoke", lease: ID }));
      return { header: header(reply.revision) };
    },
    leaseKeepAlive: async (stream) => {
      for await (const { ID } of stream.requests) {
        // etcd fills the header before it renews.
        const before = header();
        const TTL = granted(await member.lessor.keepAlive(ID)) ?? 0;
        if (!stream.writable) await stream.drained();
        stream.send({ header: before, ID, TTL });
      }
    },
    leaseTimeToLive: ({ ID, keys }) => {
      const life = granted(member.lessor.life(ID)) ?? noSuchLease;
      return {
        header: header(),
        ID,
        TTL: life.remainingSeconds,
        grantedTTL: life.ttlSeconds,
        keys: keys ? life.keys.map(bytesOf) : [],
      };
    },
    leaseLeases: () => ({
      header: header(),
      leases: granted(member.lessor.all()).map((ID) => ({ ID })),
    }),
  });
}
