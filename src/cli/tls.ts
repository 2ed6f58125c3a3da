/** The certificate files of the client port, read and checked once at start. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import fs from "node:fs";
import type { RunOptions } from "./options.ts";
import { ConfigurationError, UsageError } from "./usage.ts";

/** PEM texts. */
export interface Tls {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
  /** Clients must show a certificate that it signed. */
  readonly clientAuthority: Uint8Array | undefined;
}

/**
 * What the three flags name; undefined without them. UsageError when they do not go together,
 * ConfigurationError, which names the file, when one cannot be read or used, or when the key is not
 * the certificate's.
 */
export function readTls(options: RunOptions): Tls | undefined {
  const { tlsAuthority, tlsCertificate, tlsKey } = options;
  if (tlsCertificate === undefined || tlsKey === undefined) {
    if (tlsCertificate === tlsKey && tlsAuthority === undefined) return undefined;
    throw new UsageError("TLS needs both --client-tls-cert and --client-tls-key");
  }
  const certificate = readPem("--client-tls-cert", tlsCertificate, beginCertificate);
  const key = readPem("--client-tls-key", tlsKey, "PRIVATE KEY-----");
  const [leaf] = certificatesOf(certificate);
  if (leaf?.checkPrivateKey(privateKeyOf(key)) !== true) {
    throw new ConfigurationError(
      `--client-tls-key: ${tlsKey} is not the key of the certificate in ${tlsCertificate}`,
    );
  }
  if (tlsAuthority === undefined) {
    return { certificate: certificate.bytes, key: key.bytes, clientAuthority: undefined };
  }
  const authority = readPem("--client-tls-ca", tlsAuthority, beginCertificate);
  certificatesOf(authority);
  return { certificate: certificate.bytes, key: key.bytes, clientAuthority: authority.bytes };
}

/** A file that has PEM in it. */
interface Pem {
  readonly flag: string;
  readonly path: string;
  readonly bytes: Buffer;
}

function readPem(flag: string, path: string, mark: string): Pem {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(path);
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw new ConfigurationError(`${flag}: cannot read ${path}: ${code ?? cause}`, { cause });
  }
  if (bytes.includes(mark)) return { flag, path, bytes };
  const content = mark.replaceAll(/-----(BEGIN )?/g, "").toLowerCase();
  throw new ConfigurationError(`${flag}: ${path} holds no PEM ${content}`);
}

const beginCertificate = "-----BEGIN CERTIFICATE-----";

/** The certificates of a file, in order: one at least. */
function certificatesOf(pem: Pem): X509Certificate[] {
  const parts = pem.bytes.toString("latin1").split(beginCertificate);
  return used(pem, "certificate", () =>
    parts.slice(1).map((part) => new X509Certificate(`${beginCertificate}${part}`)),
  );
}

function privateKeyOf(pem: Pem): KeyObject {
  return used(pem, "private key", () => createPrivateKey(pem.bytes));
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
