import { expect, test } from "bun:test";
import fs from "node:fs";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { runOptions } from "../../src/cli/options.ts";
import { parse } from "../../src/cli/parse.ts";
import { readTls } from "../../src/cli/tls.ts";
import { ConfigurationError, UsageError } from "../../src/cli/usage.ts";
import { temporaryDirectory } from "../support/t4.ts";

const file = (name: string) => `${import.meta.dir}/../support/tls/${name}`;
const text = (name: string) => fs.readFileSync(file(name), "utf8");
const read = (...argv: string[]) => readTls(parse(runOptions, argv, {}));
const cert = `--client-tls-cert=${file("server.crt")}`;
const key = `--client-tls-key=${file("server.key")}`;
const authority = `--client-tls-ca=${file("authority.crt")}`;

test("without flags there is no TLS, with them the files are read", () => {
  expect(read()).toBeUndefined();
  const served = {
    certificate: Buffer.from(text("server.crt")),
    key: Buffer.from(text("server.key")),
  };
  expect(read(cert, key)).toEqual({ ...served, clientAuthority: undefined });
  expect(read(cert, key, authority)).toEqual({
    ...served,
    clientAuthority: Buffer.from(text("authority.crt")),
  });
});

test("flags that do not go together are refused", () => {
  for (const half of [[cert], [key], [authority], [cert, authority]]) {
    expect(() => read(...half)).toThrow(UsageError);
  }
});

test("a chain, and what people write around it, is read", () => {
  using directory = temporaryDirectory();
  const path = `${directory.path}/chain.pem`;
  fs.writeFileSync(
    path,
    `${text("server.key")}subject=x\n${text("server.crt")}\n${text("authority.crt")}`,
  );
  const flags = [
    `--client-tls-cert=${path}`,
    `--client-tls-key=${path}`,
    `--client-tls-ca=${path}`,
  ];
  expect(read(...flags)?.certificate).toEqual(fs.readFileSync(path));
});

test("a file that cannot be used is refused in one line that names it", () => {
  using directory = temporaryDirectory();
  const written = (name: string, content: string) => {
    fs.writeFileSync(`${directory.path}/${name}`, content);
    return `${directory.path}/${name}`;
  };
  const garbage = (what: string) => `-----BEGIN ${what}-----\nAA==\n-----END ${what}-----\n`;
  const badCert = written("bad.crt", garbage("CERTIFICATE"));
  const badKey = written("bad.key", garbage("PRIVATE KEY"));
  const badChain = written("chain.crt", `${text("server.crt")}${garbage("CERTIFICATE")}`);
  const cutOff = written("cut.crt", text("server.crt").slice(0, 200));
  const empty = written("empty.crt", "");
  const cases: [string, string[], string][] = [
    ["/nowhere/x", [cert, "--client-tls-key=/nowhere/x"], "cannot read /nowhere/x: ENOENT"],
    [empty, [`--client-tls-cert=${empty}`, key], "holds no PEM certificate"],
    [file("server.key"), [`--client-tls-cert=${file("server.key")}`, key], "holds no PEM"],
    [file("server.crt"), [cert, `--client-tls-key=${file("server.crt")}`], "no PEM private key"],
    [badCert, [`--client-tls-cert=${badCert}`, key], "the PEM certificate in"],
    [badChain, [`--client-tls-cert=${badChain}`, key], "the PEM certificate in"],
    [cutOff, [`--client-tls-cert=${cutOff}`, key], "the PEM certificate in"],
    [badKey, [cert, `--client-tls-key=${badKey}`], "the PEM private key in"],
    [badCert, [cert, key, `--client-tls-ca=${badCert}`], "--client-tls-ca: the PEM certificate"],
    [
      file("client.key"),
      [cert, `--client-tls-key=${file("client.key")}`],
      `is not the key of the certificate in ${file("server.crt")}`,
    ],
  ];
  for (const [path, flags, told] of cases) {
    const error = complaintOf(flags);
    expect([path, exitCodeOf(error)]).toEqual([path, 78]);
    expect(error.message).toContain(path);
    expect(error.message).toContain(told);
    expect(error.message).not.toContain("\n");
  }
});

function complaintOf(flags: readonly string[]): Error {
  try {
    read(...flags);
  } catch (error) {
    if (error instanceof ConfigurationError) return error;
    throw error;
  }
  throw new Error("it was taken");
}
