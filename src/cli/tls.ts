/**
 * The certificate files of the client port. They are read as a set and checked as a set: what is
 * served is whole, belongs together and is valid at that moment.
 *
 *   --client-tls-cert   server ◄─ signed by ─ between ◄─ signed by ─ …      in this order
 *   --client-tls-key    the key of the first of them
 *   --client-tls-ca     whoever signed the clients' certificates, in any order
 */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import fs from "node:fs";
import { type Clock, SystemClock } from "../lib/clock.ts";
import type { RunOptions } from "./options.ts";
import { ConfigurationError, UsageError } from "./usage.ts";

/** PEM texts. */
export interface Tls {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** Clients must show a certificate that it signed. */
  readonly clientAuthority: Uint8Array | undefined;
  /** When the first of the certificates expires; milliseconds since the epoch. */
  readonly expiresMs: number;
}

/** Paths. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string | undefined;
}

/** The whole file at `path`; throws what node throws. */
export type ReadFile = (path: string) => Uint8Array;

/** A file, and the flag that names it. */
interface Pem {
  readonly flag: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** What the files hold at one moment, not looked at yet. */
export interface TlsContents {
  readonly certificate: Pem;
  readonly key: Pem;
  readonly authority: Pem | undefined;
}

/**
 * What the three flags name; undefined without them. UsageError when they do not go together,
 * ConfigurationError as `readTlsFiles` and `tlsOf` say.
 */
export function readTls(
  options: RunOptions,
  clock: Pick<Clock, "wall"> = new SystemClock(),
): Tls | undefined {
  const files = tlsFilesOf(options);
  return files && tlsOf(readTlsFiles(files), clock.wall());
}

/** The paths that the flags name; undefined without them, UsageError when one is missing. */
export function tlsFilesOf(options: RunOptions): TlsFiles | undefined {
  const { tlsAuthority, tlsCertificate, tlsKey } = options;
  if (tlsCertificate !== undefined && tlsKey !== undefined) {
    return { certificate: tlsCertificate, key: tlsKey, authority: tlsAuthority };
  }
  if (tlsCertificate === tlsKey && tlsAuthority === undefined) return undefined;
  throw new UsageError("TLS needs both --client-tls-cert and --client-tls-key");
}

/** Reads all of the files. ConfigurationError, which names the file, when one cannot be read. */
export function readTlsFiles(files: TlsFiles, read: ReadFile = fs.readFileSync): TlsContents {
  const pem = (flag: string, path: string): Pem => {
    try {
      return { flag, path, bytes: read(path) };
    } catch (cause) {
      const { code } = cause as { code?: string };
      const reason = code === "EISDIR" ? "it is a directory" : (code ?? cause);
      throw new ConfigurationError(`${flag}: cannot read ${path}: ${reason}`, { cause });
    }
  };
  const { authority, certificate, key } = files;
  return {
    certificate: pem("--client-tls-cert", certificate),
    key: pem("--client-tls-key", key),
    authority: authority === undefined ? undefined : pem("--client-tls-ca", authority),
  };
}

/**
 * The set, ready to be served at `wallMs`, milliseconds since the epoch. ConfigurationError, which
 * names the file, when a file has nothing of its kind in it, when the certificates are not in order
 * or not valid at that time, or when the key is not that of the first.
 */
export function tlsOf({ authority, certificate, key }: TlsContents, wallMs: number): Tls {
  const chain = certificatesOf(certificate);
  checkKey(key, certificate, chain);
  checkOrder(certificate, chain);
  const expiresMs = Math.min(
    ...chain.map((_, at) => checkValidity(certificate, chain, at, wallMs)),
  );
  if (authority !== undefined) certificatesOf(authority);
  return {
    certificate: certificate.bytes,
    key: key.bytes,
    clientAuthority: authority?.bytes,
    expiresMs,
  };
}

/** Whether `contents` are what `tls` was made of. */
export function isMadeOf(tls: Tls, { authority, certificate, key }: TlsContents): boolean {
  return (
    isSame(tls.certificate, certificate.bytes) &&
    isSame(tls.key, key.bytes) &&
    isSame(tls.clientAuthority ?? nothing, authority?.bytes ?? nothing)
  );
}

const nothing = new Uint8Array(0);

const isSame = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

const beginCertificate = "-----BEGIN CERTIFICATE-----";

/** The certificates of a file, in order: one at least. */
function certificatesOf(pem: Pem): readonly X509Certificate[] {
  const parts = textOf(pem, beginCertificate, "certificate").split(beginCertificate);
  return used(pem, "certificate", () =>
    parts.slice(1).map((part) => new X509Certificate(`${beginCertificate}${part}`)),
  );
}

function privateKeyOf(pem: Pem): KeyObject {
  const text = textOf(pem, "PRIVATE KEY-----", "private key");
  return used(pem, "private key", () => createPrivateKey(text));
}

/** The text of a file that has `mark` in it. */
function textOf({ bytes, flag, path }: Pem, mark: string, what: string): string {
  const text = Buffer.from(bytes).toString("latin1");
  if (text.includes(mark)) return text;
  const found = text.trim() === "" ? "is empty" : `holds no PEM ${what}`;
  throw new ConfigurationError(`${flag}: ${path} ${found}`);
}

function checkKey(pem: Pem, certificate: Pem, chain: readonly X509Certificate[]): void {
  const key = privateKeyOf(pem);
  const at = used(certificate, "certificate", () =>
    chain.findIndex((each) => each.checkPrivateKey(key)),
  );
  if (at === 0) return;
  throw new ConfigurationError(
    at < 0
      ? `${pem.flag}: ${pem.path} is not the key of the certificate in ${certificate.path}`
      : `${certificate.flag}: ${named(certificate, chain, at)} is that of the key in ${pem.path}: ` +
          "the server's own certificate must be the first",
  );
}

/** Each certificate must have been signed by the next (RFC 8446, section 4.4.2). */
function checkOrder(pem: Pem, chain: readonly X509Certificate[]): void {
  for (const [at, issuer] of chain.entries()) {
    const signed = chain[at - 1];
    const isIssuer = used(
      pem,
      "certificate",
      () => signed === undefined || (signed.checkIssued(issuer) && signed.verify(issuer.publicKey)),
    );
    if (isIssuer) continue;
    throw new ConfigurationError(
      `${pem.flag}: ${named(pem, chain, at)} did not sign the one before: ` +
        "the order is the server's own first, then each the one that signed the one before",
    );
  }
}

/** When the certificate expires, milliseconds since the epoch. */
function checkValidity(
  pem: Pem,
  chain: readonly X509Certificate[],
  at: number,
  wallMs: number,
): number {
  const { validFrom, validTo } = chain[at] as X509Certificate;
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  if (fromMs <= wallMs && wallMs <= toMs) return toMs;
  const reason =
    wallMs > toMs ? `expired at ${dateText(toMs)}` : `is not valid before ${dateText(fromMs)}`;
  throw new ConfigurationError(`${pem.flag}: ${named(pem, chain, at)} ${reason}`);
}

/** A time of a certificate, which knows no fractions of a second. `milliseconds` since the epoch. */
export function dateText(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(".000", "");
}

/** A certificate of a file, in words. */
function named({ path }: Pem, chain: readonly X509Certificate[], at: number): string {
  const subject = (chain[at] as X509Certificate).subject?.replaceAll("\n", ", ") ?? "no name";
  return chain.length === 1
    ? `the certificate in ${path} (${subject})`
    : `certificate ${at + 1} of ${chain.length} in ${path} (${subject})`;
}

/** What `make` makes of a file. */
function used<T>({ flag, path }: Pem, what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    const [reason] = (cause instanceof Error ? cause.message : `${cause}`).split("\n");
    throw new ConfigurationError(`${flag}: the PEM ${what} in ${path} cannot be used: ${reason}`, {
      cause,
    });
  }
}
