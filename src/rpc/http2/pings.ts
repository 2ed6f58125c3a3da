/**
 * PING (RFC 9113, section 6.7), both ways: ours ask whether a quiet client is still there, a
 * client's are answered, but not more often than it was told is welcome.
 */
import type { Clock } from "../../lib/clock.ts";
import { ConnectionError, errorCodes } from "./error.ts";

export interface KeepaliveOptions {
  /** A connection idle for this long is pinged, in milliseconds. */
  readonly intervalMs: number;
  /** It is closed when no answer came for this long. */
  readonly timeoutMs: number;
  /** A client pings no more often than this; 0 or undefined: as often as it likes. */
  readonly clientIntervalMsMin?: number | undefined;
  /** Whether it may without a call in progress; where not, once in two hours. True if left out. */
  readonly permitWithoutCalls?: boolean | undefined;
}

const twoHoursMs = 7_200_000;
/** Pings that come too early, before the connection is closed: as Go's gRPC counts them. */
const strikesMax = 2;

export class Pings {
  readonly #clock: Clock;
  readonly #options: KeepaliveOptions;
  /** When anything came, and when a ping of ours went out that is not answered. */
  #heard: number;
  #asked: number | undefined;
  /** When the client's last ping came. */
  #pinged = Number.NEGATIVE_INFINITY;
  #sent = 0;
  #strikes = 0;

  constructor(options: KeepaliveOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#heard = clock.now();
  }

  /** Something came from the client: it is there. */
  heard(): void {
    this.#heard = this.#clock.now();
    this.#asked = undefined;
  }

  /**
   * The client pings, which has calls in progress or none; `sent` counts what was sent for calls so
   * far: pings around that are how clients measure the network, and free. ConnectionError when there
   * are too many others.
   */
  take(hasCalls: boolean, sent: number): void {
    const { clientIntervalMsMin = 0, permitWithoutCalls = true } = this.#options;
    if (clientIntervalMsMin === 0) return;
    const now = this.#clock.now();
    const leastMs = hasCalls || permitWithoutCalls ? clientIntervalMsMin : twoHoursMs;
    if (sent !== this.#sent) this.#strikes = 0;
    else if (now - this.#pinged < leastMs) this.#strikes++;
    this.#sent = sent;
    this.#pinged = now;
    if (this.#strikes > strikesMax) {
      throw new ConnectionError(errorCodes.enhanceYourCalm, "too_many_pings");
    }
  }

  /** What is due now: nothing, a ping of ours, or the end because none was answered. */
  due(now: number): "ping" | "end" | undefined {
    const { intervalMs, timeoutMs } = this.#options;
    if (this.#asked !== undefined) return now - this.#asked >= timeoutMs ? "end" : undefined;
    if (now - this.#heard < intervalMs) return undefined;
    this.#asked = now;
    return "ping";
  }
}
