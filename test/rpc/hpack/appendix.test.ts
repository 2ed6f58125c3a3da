/** RFC 7541, Appendix C: header fields, requests and responses, byte for byte. */
import { expect, test } from "bun:test";
import type { Decoder } from "../../../src/rpc/hpack/decoder.ts";
import { Encoder } from "../../../src/rpc/hpack/encoder.ts";
import { decoderOf, fieldOf, hex, lineOf, read, sizeOf, tableOf, write } from "./blocks.ts";

interface Step {
  readonly block: string;
  readonly fields: readonly string[];
  /** The dynamic table then, the newest entry first. */
  readonly table: readonly string[];
  readonly tableBytes: number;
}

test.each<[string, Step]>([
  [
    "C.2.1: literal with indexing",
    {
      block: "400a6375 73746f6d 2d6b6579 0d637573 746f6d2d 68656164 6572",
      fields: ["custom-key: custom-header"],
      table: ["custom-key: custom-header"],
      tableBytes: 55,
    },
  ],
  [
    "C.2.2: literal without indexing",
    {
      block: "040c2f73 616d706c 652f7061 7468",
      fields: [":path: /sample/path"],
      table: [],
      tableBytes: 0,
    },
  ],
  [
    "C.2.3: literal never indexed",
    {
      block: "10087061 7373776f 72640673 65637265 74",
      fields: ["password: secret"],
      table: [],
      tableBytes: 0,
    },
  ],
  ["C.2.4: indexed", { block: "82", fields: [":method: GET"], table: [], tableBytes: 0 }],
])("%s", (_, step) => {
  follow(decoderOf(), [step]);
});

const first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const requests: readonly Omit<Step, "block">[] = [
  { fields: first, table: [":authority: www.example.com"], tableBytes: 57 },
  {
    fields: [...first, "cache-control: no-cache"],
    table: ["cache-control: no-cache", ":authority: www.example.com"],
    tableBytes: 110,
  },
  {
    fields: [
      ":method: GET",
      ":scheme: https",
      ":path: /index.html",
      ":authority: www.example.com",
      "custom-key: custom-value",
    ],
    table: ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
    tableBytes: 164,
  },
];

const responses: readonly Omit<Step, "block">[] = [
  {
    fields: [
      ":status: 302",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "location: https://www.example.com",
    ],
    table: [
      "location: https://www.example.com",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "cache-control: private",
      ":status: 302",
    ],
    tableBytes: 222,
  },
  {
    fields: [
      ":status: 307",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "location: https://www.example.com",
    ],
    table: [
      ":status: 307",
      "location: https://www.example.com",
      "date: Mon, 21 Oct 2013 20:13:21 GMT",
      "cache-control: private",
    ],
    tableBytes: 222,
  },
  {
    fields: [
      ":status: 200",
      "cache-control: private",
      "date: Mon, 21 Oct 2013 20:13:22 GMT",
      "location: https://www.example.com",
      "content-encoding: gzip",
      "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
    table: [
      "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
      "content-encoding: gzip",
      "date: Mon, 21 Oct 2013 20:13:22 GMT",
    ],
    tableBytes: 215,
  },
];

const plainRequests = [
  "828684410f777777 2e657861 6d706c65 2e636f6d",
  "828684be58086e6f 2d636163 6865",
  "828785bf400a6375 73746f6d 2d6b6579 0c637573 746f6d2d 76616c75 65",
];
const codedRequests = [
  "828684418cf1e3c2 e5f23a6b a0ab90f4 ff",
  "828684be5886a8eb 10649cbf",
  "828785bf408825a8 49e95ba9 7d7f8925 a849e95b b8e8b4bf",
];
const plainResponses = [
  `4803333032580770 72697661 7465611d 4d6f6e2c 20323120 4f637420 32303133
   2032303a31333a32 3120474d 546e1768 74747073 3a2f2f77 77772e65 78616d70 6c652e63 6f6d`,
  "4803333037c1c0bf",
  `88c1611d4d6f6e2c 20323120 4f637420 32303133 2032303a 31333a32 3220474d
   54c05a04677a6970 7738666f 6f3d4153 444a4b48 514b425a 584f5157 454f5049 55415851
   57454f49553b206d 61782d61 67653d33 3630303b 20766572 73696f6e 3d31`,
];
const codedResponses = [
  `488264025885aec3 771a4b61 96d07abe 941054d4 44a82005 95040b81 66e082a6
   2d1bff6e919d29ad 171863c7 8f0b97c8 e9ae82ae 43d3`,
  "4883640effc1c0bf",
  `88c16196d07abe94 1054d444 a8200595 040b8166 e084a62d 1bffc05a 839bd9ab
   77ad94e7821dd7f2 e6c7b335 dfdfcd5b 3960d5af 27087f36 72c1ab27 0fb5291f 95873160
   65c003ed4ee5b106 3d5007`,
];

test("C.3: requests", () => {
  follow(decoderOf(), withBlocks(requests, plainRequests));
});

test("C.4: requests, Huffman coded, both ways", () => {
  follow(decoderOf(), withBlocks(requests, codedRequests));
  const encoder = new Encoder();
  const blocks = requests.map(({ fields }) => written(encoder, fields));
  expect(blocks).toEqual(codedRequests.map((block) => hex(block).toString("hex")));
});

test("C.5: responses that a table of 256 bytes has no room for", () => {
  const decoder = decoderOf({ tableBytesMax: 256 });
  follow(decoder, withBlocks(responses, plainResponses));
});

test("C.6: such responses, Huffman coded, both ways", () => {
  follow(decoderOf({ tableBytesMax: 256 }), withBlocks(responses, codedResponses));
  const encoder = new Encoder();
  encoder.limitTable(256);
  const blocks = responses.map(({ fields }) => written(encoder, fields));
  const [one = "", , three = ""] = codedResponses.map((block) => hex(block).toString("hex"));
  // A new table size comes first; and "307" is no shorter in code than as it is.
  expect(blocks).toEqual([`3fe101${one}`, "4803333037c1c0bf", three]);
});

function withBlocks(steps: readonly Omit<Step, "block">[], blocks: readonly string[]): Step[] {
  return steps.map((step, at) => ({ ...step, block: blocks[at] ?? "" }));
}

/** Decodes one block after the other. */
function follow(decoder: Decoder, steps: readonly Step[]): void {
  for (const { block, fields, table, tableBytes } of steps) {
    expect(read(decoder, block)).toEqual([...fields]);
    expect(tableOf(decoder).map(lineOf)).toEqual([...table]);
    expect(sizeOf(tableOf(decoder))).toBe(tableBytes);
  }
}

function written(encoder: Encoder, fields: readonly string[]): string {
  return write(
    encoder,
    fields.map((line) => fieldOf(line)),
  ).toString("hex");
}
