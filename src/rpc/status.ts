/** How calls end: gRPC's codes, and the error a handler throws to end a call with one. */

/** The codes of the gRPC specification. */
export const codes = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

export type Code = (typeof codes)[keyof typeof codes];

/** The name of a code as Go's gRPC prints it, which is what dashboards look for. */
export function codeName(code: Code): string {
  return codeNames[code];
}

const codeNames: Readonly<Record<Code, string>> = {
  0: "OK",
  1: "Canceled",
  2: "Unknown",
  3: "InvalidArgument",
  4: "DeadlineExceeded",
  5: "NotFound",
  6: "AlreadyExists",
  7: "PermissionDenied",
  8: "ResourceExhausted",
  9: "FailedPrecondition",
  10: "Aborted",
  11: "OutOfRange",
  12: "Unimplemented",
  13: "Internal",
  14: "Unavailable",
  15: "DataLoss",
  16: "Unauthenticated",
};

/** How a call ended. The message is part of the contract: clients compare it. */
export interface Status {
  readonly code: Code;
  readonly message: string;
}

export const ok: Status = { code: codes.ok, message: "" };

/** Thrown by a handler, it ends the call with its code and message. */
export class StatusError extends Error implements Status {
  override readonly name = "StatusError";
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
