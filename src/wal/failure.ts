/** How the log says no: for certain and for now, or for good and without knowing what it holds. */

/**
 * There was no room: no entry staged since the last sync is durable or ever will be. The log can go
 * on after `discard`.
 */
export class LogFullError extends Error {
  override readonly name = "LogFullError";

  constructor(cause: Error) {
    super(`no room for the log: ${cause.message}`, { cause });
  }
}

/**
 * The disk failed. Whether the entries of the last sync are durable is unknown until the log is
 * opened again, by the next start; this one takes no more calls.
 */
export class LogFailedError extends Error {
  override readonly name = "LogFailedError";

  constructor(cause: unknown) {
    const why = cause instanceof Error ? cause.message : `${cause}`;
    super(`the log has failed and must be opened anew: ${why}`, { cause });
  }
}
