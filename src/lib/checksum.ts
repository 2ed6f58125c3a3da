/**
 * Checksums of the files. CRC-32 (ISO 3309, the one of zlib and PNG) guards frames and blocks: Bun
 * computes it with carry-less multiplication, 0.1 us for 4 KiB, where CRC-32C in JavaScript takes
 * 2.4 us; both find every burst up to 32 bits. SHA-256 names tables and guards whole objects.
 * xxHash64 chains log entries: it tells two histories apart, it is no defence against forgery.
 */

/** CRC-32 of `bytes`, continuing from `seed` (an earlier result, or a salt): 0 to 2^32-1. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return Bun.hash.crc32(bytes, seed);
}

/** The chain hash after an entry: of its `bytes`, seeded with the chain before it. Unsigned 64 bits. */
export function chainHash(previous: bigint, bytes: Uint8Array): bigint {
  return Bun.hash.xxHash64(bytes, previous);
}

/** Lower-case hex SHA-256 of `bytes`. */
export function sha256(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

/** SHA-256 of bytes that come piece by piece. */
export class Sha256 {
  readonly #hasher = new Bun.CryptoHasher("sha256");

  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  /** Lower-case hex; the hasher is used up. */
  digest(): string {
    return this.#hasher.digest("hex");
  }
}
