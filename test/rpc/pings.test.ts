/** How often a client may ping, and when it is pinged (RFC 9113, section 6.7; gRPC's keepalive). */
import { describe, expect, test } from "bun:test";
import type { Clock } from "../../src/lib/clock.ts";
import { ConnectionError } from "../../src/rpc/http2/error.ts";
import { type KeepaliveOptions, Pings } from "../../src/rpc/http2/pings.ts";

const usual: KeepaliveOptions = {
  intervalMs: 1000,
  timeoutMs: 200,
  clientIntervalMsMin: 100,
  permitWithoutCalls: true,
};

/** Time that stands still until it is moved. */
class Hands implements Clock {
  ms = 0;

  now(): number {
    return this.ms;
  }

  elapsed(): number {
    return this.ms;
  }

  wall(): number {
    return this.ms;
  }

  sleep(): Promise<void> {
    return Promise.resolve();
  }

  yield(): Promise<void> {
    return Promise.resolve();
  }
}

function rig(options: Partial<KeepaliveOptions> = {}) {
  const clock = new Hands();
  return { clock, pings: new Pings({ ...usual, ...options }, clock) };
}

describe("a client that pings", () => {
  test("no more often than it may is never refused", () => {
    const { clock, pings } = rig();
    for (let at = 0; at < 1000; at++) {
      pings.take(false, 0);
      clock.ms += 100;
    }
  });

  test("more often than it may is refused after two warnings' worth", () => {
    const { pings } = rig();
    for (let at = 0; at < 3; at++) pings.take(true, 0);
    expect(() => pings.take(true, 0)).toThrow(new ConnectionError(0xb, "too_many_pings"));
  });

  test("as often as answers are sent measures the network, and is welcome", () => {
    const { pings } = rig();
    for (let sent = 0; sent < 1000; sent++) pings.take(true, sent);
  });

  test("is refused soon where it may not ping without a call", () => {
    const { clock, pings } = rig({ permitWithoutCalls: false });
    for (let at = 0; at < 10; at++) {
      pings.take(true, 0);
      clock.ms += 100;
    }
    pings.take(false, 0);
    pings.take(false, 0);
    expect(() => pings.take(false, 0)).toThrow("too_many_pings");
  });

  test("as often as it likes is heard where nothing is said of it", () => {
    const { pings } = rig({ clientIntervalMsMin: 0 });
    for (let at = 0; at < 1000; at++) pings.take(false, 0);
  });
});

describe("a client that is quiet", () => {
  test("is asked after a while, and left when it does not answer", () => {
    const { clock, pings } = rig();
    expect(pings.due(999)).toBeUndefined();
    expect(pings.due(1000)).toBe("ping");
    expect(pings.due(1199)).toBeUndefined();
    expect(pings.due(1200)).toBe("end");
    clock.ms = 1199;
    pings.heard();
    expect(pings.due(1200)).toBeUndefined();
    expect(pings.due(2199)).toBe("ping");
  });
});
