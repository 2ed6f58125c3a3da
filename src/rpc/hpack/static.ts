/**
 * The static table (RFC 7541 2.3.1 and Appendix A): fields that every peer knows, at the indices
 * 1 to 61. The dynamic table goes on behind them.
 */
import type { Field } from "./decoder.ts";
import { Positions } from "./positions.ts";

/** In the order of their indices. */
const entries: readonly (readonly [name: string, value?: string])[] = [
  [":authority"],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset"],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language"],
  ["accept-ranges"],
  ["accept"],
  ["access-control-allow-origin"],
  ["age"],
  ["allow"],
  ["authorization"],
  ["cache-control"],
  ["content-disposition"],
  ["content-encoding"],
  ["content-language"],
  ["content-length"],
  ["content-location"],
  ["content-range"],
  ["content-type"],
  ["cookie"],
  ["date"],
  ["etag"],
  ["expect"],
  ["expires"],
  ["from"],
  ["host"],
  ["if-match"],
  ["if-modified-since"],
  ["if-none-match"],
  ["if-range"],
  ["if-unmodified-since"],
  ["last-modified"],
  ["link"],
  ["location"],
  ["max-forwards"],
  ["proxy-authenticate"],
  ["proxy-authorization"],
  ["range"],
  ["referer"],
  ["refresh"],
  ["retry-after"],
  ["server"],
  ["set-cookie"],
  ["strict-transport-security"],
  ["transfer-encoding"],
  ["user-agent"],
  ["vary"],
  ["via"],
  ["www-authenticate"],
];

/** The field at each index; undefined at 0, which is none. */
export const staticFields: readonly (Field | undefined)[] = [
  undefined,
  ...entries.map(([name, value = ""]) => ({ name, value })),
];

/** The lowest index of the dynamic table. */
export const firstDynamicIndex = staticFields.length;

/** Where a field or a name is in the static table: the lowest index counts. */
export const staticPositions = new Positions();
for (let index = staticFields.length - 1; index > 0; index--) {
  const field = staticFields[index];
  if (field !== undefined) staticPositions.add(field, index);
}
