/** Keys and values as people read them, and tables of them. */
import type { ByteString } from "../lib/bytes.ts";

const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The bytes as text; undefined when they are no UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return fatal.decode(bytes);
  } catch {
    return undefined;
  }
}

/** A value: quoted where it can be printed, in hex where not. */
export function valueText(value: Uint8Array): string {
  const text = textOf(value);
  if (text !== undefined && /^[\P{C}\t\n\v\f\r\u0085]*$/u.test(text)) return JSON.stringify(text);
  return `0x${Buffer.from(value).toString("hex")}`;
}

/** A key: as it is where it can be printed on a line, else as a value. */
export function keyText(key: ByteString): string {
  const bytes = Buffer.from(key, "latin1");
  const text = textOf(bytes);
  return text !== undefined && /^\P{C}+$/u.test(text) ? text : valueText(bytes);
}

/** The byte string of what was typed. */
export function typedKey(text: string): ByteString {
  return Buffer.from(text).toString("latin1");
}

/** Rows under a heading, in columns that are as wide as they must be; every line ends. */
export function columns(
  heading: readonly string[],
  rows: readonly (readonly (string | number | bigint)[])[],
): string {
  const lines = [heading, ...rows.map((row) => row.map(String))];
  const widths = heading.map((_, at) =>
    lines.reduce((width, line) => Math.max(width, line[at]?.length ?? 0), 0),
  );
  const last = heading.length - 1;
  return lines
    .map((line) => line.map((cell, at) => (at === last ? cell : cell.padEnd(widths[at] ?? 0))))
    .map((line) => `${line.join("  ")}\n`)
    .join("");
}

/** Names and what they say, one a line, in two columns. */
export function labelled(facts: readonly (readonly [string, string | number | bigint])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, fact]) => `${`${name}:`.padEnd(width + 3)}${fact}\n`).join("");
}

/** `value` as one line of JSON; bigints are numbers of all their digits. */
export function jsonLine(value: unknown): string {
  const text = JSON.stringify(value, (_, each) =>
    typeof each === "bigint" ? rawJson(each) : each,
  );
  return `${text}\n`;
}

/** What JSON.stringify writes as it is; TypeScript's library does not know it yet. */
function rawJson(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(`${value}`);
}
