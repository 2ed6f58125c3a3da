/** What the process exits with: one table from what went wrong to the code that says so. */
import { CorruptionError, ForeignError } from "../lib/corruption.ts";
import { DiskError, InUseError } from "../lib/disk.ts";
import { ObjectError, type ObjectErrorKind } from "../object/store.ts";
import { SupersededError } from "../replication/archive.ts";
import { TlsError } from "../rpc/secure.ts";
import { ListenError } from "./listen.ts";
import { ConfigurationError, NotFoundError, UsageError } from "./usage.ts";

/** The codes and what they mean to a script; from 64 on they are those of BSD's sysexits. */
export const exitCodes = {
  ok: { code: 0, meaning: "done" },
  failure: { code: 1, meaning: "an error that no other code describes; the last log line has it" },
  usage: { code: 2, meaning: "the command line or a T4_* variable is wrong" },
  notFound: { code: 3, meaning: "what was asked for is not there: a key, a revision, a branch" },
  superseded: { code: 6, meaning: "another member leads; the message names it: do not restart" },
  corruption: {
    code: 7,
    meaning: "a file or an object of the bucket is damaged; the message names it and the offset",
  },
  unreachable: { code: 69, meaning: "the bucket cannot be reached; the message says why" },
  cannotCreate: { code: 73, meaning: "the data directory cannot be made" },
  temporary: {
    code: 75,
    meaning:
      "the data directory or a port is in use, the disk failed, or the bucket is full: try again later",
  },
  permission: {
    code: 77,
    meaning: "the user may not read or write a file, or use a port, or the bucket denies access",
  },
  configuration: {
    code: 78,
    meaning: "a file or address does not fit: foreign or newer data, unreadable certificate",
  },
  interrupted: { code: 130, meaning: "SIGINT, after everything was closed in order" },
  terminated: { code: 143, meaning: "SIGTERM, after everything was closed in order" },
} as const;

/** The exit code for an error that ends the process. */
export function exitCodeOf(error: unknown): number {
  return exitCodes[outcomeOf(error)].code;
}

function outcomeOf(error: unknown): keyof typeof exitCodes {
  if (error instanceof UsageError) return "usage";
  if (error instanceof NotFoundError) return "notFound";
  if (error instanceof SupersededError) return "superseded";
  if (error instanceof CorruptionError) return "corruption";
  if (error instanceof ObjectError) return objectOutcomes[error.kind];
  if (error instanceof InUseError) return "temporary";
  if (error instanceof ForeignError || error instanceof ConfigurationError) return "configuration";
  if (error instanceof TlsError) return "configuration";
  if (error instanceof DiskError) return diskOutcome(error);
  if (error instanceof ListenError) return listenOutcomes[error.code] ?? "configuration";
  return "failure";
}

const objectOutcomes: Readonly<Record<ObjectErrorKind, keyof typeof exitCodes>> = {
  conflict: "unreachable",
  damaged: "corruption",
  denied: "permission",
  full: "temporary",
  invalid: "configuration",
  noBucket: "configuration",
  throttled: "unreachable",
  unknown: "unreachable",
};

const listenOutcomes: Readonly<Record<string, keyof typeof exitCodes>> = {
  EACCES: "permission",
  EADDRINUSE: "temporary",
};

function diskOutcome({ code, operation }: DiskError): keyof typeof exitCodes {
  if (code === "EACCES" || code === "EPERM") return "permission";
  const noPlace = operation === "make directory" || code === "ENOTDIR" || code === "EROFS";
  return noPlace ? "cannotCreate" : "temporary";
}
