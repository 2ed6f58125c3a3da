/** Which errors a member does not survive. */
import { InvariantError } from "../lib/assert.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { DiskError } from "../lib/disk.ts";
import { SupersededError } from "../replication/archive.ts";

const kinds = [CorruptionError, DiskError, InvariantError, SupersededError];

/**
 * Whether `error`, met by a read or a decision, ends the member: damage, a disk that fails, a broken
 * invariant, another leader. Anything else concerns its caller alone.
 */
export function isGrave(error: unknown): boolean {
  return kinds.some((kind) => error instanceof kind);
}
