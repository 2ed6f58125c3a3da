/**
 * The expected answers "no", as values. What each becomes on the wire is one total table in
 * api/status.ts: a new kind does not compile until it has a status.
 */
export type RefusalKind =
  | "emptyKey"
  | "keyNotFound"
  | "valueProvided"
  | "leaseProvided"
  | "tooManyOperations"
  | "duplicateKey"
  | "invalidSortOption"
  | "requestTooLarge"
  | "compacted"
  | "futureRevision"
  | "leaseNotFound"
  | "leaseExists"
  | "leaseTtlTooLarge"
  /** The disk is full: nothing was written. */
  | "noSpace"
  /** A queue is full: nothing was tried. */
  | "tooManyRequests"
  /** Nobody leads at the moment: nothing was tried. */
  | "noLeader"
  /** The member is stopping: nothing was tried. */
  | "stopped"
  /** No answer in time, or the log failed under it: the write may or may not take place. */
  | "outcomeUnknown";

/** A "no", with its reason. */
export class Refusal {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind) {
    this.kind = kind;
  }
}
