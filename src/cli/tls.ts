/** The certificate files of the client port, read once at start. */
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
 * ConfigurationError when a file cannot be read or is not PEM.
 */
export function readTls(options: RunOptions): Tls | undefined {
  const { tlsAuthority, tlsCertificate, tlsKey } = options;
  if (tlsCertificate === undefined || tlsKey === undefined) {
    if (tlsCertificate === tlsKey && tlsAuthority === undefined) return undefined;
    throw new UsageError("TLS needs both --client-tls-cert and --client-tls-key");
  }
  return {
    certificate: readPem("--client-tls-cert", tlsCertificate, "CERTIFICATE"),
    key: readPem("--client-tls-key", tlsKey, "PRIVATE KEY"),
    clientAuthority:
      tlsAuthority === undefined
        ? undefined
        : readPem("--client-tls-ca", tlsAuthority, "CERTIFICATE"),
  };
}

function readPem(flag: string, path: string, content: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(path);
  } catch (cause) {
    const { code } = cause as { code?: string };
    throw new ConfigurationError(`${flag}: cannot read ${path}: ${code ?? cause}`, { cause });
  }
  if (bytes.includes(`${content}-----`)) return bytes;
  throw new ConfigurationError(`${flag}: ${path} holds no PEM ${content.toLowerCase()}`);
}
