import { expect, test } from "bun:test";
import fs from "node:fs";
import manifest from "../../package.json" with { type: "json" };
import { runT4, temporaryDirectory } from "../support/t4.ts";

test("the binary says what it is, and that it was built", async () => {
  const { code, stdout, stderr } = await runT4(["version", "-o", "json"]);
  expect({ code, stderr, json: JSON.parse(stdout) }).toEqual({
    code: 0,
    stderr: "",
    json: {
      version: manifest.version,
      commit: expect.stringMatching(/^([0-9a-f]{12}|unknown)$/),
      date: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      bun: Bun.version,
      platform: `${process.platform}-${process.arch}`,
      etcd: "3.6.14",
    },
  });
  expect((await runT4(["--version"])).stdout).toStartWith(`t4 ${manifest.version} (commit `);
});

test("help goes to standard output and ends well", async () => {
  for (const flags of [[], ["--help"], ["run", "--help"], ["version", "-h"]]) {
    const { code, stdout, stderr } = await runT4(flags);
    expect({ flags, code, stderr }).toEqual({ flags, code: 0, stderr: "" });
    expect(stdout).toMatch(/^T4 is |^t4 [a-z]+: /);
  }
});

test("a wrong command line is one line on standard error and code 2", async () => {
  const cases: [string[], string][] = [
    [["rum"], 't4: unknown command "rum", did you mean run?\n'],
    [["run", "--lisen=:1"], "t4: unknown flag --lisen, did you mean --listen?\n"],
    [
      ["run", "--log-level=loud"],
      't4: --log-level must be debug, info, warn or error, not "loud"\n',
    ],
    [["run", "--data-dir"], "t4: --data-dir needs a value: --data-dir=<directory>\n"],
    [["run", "here"], 't4: unexpected argument "here": there are only flags\n'],
    [["run", "--client-tls-cert=x"], "t4: TLS needs both --client-tls-cert and --client-tls-key\n"],
  ];
  for (const [flags, stderr] of cases) {
    expect(await runT4(flags)).toEqual({ code: 2, stdout: "", stderr });
  }
});

test("a variable that cannot be read is named", async () => {
  expect(await runT4(["run"], { environment: { T4_LOG_FORMAT: "xml" } })).toEqual({
    code: 2,
    stdout: "",
    stderr: 't4: T4_LOG_FORMAT must be text or json, not "xml"\n',
  });
});

test("files that lie where it is started are not read", async () => {
  using directory = temporaryDirectory();
  fs.writeFileSync(`${directory.path}/.env`, "T4_LOG_FORMAT=xml\n");
  fs.writeFileSync(`${directory.path}/bunfig.toml`, 'preload = ["./missing.ts"]\n');
  fs.writeFileSync(`${directory.path}/package.json`, "{ not json");
  fs.writeFileSync(`${directory.path}/tsconfig.json`, "{ not json");
  const options = { directory: directory.path };
  expect(await runT4(["run", "--log-level=loud"], options)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--log-level"),
  });
  expect(await runT4(["version", "--output=json"], options)).toMatchObject({ code: 0 });
});
