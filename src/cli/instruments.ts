/** The instruments handed to rooms that name their own, by the names of model/metrics.ts. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/logger.ts";
import type { Registry } from "../lib/registry.ts";
import { Task } from "../lib/task.ts";
import { metrics } from "../model/metrics.ts";
import type { Meters } from "../rpc/meters.ts";
import type { MethodKind } from "../rpc/service.ts";
import { type Code, codeName, codes } from "../rpc/status.ts";

/** As Go's gRPC middleware calls them. */
const callTypes: Readonly<Record<MethodKind, string>> = {
  unary: "unary",
  serverStream: "server_stream",
  clientStream: "client_stream",
  bidiStream: "bidi_stream",
};

/** What the gRPC server measures. */
export function callMeters(registry: Registry): Meters {
  return {
    receivedBytes: registry.counter(metrics.receivedBytes, {}),
    sentBytes: registry.counter(metrics.sentBytes, {}),
    method: (service, method, kind) => {
      const labels = {
        grpc_type: callTypes[kind],
        grpc_service: service,
        grpc_method: method,
      };
      const handled = (code: Code) =>
        registry.counter(metrics.grpcHandled, { ...labels, grpc_code: codeName(code) });
      // A rate needs a first value: calls that went well are counted from zero on.
      handled(codes.ok);
      return {
        started: registry.counter(metrics.grpcStarted, labels),
        received: registry.counter(metrics.grpcReceived, labels),
        sent: registry.counter(metrics.grpcSent, labels),
        seconds: registry.histogram(metrics.grpcSeconds, labels),
        handled,
      };
    },
  };
}

const lagEveryMs = 100;

/** Notes how late a timer fires, ten times a second: what is late is everything else, too. */
export function watchLoop(options: {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly fatal: (error: unknown) => void;
}): Task {
  const { clock, fatal, logger, registry } = options;
  const lag = registry.histogram(metrics.loopLagSeconds, {});
  let due = clock.now();
  const step = () => {
    const now = clock.now();
    lag.observe(Math.max(0, now - due) / 1000);
    due = now + lagEveryMs;
    return Promise.resolve(lagEveryMs);
  };
  return new Task({ name: "event loop lag", clock, logger, step, retryable: () => false, fatal });
}
