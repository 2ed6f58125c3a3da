/**
 * What the header of a request says to gRPC, before any message: the method, how long the client
 * waits, how its messages are encoded, its metadata; or why it is no gRPC.
 */

import type { Entry } from "./call.ts";
import { acceptedEncodings, type Inflate, inflaterOf, isAccepted } from "./compression.ts";
import type { Field } from "./hpack/decoder.ts";
import type { HeaderField } from "./hpack/encoder.ts";
import type { Request } from "./http2/request.ts";
import { codes, type Status } from "./status.ts";
import { timeoutMsOf } from "./timeout.ts";
import { encodingRefusal, headOnly } from "./trailers.ts";

export interface Head {
  /** The method; undefined where `refusal` says why there is none. */
  readonly entry: Entry | undefined;
  /** All there is to answer. */
  readonly refusal: readonly HeaderField[] | undefined;
  readonly timeoutMs: number | undefined;
  readonly inflate: Inflate | undefined;
  readonly fields: readonly Field[];
  /** What a call keeps of it, in bytes; 0 where that is next to nothing. */
  readonly heldBytes: number;
}

/** Fields of fewer bytes are not counted. */
const smallBytes = 4096;

/** Finds the method for a path, or says why there is none. */
export type Find = (path: string) => Entry | Status;

/** The head of `request`. */
export function headOf(request: Request, find: Find): Head {
  const { fields } = request;
  const timeout = fieldOf(fields, "grpc-timeout");
  const encoding = fieldOf(fields, "grpc-encoding");
  const timeoutMs = timeout === undefined ? undefined : timeoutMsOf(timeout);
  const bytes = fields.reduce((sum, { name, value }) => sum + name.length + value.length, 0);
  const heldBytes = bytes < smallBytes ? 0 : bytes;
  const common = { timeoutMs, inflate: inflaterOf(encoding), fields, heldBytes };
  const refusal = objectionTo(request, timeout !== undefined && timeoutMs === undefined, encoding);
  if (refusal !== undefined) return { ...common, entry: undefined, refusal };
  const found = find(request.path);
  if ("code" in found) return { ...common, entry: undefined, refusal: headOnly(found) };
  return { ...common, entry: found, refusal: undefined };
}

/**
 * The first value of a metadata key (lower case); undefined where there is none. Keys that end in
 * "-bin" carry bytes in base64: they come as a text of one char for each byte.
 */
export function metadataOf(fields: readonly Field[], key: string): string | undefined {
  const value = fieldOf(fields, key);
  if (value === undefined || !key.endsWith("-bin")) return value;
  return Buffer.from(value.split(",", 1)[0] as string, "base64").toString("latin1");
}

function fieldOf(fields: readonly Field[], name: string): string | undefined {
  for (const field of fields) if (field.name === name) return field.value;
  return undefined;
}

/** Why a request cannot be a call, as an answer to it; undefined when it can. */
function objectionTo(
  { fields, method }: Request,
  isTimeoutMalformed: boolean,
  encoding: string | undefined,
): readonly HeaderField[] | undefined {
  const type = fieldOf(fields, "content-type") ?? "";
  if (!/^application\/grpc($|[+;])/i.test(type)) {
    const message = `invalid gRPC request content-type ${JSON.stringify(type)}`;
    return headOnly({ code: codes.invalidArgument, message }, 415);
  }
  if (method !== "POST") {
    const message = `Received a HEADERS frame with :method ${JSON.stringify(method)} which should be POST`;
    return headOnly({ code: codes.internal, message }, 405);
  }
  if (isTimeoutMalformed) {
    return headOnly({ code: codes.internal, message: "malformed grpc-timeout" }, 400);
  }
  if (encoding === undefined || isAccepted(encoding)) return undefined;
  const message = `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}`;
  return encodingRefusal({ code: codes.unimplemented, message }, acceptedEncodings);
}
