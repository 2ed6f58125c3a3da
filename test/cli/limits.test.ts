import { expect, test } from "bun:test";
import { runOptions } from "../../src/cli/options.ts";
import { parse } from "../../src/cli/parse.ts";
import { settingsOf } from "../../src/cli/run.ts";
import { Unreadable } from "../../src/cli/value.ts";
import { limitsOf } from "../../src/member/limits.ts";

/** The least and the greatest value of every option that has them, as its complaint tells them. */
const bounds = Object.values(runOptions).flatMap(({ flag, kind }) => {
  const complaint = kind.read("?");
  const expected = complaint instanceof Unreadable ? complaint.expected : "";
  const [, least, most] = /from (\w+) to (\w+)$/.exec(expected) ?? [];
  return least === undefined ? [] : [{ flag, least, most }];
});

function limitsWith(argv: readonly string[]) {
  return limitsOf(settingsOf(parse(runOptions, argv, {})));
}

test.each(bounds)("--$flag from $least to $most makes limits that fit together", (bound) => {
  for (const value of [bound.least, bound.most]) limitsWith([`--${bound.flag}=${value}`]);
});

test("so do all the least values at once, and all the greatest", () => {
  expect(bounds.length).toBeGreaterThan(8);
  limitsWith(bounds.map(({ flag, least }) => `--${flag}=${least}`));
  const greatest = limitsWith(bounds.map(({ flag, most }) => `--${flag}=${most}`));
  expect(greatest).toMatchObject({ requestBytesMax: 64 * 2 ** 20, txnOperationsMax: 100_000 });
});
