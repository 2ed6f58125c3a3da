/**
 * Structured log lines. A line is one event: a level, a message that does not vary, and fields that
 * do. The line's text form is logfmt, its JSON form one object; both go to one sink, stderr.
 *
 *   2026-11-21T10:00:00.000Z INFO  recovered  component=member index=1042 seconds=0.18
 *   {"level":"info","ts":"2026-11-21T10:00:00.000Z","msg":"recovered","component":"member",…}
 */
export type Level = "debug" | "info" | "warn" | "error";

export const levels: readonly Level[] = ["debug", "info", "warn", "error"];

export type Fields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** The same logger, with `fields` on every line. */
  with(fields: Fields): Logger;
}

export interface LoggerOptions {
  readonly level: Level;
  readonly format: "text" | "json";
  /** Milliseconds since the epoch, for the time stamp. */
  readonly wall: () => number;
  /** Takes one line, its newline included. */
  readonly write: (line: string) => void;
}

/** A logger that writes lines of `options.level` and above. */
export function createLogger(options: LoggerOptions, fixed: Fields = {}): Logger {
  const least = levels.indexOf(options.level);
  const line = options.format === "json" ? jsonLine : textLine;
  const at =
    (level: Level) =>
    (message: string, fields: Fields = {}) => {
      if (levels.indexOf(level) < least) return;
      const time = new Date(options.wall()).toISOString();
      options.write(`${line(level, time, message, { ...fixed, ...fields })}\n`);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    with: (fields) => createLogger(options, { ...fixed, ...fields }),
  };
}

/** A logger that drops everything. */
export const silent: Logger = createLogger({
  level: "error",
  format: "text",
  wall: () => 0,
  write: () => undefined,
});

function jsonLine(level: Level, ts: string, msg: string, fields: Fields): string {
  const shown = Object.fromEntries(Object.entries(fields).map(([name, at]) => [name, plain(at)]));
  return JSON.stringify({ level, ts, msg, ...shown });
}

function textLine(level: Level, time: string, message: string, fields: Fields): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${quoted(plain(value))}`);
  return [time, level.toUpperCase().padEnd(5), message, pairs.join(" ")].join(" ").trimEnd();
}

/** What JSON can carry: errors become their message and its causes, bigints decimal text. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) {
    return value.cause === undefined ? value.message : `${value.message}: ${plain(value.cause)}`;
  }
  return value;
}

function quoted(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
