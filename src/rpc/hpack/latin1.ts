/** Bytes as latin1 text, for strings of a few bytes on the way of every call. */

/** Called on any Uint8Array: it spares making a Buffer of it, which costs more than the text. */
const latin1Slice: (this: Uint8Array, from: number, to: number) => string =
  Buffer.prototype.latin1Slice;

/** The text of bytes[from,to), one char for each byte. */
export function latin1Text(bytes: Uint8Array, from: number, to: number): string {
  return latin1Slice.call(bytes, from, to);
}
