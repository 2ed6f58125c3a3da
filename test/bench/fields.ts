/**
 * Header fields (RFC 7541), as far as load sends them: without Huffman's code, and never decoded.
 */

/** In the static table (appendix A). */
const places = { authority: 1, path: 4, contentType: 31 } as const;
const methodPost = 0x83;
const schemeHttp = 0x86;
const staticFields = 61;

/** A field that goes into no table (section 6.2.2): its name, or where that stands in the static one. */
export function literal(name: string | number, value: string): Buffer {
  if (typeof name === "string") return Buffer.concat([Buffer.of(0), text(name), text(value)]);
  const place = name < 15 ? Buffer.of(name) : Buffer.of(15, name - 15);
  return Buffer.concat([place, text(value)]);
}

/**
 * The fields of requests on one connection. What is sent for the first time goes into the dynamic
 * table and is one byte from then on. The table has room for all of them: they are a few, and no
 * known server wants a smaller one than the 4 KiB that it has at first.
 */
export class RequestFields {
  /** What the table has, the oldest first. */
  readonly #entries: string[] = [];
  /** By path, what is sent as long as nothing new comes into the table. */
  readonly #known = new Map<string, Buffer>();

  /** The fields of a call of `path`; they are the next that the server gets. */
  blockOf(path: string): Buffer {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const before = this.#entries.length;
    const block = Buffer.concat([
      Buffer.of(methodPost, schemeHttp),
      this.#field(places.path, path),
      this.#field(places.authority, "127.0.0.1"),
      this.#field(places.contentType, "application/grpc"),
      this.#field("te", "trailers"),
    ]);
    if (this.#entries.length === before) this.#known.set(path, block);
    // A place counts from the newest entry.
    else this.#known.clear();
    return block;
  }

  #field(name: string | number, value: string): Buffer {
    const entry = `${name}: ${value}`;
    const at = this.#entries.indexOf(entry);
    if (at >= 0) return Buffer.of(0x80 | (staticFields + this.#entries.length - at));
    this.#entries.push(entry);
    if (typeof name === "string") return Buffer.concat([Buffer.of(0x40), text(name), text(value)]);
    return Buffer.concat([Buffer.of(0x40 | name), text(value)]);
  }
}

/** Its length, and what it says (section 5.2); shorter than 127 bytes. */
function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length), Buffer.from(value, "latin1")]);
}
