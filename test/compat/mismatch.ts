/** The two servers do not agree, or one of them does what neither may. */
export class Mismatch extends Error {
  constructor(what: string, t4?: unknown, etcd?: unknown) {
    super(`${what}\n  t4:   ${show(t4)}\n  etcd: ${show(etcd)}`);
  }
}

/** A value in one line. */
export function show(value: unknown): string {
  return Bun.inspect(readable(value), { depth: 30, colors: false, compact: true }).replace(
    /\s*\n\s*/g,
    " ",
  );
}

/** A request in one line, without what is zero. */
export function brief(request: unknown): string {
  return show(withoutZeros(request));
}

const isZero = (value: unknown) =>
  !value || (value instanceof Uint8Array && value.length === 0) || Bun.deepEquals(value, []);

function withoutZeros(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutZeros);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const entries = Object.entries(value).filter(([, inner]) => !isZero(inner));
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutZeros(inner)]));
}

/** Bytes become text, those of a whole message digits. */
function readable(value: unknown, field = ""): unknown {
  if (value instanceof Uint8Array) {
    if (field === "bytes") return Buffer.from(value.subarray(0, 1000)).toString("hex");
    const text = Buffer.from(value.subarray(0, 100)).toString("latin1");
    return value.length > 100 ? `${text.slice(0, 10)}… (${value.length} bytes)` : text;
  }
  if (typeof value === "string") return value.length > 300 ? `${value.slice(0, 300)}…` : value;
  if (Array.isArray(value)) return value.map((item) => readable(item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, readable(inner, key)]),
  );
}
