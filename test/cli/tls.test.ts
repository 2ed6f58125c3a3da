import { expect, test } from "bun:test";
import fs from "node:fs";
import { runOptions } from "../../src/cli/options.ts";
import { parse } from "../../src/cli/parse.ts";
import { readTls } from "../../src/cli/tls.ts";
import { ConfigurationError, UsageError } from "../../src/cli/usage.ts";
import { temporaryDirectory } from "../support/t4.ts";

const certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
const key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";

test("without flags there is no TLS, with them the files are read", () => {
  using directory = temporaryDirectory();
  const file = (name: string, text: string) => {
    fs.writeFileSync(`${directory.path}/${name}`, text);
    return `${directory.path}/${name}`;
  };
  const read = (...argv: string[]) => readTls(parse(runOptions, argv, {}));
  expect(read()).toBeUndefined();
  const cert = `--client-tls-cert=${file("cert.pem", certificate)}`;
  const secret = `--client-tls-key=${file("key.pem", key)}`;
  const authority = `--client-tls-ca=${file("ca.pem", certificate)}`;
  expect(read(cert, secret)).toEqual({
    certificate: Buffer.from(certificate),
    key: Buffer.from(key),
    clientAuthority: undefined,
  });
  expect(read(cert, secret, authority)?.clientAuthority).toEqual(Buffer.from(certificate));
  for (const half of [[cert], [secret], [authority], [cert, authority]]) {
    expect(() => read(...half)).toThrow(UsageError);
  }
  expect(() => read(cert, "--client-tls-key=/nowhere/key.pem")).toThrow(
    new ConfigurationError("--client-tls-key: cannot read /nowhere/key.pem: ENOENT"),
  );
  const swapped = `--client-tls-cert=${directory.path}/key.pem`;
  expect(() => read(swapped, secret)).toThrow("holds no PEM certificate");
});
