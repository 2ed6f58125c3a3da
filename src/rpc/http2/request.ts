/**
 * Requests as header fields (RFC 9113, sections 8.2 and 8.3): which lists of fields are one.
 *
 *   :method :scheme :path [:authority]   in any order, each once, before all others
 *   name: value ...
 */
import type { Field } from "../hpack/decoder.ts";
import { errorCodes, StreamError } from "./error.ts";

/** What a client asks for, before its body. */
export interface Request {
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  /** All that is no pseudo-header, in the order it came in. */
  readonly fields: readonly Field[];
  /** Bytes of the body as the client tells beforehand; undefined where it does not. */
  readonly contentLength: number | undefined;
}

/** What `:name` fields a request may have. */
const pseudoNames = [":method", ":scheme", ":path", ":authority"];

/** Fields that are about a connection of HTTP/1.1 (section 8.2.2). */
const connectionNames = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Lower-case visible ASCII without a colon (section 8.2.1). */
const validName = /^[!-9;-@[-~]+$/;
/** No NUL, CR, LF; no blank at either end (section 8.2.1). */
const invalidValue = /[\0\r\n]|^[ \t]|[ \t]$/;

/** The request in `fields`; StreamError where they are malformed. */
export function requestOf(fields: readonly Field[]): Request {
  const pseudo = new Map<string, string>();
  const regular: Field[] = [];
  for (const field of fields) {
    const { name, value } = field;
    if (name.startsWith(":")) {
      if (regular.length > 0) throw malformed(`${name} behind other fields`);
      if (!pseudoNames.includes(name)) throw malformed(`${name} in a request`);
      if (pseudo.has(name)) throw malformed(`${name} twice`);
      if (invalidValue.test(value)) throw malformed(`the value of ${name}`);
      pseudo.set(name, value);
    } else {
      checkField(field);
      regular.push(field);
    }
  }
  const [method, scheme, path] = [":method", ":scheme", ":path"].map((name) => pseudo.get(name));
  const authority = pseudo.get(":authority") ?? "";
  if (method === "CONNECT") {
    if (scheme !== undefined || path !== undefined || authority === "") {
      throw malformed("CONNECT takes :authority and nothing else");
    }
  } else if (!method || !scheme || !path) {
    throw malformed("a request without :method, :scheme or :path");
  }
  const contentLength = contentLengthOf(regular);
  return { method, path: path ?? "", authority, fields: regular, contentLength };
}

/** Checks fields that come behind a body (section 8.1); StreamError where they are malformed. */
export function checkTrailers(fields: readonly Field[]): void {
  for (const field of fields) {
    if (field.name.startsWith(":")) throw malformed(`${field.name} in trailers`);
    checkField(field);
  }
}

function checkField({ name, value }: Field): void {
  if (!validName.test(name)) throw malformed(`the name ${JSON.stringify(name)}`);
  if (invalidValue.test(value)) throw malformed(`the value of ${name}`);
  if (connectionNames.has(name)) throw malformed(`${name} belongs to HTTP/1.1`);
  if (name === "te" && value !== "trailers") throw malformed(`te: ${value}`);
}

function contentLengthOf(fields: readonly Field[]): number | undefined {
  const given = fields.filter(({ name }) => name === "content-length");
  const [first] = given;
  if (first === undefined) return undefined;
  const isOne = given.every(({ value }) => value === first.value);
  if (!isOne || !/^\d{1,15}$/.test(first.value)) throw malformed("content-length");
  return Number(first.value);
}

function malformed(what: string): StreamError {
  return new StreamError(errorCodes.protocolError, `malformed request: ${what}`);
}
