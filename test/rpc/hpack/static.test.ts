import { expect, test } from "bun:test";
import { Encoder } from "../../../src/rpc/hpack/encoder.ts";
import { decoderOf, fieldOf, read, write } from "./blocks.ts";

/** The table as Python's hpack has it, from index 1 on. */
const entries = `
  :authority: | :method: GET | :method: POST | :path: / | :path: /index.html | :scheme: http |
  :scheme: https | :status: 200 | :status: 204 | :status: 206 | :status: 304 | :status: 400 |
  :status: 404 | :status: 500 | accept-charset: | accept-encoding: gzip, deflate |
  accept-language: | accept-ranges: | accept: | access-control-allow-origin: | age: | allow: |
  authorization: | cache-control: | content-disposition: | content-encoding: | content-language: |
  content-length: | content-location: | content-range: | content-type: | cookie: | date: | etag: |
  expect: | expires: | from: | host: | if-match: | if-modified-since: | if-none-match: |
  if-range: | if-unmodified-since: | last-modified: | link: | location: | max-forwards: |
  proxy-authenticate: | proxy-authorization: | range: | referer: | refresh: | retry-after: |
  server: | set-cookie: | strict-transport-security: | transfer-encoding: | user-agent: | vary: |
  via: | www-authenticate:
`
  .split("|")
  .map((entry) => entry.trim().replace(/:$/, ": "));

test("Appendix A: each index is the field of the table, one object at all times", () => {
  expect(entries).toHaveLength(61);
  const block = Buffer.from(entries.map((_, at) => 0x81 + at));
  expect(read(decoderOf(), block)).toEqual(entries);
  const [one, other] = [decoderOf().decode(block, 0, 61), decoderOf().decode(block, 0, 61)];
  for (const at of entries.keys()) expect(one?.[at]).toBe(other?.[at] as never);
});

test("Appendix A: each field of the table goes out as its index, each name as its first", () => {
  for (const [at, entry] of entries.entries()) {
    expect(write(new Encoder(), [fieldOf(entry)])).toEqual(Buffer.of(0x81 + at));
    const { name } = fieldOf(entry);
    const first = 1 + entries.findIndex((other) => fieldOf(other).name === name);
    const block = write(new Encoder(), [{ name, value: "~", how: "never" }]);
    const index = first < 0x0f ? [0x10 + first] : [0x1f, first - 0x0f];
    expect(block).toEqual(Buffer.of(...index, 1, 0x7e));
  }
});
