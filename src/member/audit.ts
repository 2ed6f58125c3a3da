/**
 * Checks a bucket whole, without changing it, also while its members run: every object
 * (replication/audit.ts), and, where nothing is damaged, the newest database as a start would make
 * it, whose rows are held against each other.
 */
import type { Clock } from "../lib/clock.ts";
import { CorruptionError } from "../lib/corruption.ts";
import { decodeManifest, tablesIn } from "../lsm/manifest.ts";
import { openEnd } from "../model/range.ts";
import { checkStore } from "../mvcc/check.ts";
import { audit } from "../replication/audit.ts";
import { keyOf, type Manifest } from "../replication/manifest.ts";
import { type GlimpseOptions, glimpse } from "./glimpse.ts";
import type { Source } from "./moment.ts";
import type { Damage, Part, Verification } from "./verify.ts";

const parallel = 16;

export interface VerifyBucketOptions extends GlimpseOptions {
  readonly clock: Clock;
}

/** Verifies what is below a prefix. ObjectError when the store fails. */
export async function verifyBucket(
  source: Source,
  options: VerifyBucketOptions,
): Promise<Verification> {
  const { store, storeAt } = source;
  const nowMs = options.clock.wall();
  const { findings, notes, parts } = await audit(store, { storeAt, nowMs, parallel, checkTree });
  const damages: Damage[] = findings.map(({ key, ...rest }) => {
    const path = key.startsWith("../")
      ? `${storeAt("").address}${key.slice(3)}`
      : `${store.address}${key}`;
    return { path, ...rest };
  });
  const verification = { subject: store.address, parts: [...parts], notes: [...notes], damages };
  if (damages.length > 0) {
    verification.notes.push("rows were not held against each other, because objects are damaged");
    return verification;
  }
  await checkRows(source, options, verification);
  return verification;
}

/** What is wrong with a manifest's tree: it must name the tables that the manifest does. */
function checkTree(manifest: Manifest): string | undefined {
  try {
    const tree = decodeManifest(keyOf(manifest), Buffer.from(manifest.tree));
    const named = new Map(tablesIn(tree).map(({ bytes, hash }) => [hash, bytes]));
    const other = manifest.tables.find(({ bytes, hash }) => named.get(hash) !== bytes);
    if (other !== undefined) return `its tree does not have table ${other.hash}`;
    return named.size === manifest.tables.length ? undefined : "its tree has other tables";
  } catch (error) {
    return (error as Error).message;
  }
}

async function checkRows(
  source: Source,
  options: VerifyBucketOptions,
  { damages, parts }: { damages: Damage[]; parts: Part[] },
): Promise<void> {
  const { address: path } = source.store;
  const report = (what: string, offset?: number) =>
    damages.push({ path, offset, what, range: undefined });
  try {
    const snapshot = await glimpse(source, options);
    if (snapshot === undefined) return;
    try {
      const { rows, store } = snapshot;
      for (const what of checkStore(store, rows)) report(what);
      let keys = 0;
      const cursor = store.cursor({ key: "\0", end: openEnd }, store.revision);
      while (cursor.next()) keys++;
      const { floor, leases, revision } = store;
      const counts = { revision, compacted: Math.max(0, floor), keys };
      parts.push({ name: "database", counts: { ...counts, leases: [...leases.all()].length } });
    } finally {
      snapshot.close();
    }
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
    damages.push({ path: error.path, offset: error.offset, what: error.what, range: undefined });
  }
}
