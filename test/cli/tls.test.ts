import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { runOptions } from "../../src/cli/options.ts";
import { parse } from "../../src/cli/parse.ts";
import { isMadeOf, readTls, readTlsFiles, tlsOf } from "../../src/cli/tls.ts";
import { ConfigurationError, UsageError } from "../../src/cli/usage.ts";
import { Authority, selfSigned } from "../support/authority.ts";
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
  const expiresMs = Date.UTC(2120, 0);
  expect(read(cert, key)).toEqual({ ...served, clientAuthority: undefined, expiresMs });
  expect(read(cert, key, authority)).toEqual({
    ...served,
    clientAuthority: Buffer.from(text("authority.crt")),
    expiresMs,
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
  const noise = written("noise.crt", "noise");
  const locked = written("locked.key", lockedKey());
  const cases: [string, string[], string][] = [
    ["/nowhere/x", [cert, "--client-tls-key=/nowhere/x"], "cannot read /nowhere/x: ENOENT"],
    [empty, [`--client-tls-cert=${empty}`, key], "is empty"],
    [empty, [cert, `--client-tls-key=${empty}`], "is empty"],
    [empty, [cert, key, `--client-tls-ca=${empty}`], "is empty"],
    [directory.path, [`--client-tls-cert=${directory.path}`, key], "it is a directory"],
    [directory.path, [cert, key, `--client-tls-ca=${directory.path}`], "it is a directory"],
    [noise, [cert, key, `--client-tls-ca=${noise}`], "holds no PEM certificate"],
    [
      file("server.key"),
      [cert, key, `--client-tls-ca=${file("server.key")}`],
      "no PEM certificate",
    ],
    [file("server.key"), [`--client-tls-cert=${file("server.key")}`, key], "holds no PEM"],
    [file("server.crt"), [cert, `--client-tls-key=${file("server.crt")}`], "no PEM private key"],
    [badCert, [`--client-tls-cert=${badCert}`, key], "the PEM certificate in"],
    [badChain, [`--client-tls-cert=${badChain}`, key], "the PEM certificate in"],
    [cutOff, [`--client-tls-cert=${cutOff}`, key], "the PEM certificate in"],
    [badKey, [cert, `--client-tls-key=${badKey}`], "the PEM private key in"],
    [locked, [cert, `--client-tls-key=${locked}`], "assphrase required"],
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

/** A key that only a passphrase opens. */
function lockedKey(): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const lock = { cipher: "aes-256-cbc", passphrase: "secret" };
  return String(privateKey.export({ type: "pkcs8", format: "pem", ...lock }));
}

function complaintOf(flags: readonly string[]): Error {
  try {
    read(...flags);
  } catch (error) {
    if (error instanceof ConfigurationError) return error;
    throw error;
  }
  throw new Error("it was taken");
}

const day = 24 * 3600 * 1000;
const now = Date.UTC(2026, 0, 2);
const root = Authority.root("root");
const between = root.authority("between", { until: now + 40 * day });
const server = between.issue("server", { until: now + 50 * day });
const chain = server.certificate + between.certificate;

describe("a set of files at a time", () => {
  /** Files that hold `certificate` and `key`, looked at `time`. */
  const at = (time: number, certificate: string, key = server.key) => {
    const contents: Record<string, string> = { "/cert": certificate, "/key": key };
    const files = { certificate: "/cert", key: "/key", authority: undefined };
    return tlsOf(
      readTlsFiles(files, (path) => Buffer.from(contents[path] ?? "")),
      time,
    );
  };
  test("is served in whatever length the chain has, and expires with the first of it", () => {
    expect(at(now, server.certificate).expiresMs).toBe(now + 50 * day);
    expect(at(now, chain).expiresMs).toBe(now + 40 * day);
    expect(at(now, chain + root.certificate).expiresMs).toBe(now + 40 * day);
    const alone = selfSigned("alone");
    expect(at(now, alone.certificate, alone.key).expiresMs).toBe(Date.UTC(2120, 0));
  });

  test("that is out of order is refused, and told which certificate is where it should not be", () => {
    const sibling = root.authority("between");
    const stranger = Authority.root("stranger");
    const order =
      "the order is the server's own first, then each the one that signed the one before";
    const told = (number: number, count: number, name: string) =>
      `--client-tls-cert: certificate ${number} of ${count} in /cert (CN=${name}) did not sign the one before: ${order}`;
    const refusals: [string, string][] = [
      [server.certificate + root.certificate, told(2, 2, "root")],
      [server.certificate + root.certificate + between.certificate, told(2, 3, "root")],
      [chain + stranger.certificate, told(3, 3, "stranger")],
      [chain + chain, told(3, 4, "server")],
      // The right name, and another key.
      [server.certificate + sibling.certificate, told(2, 2, "between")],
      [
        between.certificate + server.certificate,
        "--client-tls-cert: certificate 2 of 2 in /cert (CN=server) is that of the key in /key: " +
          "the server's own certificate must be the first",
      ],
    ];
    for (const [certificate, message] of refusals) {
      expect(() => at(now, certificate)).toThrow(new ConfigurationError(message));
    }
  });

  test("that is not valid yet, or any more, is refused with the time", () => {
    const short = root.issue("short", { from: now, until: now + day });
    for (const time of [now, now + day]) at(time, short.certificate, short.key);
    const refused = (time: number, message: string) =>
      expect(() => at(time, short.certificate, short.key)).toThrow(new ConfigurationError(message));
    const named = "--client-tls-cert: the certificate in /cert (CN=short)";
    refused(now - 1, `${named} is not valid before 2026-01-02T00:00:00Z`);
    refused(now + day + 1, `${named} expired at 2026-01-03T00:00:00Z`);
    expect(() => at(now + 41 * day, chain)).toThrow(
      "certificate 2 of 2 in /cert (CN=between) expired at 2026-02-11T00:00:00Z",
    );
  });
});

test("files hold the same as long as each byte is", () => {
  const contents = (certificate: string, key: string, authority: string | undefined) => {
    const pem = (text: string) => ({ flag: "", path: "", bytes: Buffer.from(text) });
    return {
      certificate: pem(certificate),
      key: pem(key),
      authority: authority === undefined ? undefined : pem(authority),
    };
  };
  const first = contents(chain, server.key, root.certificate);
  const tls = tlsOf(first, now);
  expect(isMadeOf(tls, first)).toBe(true);
  for (const other of [
    contents(`${chain}\n`, server.key, root.certificate),
    contents(chain, `${server.key}\n`, root.certificate),
    contents(chain, server.key, between.certificate),
    contents(chain, server.key, undefined),
  ]) {
    expect(isMadeOf(tls, other)).toBe(false);
  }
});

test("at the start it is the clock that says whether a certificate is valid", () => {
  const wall = (milliseconds: number) => ({ wall: () => milliseconds });
  const options = parse(runOptions, [cert, key], {});
  expect(readTls(options, wall(Date.UTC(2026, 0)))).toBeDefined();
  expect(() => readTls(options, wall(Date.UTC(2019, 0)))).toThrow("is not valid before 2020");
});
