/**
 * etcdserverpb.Cluster. There is no membership list to edit: members come and go by starting and
 * stopping, so the calls that would edit one are not served.
 */
import { ClusterDefinition } from "../gen/etcdserverpb/rpc.ts";
import type { Member } from "../member/member.ts";
import { type Service, serviceOf } from "../rpc/service.ts";
import { headerOf } from "./convert.ts";

const served = {
  ...ClusterDefinition,
  methods: { memberList: ClusterDefinition.methods.memberList },
};

export function clusterService(member: Member): Service {
  return serviceOf(served, {
    memberList: () => ({
      // As in etcd, this header tells no revision.
      header: { ...headerOf(member.header()), revision: 0 },
      members: [
        {
          ID: member.identity.memberId,
          name: member.name,
          peerURLs: [],
          clientURLs: [...member.clientUrls],
          isLearner: false,
        },
      ],
    }),
  });
}
