import { expect, test } from "bun:test";
import {
  columns,
  jsonLine,
  keyText,
  labelled,
  typedKey,
  valueText,
} from "../../src/cli/literal.ts";

test("values are quoted where they can be printed, and hex where not", () => {
  const cases: [string | number[], string][] = [
    ["", '""'],
    ["plain", '"plain"'],
    ['a "b"\n\tc', '"a \\"b\\"\\n\\tc"'],
    ["ü 漢 🙂", '"ü 漢 🙂"'],
    ["\0", "0x00"],
    ["\u001b[31m", "0x1b5b33316d"],
    [[0xff, 0xfe], "0xfffe"],
    [[0xef, 0xbb, 0xbf, 0x61], "0xefbbbf61"],
  ];
  for (const [value, text] of cases) {
    const bytes = typeof value === "string" ? Buffer.from(value) : Buffer.from(value);
    expect([value, valueText(bytes)]).toEqual([value, text]);
  }
});

test("keys are as they were typed where that fits a line", () => {
  for (const key of ["/registry/pods", "with space", "ü/漢"]) {
    expect(keyText(typedKey(key))).toBe(key);
  }
  expect(keyText("a\nb")).toBe('"a\\nb"');
  expect(keyText("\0\xff")).toBe("0x00ff");
  expect(keyText("")).toBe('""');
  expect(typedKey("ü")).toBe("\xc3\xbc");
});

test("columns are as wide as what is in them, and the last has no end", () => {
  expect(columns(["A", "LONG", "C"], [])).toBe("A  LONG  C\n");
  const rows = [
    ["key", 1, 2n],
    ["longer key", 12_345, "x y"],
  ];
  expect(columns(["A", "LONG", "C"], rows)).toBe(
    "A           LONG   C\nkey         1      2\nlonger key  12345  x y\n",
  );
});

test("labels are one column, what they say the other", () => {
  const facts = [
    ["Key", "a"],
    ["Create revision", 7],
  ] as const;
  expect(labelled(facts)).toBe("Key:              a\nCreate revision:  7\n");
});

test("numbers of 64 bits keep all their digits in JSON", () => {
  expect(jsonLine({ lease: 2n ** 63n - 1n, keys: [1, "1"] })).toBe(
    '{"lease":9223372036854775807,"keys":[1,"1"]}\n',
  );
});
