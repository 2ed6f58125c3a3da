/**
 * The small objects of the bucket that people read too: one line of JSON, sealed by a checksum in
 * its last field.
 *
 *   {"format_version":1, … ,"checksum":"SHA-256 of all bytes before the comma, lower-case hex"}\n
 *
 * The seal stays in every format to come, so that damage is not taken for a newer format. Fields
 * may be added without a new format version; whoever does not know them leaves them out when it
 * writes.
 */
import { assert } from "../lib/assert.ts";
import { sha256 } from "../lib/checksum.ts";
import { CorruptionError, ForeignError } from "../lib/corruption.ts";

export type Json = Readonly<Record<string, unknown>>;

const sealBytes = sealOf("").length;

/** The bytes of an object with these fields, of which there is at least one. */
export function seal(fields: Json): Buffer {
  const text = JSON.stringify(fields).slice(0, -1);
  assert(text.length > 1, "a sealed object has a field");
  return Buffer.from(text + sealOf(text));
}

/**
 * The fields of the object found under `key`. CorruptionError when its seal is broken, ForeignError
 * when a newer T4 wrote it, in a format version above `newest`.
 */
export function unseal(key: string, bytes: Buffer, newest: number): Fields {
  const end = Math.max(0, bytes.length - sealBytes);
  const body = bytes.subarray(0, end);
  if (!bytes.subarray(end).equals(Buffer.from(sealOf(body)))) {
    throw new CorruptionError(key, 0, "its checksum is wrong", editHint);
  }
  let json: Json;
  try {
    json = JSON.parse(`${body.toString()}}`) as Json;
  } catch (error) {
    throw new CorruptionError(key, 0, `it is no JSON (${(error as Error).message})`, editHint);
  }
  const fields = new Fields(key, json);
  const version = fields.integer("format_version", 1);
  if (version > newest) {
    const what = `has format version ${version}, this T4 reads up to ${newest}`;
    throw new ForeignError(key, what, "start the version of T4 that wrote it, or a newer one");
  }
  return fields;
}

/** Fields as they came; each is asked for as what it must be, CorruptionError when it is not. */
export class Fields {
  readonly json: Json;
  readonly #key: string;

  constructor(key: string, json: Json) {
    this.#key = key;
    this.json = json;
  }

  /** A safe integer, at least `least`. */
  integer(name: string, least = 0): number {
    const value = this.json[name];
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
    throw this.#wrong(name);
  }

  /** Text, which matches `pattern`. */
  text(name: string, pattern = /^/): string {
    const value = this.json[name];
    if (typeof value === "string" && pattern.test(value)) return value;
    throw this.#wrong(name);
  }

  boolean(name: string): boolean {
    const value = this.json[name];
    if (typeof value === "boolean") return value;
    throw this.#wrong(name);
  }

  /** A cluster or member id: hex, not 0. */
  id(name: string): bigint {
    return this.#idOf(name, this.json[name]);
  }

  /** Ids, no two of them the same. */
  ids(name: string): bigint[] {
    const values = this.#list(name).map((value) => this.#idOf(name, value));
    if (new Set(values).size !== values.length) throw this.#wrong(name);
    return values;
  }

  texts(name: string): string[] {
    return this.#list(name).map((value) => {
      if (typeof value !== "string") throw this.#wrong(name);
      return value;
    });
  }

  /** The fields of an object within this one. */
  fields(name: string): Fields {
    const value = this.json[name];
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw this.#wrong(name);
    return new Fields(this.#key, value as Json);
  }

  #list(name: string): readonly unknown[] {
    const value = this.json[name];
    if (!Array.isArray(value)) throw this.#wrong(name);
    return value as readonly unknown[];
  }

  #idOf(name: string, value: unknown): bigint {
    if (typeof value !== "string" || !/^[1-9a-f][0-9a-f]{0,15}$/.test(value)) {
      throw this.#wrong(name);
    }
    return BigInt(`0x${value}`);
  }

  #wrong(name: string): CorruptionError {
    const shown = JSON.stringify(this.json[name]) ?? "missing";
    return new CorruptionError(this.#key, 0, `its field "${name}" cannot be ${shown}`, editHint);
  }
}

/** ForeignError unless the object under `key` belongs to `cluster`; both ids are named. */
export function refuseOtherCluster(key: string, found: bigint, cluster: bigint): void {
  if (found === cluster) return;
  const what = `is of cluster ${found.toString(16)}, not of ${cluster.toString(16)}`;
  throw new ForeignError(key, what, "give each cluster its own prefix in the bucket");
}

const editHint = "only T4 writes it; put a version back that was not changed by others";

function sealOf(body: Uint8Array | string): string {
  return `,"checksum":"${sha256(body)}"}\n`;
}
