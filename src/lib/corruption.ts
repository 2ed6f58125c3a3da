/** Bytes that are not what was written. */

/**
 * A file that cannot be trusted: says which, where, what is wrong and what to do. Nothing is served
 * after it; the process stops, or does not start.
 */
export class CorruptionError extends Error {
  override readonly name = "CorruptionError";
  readonly path: string;
  /** Byte offset of the damage in the file. */
  readonly offset: number;
  /** What is wrong there. */
  readonly what: string;

  constructor(path: string, offset: number, what: string, hint?: string) {
    super(`${path} is damaged at offset ${offset}: ${what}${hint ? `; ${hint}` : ""}`);
    this.path = path;
    this.offset = offset;
    this.what = what;
  }
}

/**
 * A file that is whole but must not be used: another cluster's, or made by a newer version of T4.
 */
export class ForeignError extends Error {
  override readonly name = "ForeignError";
  readonly path: string;
  /** What is foreign about it. */
  readonly what: string;

  constructor(path: string, what: string, hint?: string) {
    super(`${path} ${what}${hint ? `; ${hint}` : ""}`);
    this.path = path;
    this.what = what;
  }
}
