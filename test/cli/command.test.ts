import { expect, test } from "bun:test";
import { build } from "../../src/cli/build.ts";
import { execute } from "../../src/cli/command.ts";
import { runOptions, variableOf } from "../../src/cli/options.ts";

async function answer(...argv: string[]): Promise<{ code: number; printed: string }> {
  let printed = "";
  const code = await execute(argv, {
    environment: {},
    interactive: false,
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

test("an unknown command or a flag in its place is refused with what there is", async () => {
  const refused = async (...argv: string[]) => {
    try {
      await answer(...argv);
    } catch (error) {
      return (error as Error).message;
    }
    return "understood";
  };
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
    'unknown command "serve"; commands are run, version',
    'unknown command "constructor"; commands are run, version',
    "unknown flag --data-dir; a command comes first: run, version",
    'unknown command "nothing"; commands are run, version',
    "unknown flag --outptu, did you mean --output?",
    '--output must be text or json, not "yaml"',
  ]);
});
