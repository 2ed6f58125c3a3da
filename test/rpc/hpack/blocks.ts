/** What tests of HPACK share: blocks as hex, a look at a decoder's table, random fields. */
import type { Random } from "../../../src/lib/random.ts";
import { CompressionError, Decoder, type Field } from "../../../src/rpc/hpack/decoder.ts";
import type { Encoder, HeaderField } from "../../../src/rpc/hpack/encoder.ts";
import { writeInteger } from "../../../src/rpc/hpack/integer.ts";

/** A decoder's limits, as a server may have them. */
export const limits = { tableBytesMax: 4096, listBytesMax: 16_384 };

/** A decoder with these limits, or with the usual ones. */
export function decoderOf(options: Partial<typeof limits> = {}): Decoder {
  return new Decoder({ ...limits, ...options });
}

/** The bytes that `text` shows in hex, with spaces and line breaks where they please. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ""), "hex");
}

/** Decodes a block shown in hex; its fields as "name: value". */
export function read(decoder: Decoder, block: string | Uint8Array): string[] | undefined {
  const bytes = typeof block === "string" ? hex(block) : block;
  return decoder.decode(bytes, 0, bytes.length)?.map(lineOf);
}

/** "name: value". */
export function lineOf({ name, value }: Field): string {
  return `${name}: ${value}`;
}

/** A field from "name: value". */
export function fieldOf(line: string, how: HeaderField["how"] = "index"): HeaderField {
  const [, name = "", value = ""] = /^(:?[^:]*): (.*)$/s.exec(line) ?? [];
  return { name, value, how };
}

/** A block with these fields, in exactly the room that was asked for. */
export function write(encoder: Encoder, fields: readonly HeaderField[]): Buffer {
  const out = Buffer.alloc(encoder.bytesMax(fields));
  return out.subarray(0, encoder.encode(fields, out, 0));
}

/** A decoder's dynamic table, the newest entry first: asked for as any peer could. */
export function tableOf(decoder: Decoder): Field[] {
  const entries: Field[] = [];
  const block = new Uint8Array(8);
  for (let index = 62; ; index++) {
    const to = writeInteger(block, 0, 0x80, 0x7f, index);
    try {
      entries.push(...(decoder.decode(block, 0, to) ?? []));
    } catch (error) {
      if (!(error instanceof CompressionError)) throw error;
      return entries;
    }
  }
}

/** The size of a table or list, as RFC 7541 4.1 counts it. */
export function sizeOf(fields: readonly Field[]): number {
  return fields.reduce((sum, { name, value }) => sum + name.length + value.length + 32, 0);
}

const names = [":path", ":status", "te", "grpc-timeout", "authorization", "x-token", "x-a", ""];
const values = ["", "200", "trailers", "4999m", "/etcdserverpb.KV/Put", "302", "gzip, deflate"];
const ways = ["index", "index", "plain", "never"] as const;

/** A field that has often been seen before, and sometimes never. */
export function randomField(random: Random): HeaderField {
  const how = ways[random.below(ways.length)] ?? "index";
  const name = random.below(6) === 0 ? randomText(random) : names[random.below(names.length)];
  const value = random.below(3) === 0 ? randomText(random) : values[random.below(values.length)];
  return { name: name ?? "", value: value ?? "", how };
}

/** Latin1 text: letters, or any bytes; mostly short, rarely larger than a table. */
export function randomText(random: Random): string {
  const length = random.below(random.below(random.below(40) === 0 ? 6000 : 60) + 1);
  const isAny = random.below(4) === 0;
  let text = "";
  for (let at = 0; at < length; at++) {
    text += String.fromCharCode(isAny ? random.below(256) : 97 + random.below(26));
  }
  return text;
}
