/** grpc.health.v1.Health: as in etcd, only the server as a whole, named "", has a status. */
import {
  HealthDefinition,
  HealthCheckResponse_ServingStatus as Serving,
} from "../gen/grpc/health/v1/health.ts";
import type { Member } from "../member/member.ts";
import { type Service, serviceOf } from "../rpc/service.ts";
import { codes, StatusError } from "../rpc/status.ts";

export function healthService(member: Member): Service {
  const serving = () => (member.isLeader ? Serving.SERVING : Serving.NOT_SERVING);
  return serviceOf(HealthDefinition, {
    check: ({ service }) => {
      if (service !== "") throw new StatusError(codes.notFound, "unknown service");
      return { status: serving() };
    },
    /** The status now; it changes only when the server stops, which ends the stream. */
    watch: async (stream) => {
      for await (const { service } of stream.requests) {
        stream.send({ status: service === "" ? serving() : Serving.SERVICE_UNKNOWN });
      }
      if (stream.signal.aborted) return;
      await new Promise<void>((resolve) => {
        stream.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    },
  });
}
