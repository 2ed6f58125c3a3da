import { expect, test } from "bun:test";
import type { Shell } from "../../src/cli/command.ts";
import { consent, demandConsent, linesOf } from "../../src/cli/consent.ts";
import { UsageError } from "../../src/cli/usage.ts";

const plan = "2 checkpoints will be deleted.\n";

/** Asks somebody who types these lines and then closes the input; what was said to them. */
async function ask(answers: boolean, yes: boolean, ...lines: string[]) {
  let said = "";
  const waiting = [...lines];
  const shell: Shell = {
    environment: {},
    interactive: answers,
    answers,
    print: () => undefined,
    warn: (text) => {
      said += text;
    },
    readLine: () => Promise.resolve(waiting.shift()),
  };
  return { agreed: await consent(shell, plan, yes), said };
}

test("a person is shown the plan and asked until the answer can be understood", async () => {
  const asked = `${plan}Go on? [y/N] `;
  expect(await ask(true, false, "y")).toEqual({ agreed: true, said: asked });
  expect(await ask(true, false, " YES \r")).toEqual({ agreed: true, said: asked });
  expect(await ask(true, false, "n")).toEqual({ agreed: false, said: asked });
  expect(await ask(true, false, "")).toEqual({ agreed: false, said: asked });
  const twice = `${asked}Go on? [y/N] `;
  expect(await ask(true, false, "perhaps", "no")).toEqual({ agreed: false, said: twice });
});

test("input that is closed while the question stands is no", async () => {
  expect(await ask(true, false)).toEqual({ agreed: false, said: `${plan}Go on? [y/N] \n` });
});

test("where nobody can answer, or has answered already, nothing is asked", async () => {
  expect(await ask(false, false)).toEqual({ agreed: true, said: "" });
  expect(await ask(true, true, "n")).toEqual({ agreed: true, said: "" });
});

test("what always needs --yes is refused without it, and says what would be lost", () => {
  expect(() => demandConsent("revisions 8 to 9 are lost", true)).not.toThrow();
  expect(() => demandConsent("revisions 8 to 9 are lost", false)).toThrow(
    new UsageError("revisions 8 to 9 are lost; if that is meant, add --yes"),
  );
});

test("lines are those that were typed, however they arrive, and the last needs no end", async () => {
  const pieces = ["on", "e\ntwo\nth", "ree", "\n", "\nfo\u00fc"].map((text) => Buffer.from(text));
  const [last = Buffer.alloc(0)] = pieces.splice(-1);
  let opened = 0;
  const next = linesOf(async function* () {
    opened++;
    yield* pieces;
    await Promise.resolve();
    yield last.subarray(0, -1);
    yield last.subarray(-1);
  });
  expect(opened).toBe(0);
  const lines = [await next(), await next(), await next(), await next(), await next()];
  expect(lines).toEqual(["one", "two", "three", "", "fo\u00fc"]);
  expect([await next(), await next(), opened]).toEqual([undefined, undefined, 1]);
});
