import { expect, test } from "bun:test";
import { build } from "../../src/cli/build.ts";
import { execute } from "../../src/cli/command.ts";
import { runOptions, variableOf } from "../../src/cli/options.ts";
import { UsageError } from "../../src/cli/usage.ts";

async function answer(...argv: string[]): Promise<{ code: number; printed: string }> {
  let printed = "";
  const code = await execute(argv, {
    environment: {},
    interactive: false,
    answers: false,
    readLine: () => Promise.resolve(undefined),
    print: (text) => {
      printed += text;
    },
    warn: () => undefined,
  });
  return { code, printed };
}

test("help is printed for no command, for --help, -h and help, and ends well", async () => {
  const general = await answer();
  expect(general).toEqual({ code: 0, printed: expect.stringContaining("t4 version") });
  for (const argv of [["--help"], ["-h"], ["help"]]) expect(await answer(...argv)).toEqual(general);
});

test("a command's help names every flag, variable and preset", async () => {
  const { code, printed } = await answer("run", "--data-dir", "x", "--help");
  expect(code).toBe(0);
  for (const { flag, preset } of Object.values(runOptions)) {
    expect(printed).toContain(`--${flag}`);
    expect(printed).toContain(variableOf(flag));
    expect(printed).toContain(`default ${preset ?? ""}`);
  }
  expect(await answer("help", "run")).toEqual({ code, printed });
  expect(await answer("run", "-h")).toEqual({ code, printed });
});

test("no line of help is wider than a terminal", async () => {
  const { printed } = await answer("run", "--help");
  expect(printed.split("\n").filter((line) => line.length > 100)).toEqual([]);
});

test("version says what this is, in words and as JSON", async () => {
  const { code, printed } = await answer("version", "-o", "json");
  expect({ code, json: JSON.parse(printed) }).toEqual({
    code: 0,
    json: {
      version: build.version,
      commit: "source",
      bun: Bun.version,
      platform: build.platform,
      etcd: "3.6.14",
    },
  });
  const text = await answer("version");
  expect(text.printed).toStartWith(`t4 ${build.version} (commit source)\n`);
  expect(await answer("--version")).toEqual(text);
  expect(await answer("-v")).toEqual(text);
});

async function refused(...argv: string[]): Promise<string> {
  try {
    await answer(...argv);
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return "understood";
}

test("an unknown command or a flag in its place is refused with what there is", async () => {
  expect([
    await refused("rum"),
    await refused("serve"),
    await refused("constructor"),
    await refused("--data-dir", "x"),
    await refused("help", "nothing"),
    await refused("version", "--outptu=json"),
    await refused("version", "-o", "yaml"),
  ]).toEqual([
    'unknown command "rum", did you mean run?',
    expect.stringMatching(/^unknown command "serve"; commands are run, .*version$/),
    expect.stringMatching(/^unknown command "constructor"; commands are run, .*version$/),
    expect.stringMatching(/^unknown flag --data-dir; a command comes first: run, .*version$/),
    expect.stringMatching(/^unknown command "nothing"; commands are run, .*version$/),
    "unknown flag --outptu, did you mean --output?",
    '--output must be text or json, not "yaml"',
  ]);
});

test("a group of commands says what is in it", async () => {
  const { code, printed } = await answer("inspect", "--help");
  expect({ code, printed }).toEqual({
    code: 0,
    printed: expect.stringMatching(
      /^t4 inspect: .*\n\n {2}t4 inspect meta .*\n {2}t4 inspect get /,
    ),
  });
  expect(await answer("help", "inspect")).toEqual({ code, printed });
  expect((await answer()).printed).toContain("\n  t4 inspect ");
});

test("a command in a group has help of its own, with what stands without a flag", async () => {
  const { code, printed } = await answer("inspect", "list", "--limit", "3", "-h");
  expect(code).toBe(0);
  expect(printed).toStartWith("t4 inspect list: ");
  expect(printed).toContain("\n  t4 inspect list [PREFIX]\n");
  expect(printed).toContain("default /var/lib/t4, variable T4_DATA_DIR\n");
  expect(printed).toContain("default 100\n");
  expect(await answer("help", "inspect", "list")).toEqual({ code, printed });
});

test("what is not understood after a group is refused with what there is", async () => {
  expect([
    await refused("inspect"),
    await refused("inspect", "gte", "key"),
    await refused("inspect", "frobnicate"),
    await refused("inspect", "--json", "get", "key"),
    await refused("help", "inspect", "hsitory"),
    await refused("inspect", "get"),
    await refused("inspect", "get", ""),
    await refused("inspect", "get", "a", "b"),
    await refused("inspect", "get", "--", "a", "--json"),
    await refused("inspect", "get", "--limit=1"),
    await refused("inspect", "meta", "here"),
    await refused("inspect", "history", "key", "--limit=-1"),
    await refused("inspect", "list", "a", "--prefix=b"),
    await refused("inspect", "diff", "--from-rev=9", "--to-rev=8"),
  ]).toEqual([
    "t4 inspect needs a command: meta, get, list, count, history, diff",
    'unknown command "gte" after t4 inspect, did you mean get?',
    expect.stringMatching(/^unknown command "frobnicate" after t4 inspect; commands are meta, get/),
    expect.stringMatching(/^unknown flag --json after t4 inspect; a command comes first: meta, /),
    'unknown command "hsitory" after t4 inspect, did you mean history?',
    "KEY is missing: the key",
    'KEY must be a key, not ""',
    'unexpected argument "b": only KEY can stand there',
    'unexpected argument "--json": only KEY can stand there',
    "unknown flag --limit; --help lists them",
    'unexpected argument "here": there are only flags',
    '--limit must be an integer from 0 to 1000000000, not "-1"',
    "the prefix is given twice: as PREFIX and as --prefix",
    "--from-rev=9 is after --to-rev=8",
  ]);
});
