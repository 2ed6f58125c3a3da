/**
 * Field blocks (RFC 7541) as simply as they can be written: literals without Huffman codes, and each
 * representation by itself, so that a test can put together what no encoder would.
 */

/** Name and value, as latin1 text. */
export type Field = readonly [name: string, value: string];

/** RFC 7541 5.1: `pattern` are the bits in front of a prefix of `prefixBits` bits. */
export function integer(value: number, prefixBits: number, pattern: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([pattern | value]);
  const bytes = [pattern | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** RFC 7541 5.2, not Huffman coded. */
export function string(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7, 0), Buffer.from(text, "latin1")]);
}

/** RFC 7541 6.1. */
export function indexed(index: number): Buffer {
  return integer(index, 7, 0x80);
}

/** RFC 7541 6.2.1: the field is remembered in the dynamic table. */
export function remembered(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), string(name), string(value)]);
}

/** RFC 7541 6.2.2. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), string(name), string(value)]);
}

/** RFC 7541 6.3. */
export function tableSize(bytes: number): Buffer {
  return integer(bytes, 5, 0x20);
}

/** A block of literals. */
export function blockOf(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.map(([name, value]) => literal(name, value)));
}

/** The pseudo-header fields of a gRPC request. */
export function pseudoFields(path: string): Field[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
  ];
}

/** What a gRPC client sends first, with `more` behind it. */
export function requestFields(path: string, more: readonly Field[] = []): Field[] {
  return [...pseudoFields(path), ["content-type", "application/grpc"], ["te", "trailers"], ...more];
}
