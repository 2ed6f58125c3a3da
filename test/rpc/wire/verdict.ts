/**
 * How a server took what it was sent. There is nothing to wait for when a server lets a misdeed
 * pass, so a few PINGs are sent behind it: what had to come came before the last answer, or never.
 */
import { expect } from "bun:test";
import type { ErrorName } from "./frame.ts";
import type { Peer } from "./peer.ts";

/** Round trips after which a server that said nothing has nothing to say. */
const rounds = 3;

/** What became of the connection, and of `stream` where one is given. */
export async function fateOf(peer: Peer, stream?: number): Promise<string> {
  const reset = () => (stream === undefined ? undefined : peer.resetOf(stream));
  for (let round = 0; round < rounds; round++) {
    if (peer.closed || peer.goAway !== undefined || reset() !== undefined) break;
    await peer.ping();
  }
  const error = peer.goAway?.error ?? "NO_ERROR";
  if (error !== "NO_ERROR") {
    // RFC 9113 5.4.1: the connection must be closed after that.
    await peer.until(() => peer.closed);
    return `GOAWAY ${error}`;
  }
  if (reset() !== undefined) return `RST_STREAM ${reset()}`;
  if (peer.closed) return "closed";
  const response = peer.of(stream ?? -1).find(({ fields }) => fields !== undefined);
  return response?.fields?.[0] === undefined ? "nothing" : `:status ${response.fields[0].value}`;
}

/** The connection ends with one of these errors, and with GOAWAY that says so (5.4.1). */
export async function expectConnectionError(peer: Peer, ...names: ErrorName[]): Promise<void> {
  expect(names.map((name) => `GOAWAY ${name}`)).toContain(await fateOf(peer));
}

/** As expectConnectionError; but who goes on sending may lose the GOAWAY with the connection. */
export async function expectCutOff(peer: Peer, name: ErrorName): Promise<void> {
  expect([`GOAWAY ${name}`, "closed"]).toContain(await fateOf(peer));
}

/** The stream is reset with one of these errors, or the connection ends with one (5.4.1). */
export async function expectStreamError(
  peer: Peer,
  stream: number,
  ...names: ErrorName[]
): Promise<void> {
  const allowed = names.flatMap((name) => [`RST_STREAM ${name}`, `GOAWAY ${name}`]);
  expect(allowed).toContain(await fateOf(peer, stream));
}

/** The request on `stream` is refused as malformed (8.1.1); a response may say so first. */
export async function expectMalformed(peer: Peer, stream: number): Promise<void> {
  const allowed = ["RST_STREAM PROTOCOL_ERROR", "GOAWAY PROTOCOL_ERROR", ":status 400"];
  expect(allowed).toContain(await fateOf(peer, stream));
}

/** Nothing happened to the connection, nor to `stream`. */
export async function expectUnharmed(peer: Peer, stream?: number): Promise<void> {
  expect(await fateOf(peer, stream)).toMatch(/^(nothing|:status 200)$/);
}
