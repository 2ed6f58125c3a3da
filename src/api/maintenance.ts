/** etcdserverpb.Maintenance: what a member tells of itself. */
import { AlarmRequest_AlarmAction, MaintenanceDefinition } from "../gen/etcdserverpb/rpc.ts";
import type { Member } from "../member/member.ts";
import { clusterVersion, etcdVersion } from "../model/version.ts";
import { type Service, serviceOf } from "../rpc/service.ts";
import { codes, StatusError } from "../rpc/status.ts";
import { headerOf } from "./convert.ts";

const { alarm, defragment, status } = MaintenanceDefinition.methods;
const served = { ...MaintenanceDefinition, methods: { alarm, defragment, status } };

export function maintenanceService(member: Member): Service {
  return serviceOf(served, {
    status: () => {
      const vitals = member.vitals();
      return {
        header: headerOf(member.header()),
        version: etcdVersion,
        dbSize: vitals.databaseBytes,
        dbSizeInUse: vitals.databaseBytesInUse,
        // There is no quota: the database may grow to what the disk has left.
        dbSizeQuota: vitals.databaseBytes + vitals.freeBytes,
        leader: vitals.leads ? vitals.memberId : 0n,
        raftIndex: vitals.committedIndex,
        raftAppliedIndex: vitals.appliedIndex,
        raftTerm: vitals.term,
        errors: vitals.leads ? [] : ["etcdserver: no leader"],
        isLearner: false,
        storageVersion: clusterVersion,
        downgradeInfo: { enabled: false, targetVersion: "" },
      };
    },
    // Space is given back by compaction, all the time: there is nothing to be done by hand.
    defragment: () => ({ header: undefined }),
    // No alarm can be active, so there is none to list and none to take back.
    alarm: ({ action }) => {
      if (action === AlarmRequest_AlarmAction.ACTIVATE) {
        throw new StatusError(
          codes.unimplemented,
          "etcdserver: alarms cannot be raised by clients",
        );
      }
      return { header: headerOf(member.header()), alarms: [] };
    },
  });
}
