/**
 * Certificates for tests, made when they are needed: X.509 version 3 (RFC 5280) with ECDSA keys on
 * P-256.
 *
 *   Certificate
 *    ├─ TBSCertificate: version, serial, issuer, validity, subject, key, extensions
 *    ├─ how it is signed
 *    └─ the issuer's signature over the first part
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";

/** PEM texts of a certificate and its key, and the serial as node tells it: hex, upper case. */
export interface Issued {
  readonly certificate: string;
  readonly key: string;
  readonly serial: string;
}

/** Where nothing is said: for localhost and 127.0.0.1, from 2020 to 2120. */
export interface Wishes {
  /** DNS names it is for; it is also for 127.0.0.1 and ::1 when `localhost` is among them. */
  readonly names?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly from?: number;
  readonly until?: number;
  /** Every common name of the subject; one where nothing is said. */
  readonly commonNames?: readonly string[];
}

interface Identity {
  readonly subject: Uint8Array;
  readonly key: KeyObject;
}

/** Signs certificates. */
export class Authority {
  /** Its own certificate. */
  readonly certificate: string;
  readonly #identity: Identity;

  private constructor(certificate: string, identity: Identity) {
    this.certificate = certificate;
    this.#identity = identity;
  }

  /** One that signed itself. */
  static root(commonName: string, wishes: Wishes = {}): Authority {
    const { identity, issued } = made(undefined, commonName, true, wishes);
    return new Authority(issued.certificate, identity);
  }

  /** One that this one signed. */
  authority(commonName: string, wishes: Wishes = {}): Authority {
    const { identity, issued } = made(this.#identity, commonName, true, wishes);
    return new Authority(issued.certificate, identity);
  }

  /** A certificate of a server or a client. */
  issue(commonName: string, wishes: Wishes = {}): Issued {
    return made(this.#identity, commonName, false, wishes).issued;
  }
}

/** A certificate of a server that nobody signed but itself. */
export function selfSigned(commonName: string, wishes: Wishes = {}): Issued {
  return made(undefined, commonName, false, wishes).issued;
}

let serials = 0x4000;

/** Without an issuer it signs itself. */
function made(
  issuer: Identity | undefined,
  commonName: string,
  signs: boolean,
  wishes: Wishes,
): { identity: Identity; issued: Issued } {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const {
    commonNames = [commonName],
    from = Date.UTC(2020, 0),
    until = Date.UTC(2120, 0),
  } = wishes;
  const identity = { subject: nameOf(commonNames), key: privateKey };
  const by = issuer ?? identity;
  const serial = Buffer.alloc(2);
  serial.writeUInt16BE(serials++);
  const content = sequence(
    der(0xa0, der(tags.integer, Buffer.from([2]))),
    der(tags.integer, serial),
    ecdsaWithSha256,
    by.subject,
    sequence(timeOf(from), timeOf(until)),
    identity.subject,
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(basicConstraints(signs), alternativeNames(wishes.names ?? ["localhost"]))),
  );
  const signature = sign("sha256", content, { key: by.key, dsaEncoding: "der" });
  const whole = sequence(content, ecdsaWithSha256, der(tags.bits, Buffer.from([0]), signature));
  const issued = {
    certificate: pemOf(whole),
    key: String(privateKey.export({ type: "pkcs8", format: "pem" })),
    serial: serial.toString("hex").toUpperCase(),
  };
  return { identity, issued };
}

function pemOf(certificate: Buffer): string {
  const lines = certificate.toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
};

/** Tag, length, content (X.690 section 8.1). */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, ...lengthOf(content.length)]), content]);
}

/** As short as it goes (X.690 section 10.1). */
function lengthOf(length: number): number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
}

const sequence = (...parts: readonly Uint8Array[]) => der(tags.sequence, ...parts);
const objectId = (...bytes: readonly number[]) => der(tags.objectId, Buffer.from(bytes));

/** 1.2.840.10045.4.3.2, RFC 5758 section 3.2. */
const ecdsaWithSha256 = sequence(objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2));

/** A name of common names (2.5.4.3) only. */
function nameOf(commonNames: readonly string[]): Buffer {
  const attributes = commonNames.map((text) =>
    der(tags.set, sequence(objectId(0x55, 4, 3), der(tags.utf8, Buffer.from(text)))),
  );
  return sequence(...attributes);
}

/** To the second; UTCTime up to 2049 (RFC 5280 section 4.1.2.5). */
function timeOf(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replaceAll(/\D/g, "").slice(0, 14);
  const text = Buffer.from(`${digits < "2050" ? digits.slice(2) : digits}Z`);
  return der(digits < "2050" ? tags.utcTime : tags.generalizedTime, text);
}

/** 2.5.29.19: whether it may sign others. */
function basicConstraints(signs: boolean): Buffer {
  const yes = der(tags.boolean, Buffer.from([0xff]));
  return sequence(
    objectId(0x55, 0x1d, 0x13),
    yes,
    der(tags.octets, sequence(...(signs ? [yes] : []))),
  );
}

/** 2.5.29.17: what it is for. */
function alternativeNames(names: readonly string[]): Buffer {
  const texts = names.map((name) => der(0x82, Buffer.from(name)));
  const addresses = [
    Buffer.from([127, 0, 0, 1]),
    Buffer.concat([Buffer.alloc(15), Buffer.from([1])]),
  ];
  const numbers = names.includes("localhost") ? addresses.map((bytes) => der(0x87, bytes)) : [];
  return sequence(objectId(0x55, 0x1d, 0x11), der(tags.octets, sequence(...texts, ...numbers)));
}
