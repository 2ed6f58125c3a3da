/**
 * The first start of a branch: it finds the pin that keeps its checkpoint, takes the tables from the
 * source, and publishes them as its own first checkpoint, without copying one in the bucket. From
 * then on its own prefix is all it needs (replication/branch.ts).
 */
import { ForeignError } from "../lib/corruption.ts";
import { type Term, termOf } from "../model/revision.ts";
import { normalPrefix } from "../object/prefixed.ts";
import { joinBranch, publishFirst } from "../replication/branch.ts";
import type { Manifest } from "../replication/manifest.ts";
import { tableMsMax, uploadParallel } from "./checkpoint.ts";
import type { DataDirectory } from "./directory.ts";
import { restoreCheckpoint } from "./restore.ts";
import type { BranchPoint, BucketOptions, RecoverOptions } from "./rooms.ts";

/**
 * Puts the branch's first checkpoint into `directory` and into its prefix; what that is. ForeignError
 * when nothing pins the checkpoint, or another branch has the pin; CorruptionError; DiskError;
 * ObjectError.
 */
export async function beginBranch(
  options: RecoverOptions,
  bucket: BucketOptions,
  { checkpointKey, prefix, sourcePrefix }: BranchPoint,
  directory: DataDirectory,
): Promise<Manifest> {
  const { clock, random } = options;
  const { store, storeAt } = bucket;
  const source = storeAt(sourcePrefix);
  const joined = await joinBranch(source, checkpointKey, {
    sourcePrefix: normalPrefix(sourcePrefix),
    ownPrefix: normalPrefix(prefix),
    nowMs: clock.wall(),
    random,
    storeAt,
  });
  if (joined.outcome === "unpinned") {
    throw new ForeignError(
      `${source.address}${checkpointKey}`,
      "is not pinned for a branch, so gc may delete it",
      "run `t4 branch fork --branch-id … --checkpoint …` first, and give the checkpoint that it prints",
    );
  }
  if (joined.outcome === "taken") {
    throw new ForeignError(
      `${source.address}${checkpointKey}`,
      `is pinned for the branch in prefix "${joined.prefix}"`,
      "fork it once more under another --branch-id, or start on that prefix",
    );
  }
  const { checkpoint } = joined;
  await restoreCheckpoint(options, bucket, directory, checkpoint);
  const term: Term = termOf(checkpoint.term);
  const own = { cluster: directory.identity.clusterId, term };
  const limits = { parallel: uploadParallel, tableMsMax };
  const lockTerm = () => Promise.resolve(0);
  const published = await publishFirst(store, checkpoint, own, {
    clock,
    random,
    ...limits,
    lockTerm,
  });
  if (published.outcome === "published" || published.outcome === "present") {
    return { ...checkpoint, ...own, lastSeq: 0 };
  }
  throw new Error(`the branch's first checkpoint could not be published: ${published.outcome}`);
}
