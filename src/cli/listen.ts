/** A port that cannot be listened on. */
import { type Address, addressText } from "./value.ts";

const reasons: Readonly<Record<string, string>> = {
  EACCES: "this user may not listen on that port: choose one above 1023",
  EADDRINUSE: "another process listens there: stop it or choose another port",
  EADDRNOTAVAIL: "this machine has no such address",
  ENOTFOUND: "this machine has no such address",
  // What Bun 1.4.5 says of a name that nobody resolves.
  ENOTTY: "this machine has no such address",
};

/** Names the flag, the address and the reason. `code` is the errno name. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code: string;

  constructor(flag: string, address: Address, cause: unknown) {
    const code = String((cause as { code?: unknown }).code ?? "unknown error");
    const reason = reasons[code] ?? (cause instanceof Error ? cause.message : code);
    super(`cannot listen on ${addressText(address)} (${flag}): ${reason}`);
    this.code = code;
  }
}
