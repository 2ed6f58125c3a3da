/** All services of a member, for whatever transport carries them. */
import type { Clock } from "../lib/clock.ts";
import type { Random } from "../lib/random.ts";
import type { Registry } from "../lib/registry.ts";
import type { Member } from "../member/member.ts";
import { metrics } from "../model/metrics.ts";
import type { Service } from "../rpc/service.ts";
import { clusterService } from "./cluster.ts";
import { healthService } from "./health.ts";
import { kvService } from "./kv.ts";
import { leaseService } from "./lease.ts";
import { maintenanceService } from "./maintenance.ts";
import { watchService } from "./watch.ts";

export interface ServicesOptions {
  readonly member: Member;
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: Registry;
  /** Whether ranges that do not ask for it are read without proof that they are the newest. */
  readonly serializable: boolean;
  /** How often watches that asked for it are told how far they are, in milliseconds. */
  readonly progressMs: number;
}

export function servicesOf(options: ServicesOptions): readonly Service[] {
  const { member, registry } = options;
  let streams = 0;
  registry.read(metrics.watchStreams, () => streams);
  return [
    kvService(member, options.clock, options.serializable),
    watchService({
      ...options,
      events: registry.counter(metrics.events, {}),
      streams: (change) => {
        streams += change;
      },
    }),
    leaseService(member),
    clusterService(member),
    maintenanceService(member),
    healthService(member),
  ];
}
